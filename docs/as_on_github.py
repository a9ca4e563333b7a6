"""A page says on the site what it says on GitHub. MkDocs calls these functions: see `hooks` in mkdocs.yml.

- A link to a file outside docs/ leads to a page of the site that shows that file.
- Behind a fence's language stand words for the tests. They go; the name of a file becomes the block's title.
- The folder of decisions lists its files by itself.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

SHOWN_BELOW: Final = "source"
"""The folder of the site that shows files of the repository."""
DECISIONS: Final = "Decisions"
_LINK: Final = re.compile(r"(?<=\]\()(?P<path>\.\./[^)#\s]+)(?=\))")
_FENCED: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_FENCE: Final = re.compile(r"^```(?P<language>\w+)(?P<words>[^\n`]*)$", re.MULTILINE)
_FILE: Final = re.compile(r"(?:file|append)=(?P<name>\S+)")
_LANGUAGES: Final = {".py": "python", ".lua": "lua", ".sql": "sql", ".toml": "toml", ".yml": "yaml", ".sh": "sh", ".md": "markdown"}
_HEAD: Final = "---\nhide: [navigation, toc]\nsearch:\n  exclude: true\n---\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Below "Decisions" in the navigation stands every decision, the first first."""
    for section in config.nav or []:
        if DECISIONS in section:
            section[DECISIONS] += [f"decisions/{path.name}" for path in _decisions(Path(config.docs_dir) / "decisions")]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Every file of the repository that a page links to gets a page. One that does not exist gets none, so that the strict build fails."""
    pages = files.documentation_pages()
    linked = {path for page in pages for path in _linked_files(page.content_string, page.src_uri)}
    root = Path(config.docs_dir).parent
    for path in sorted(linked):
        if (root / path).is_file():
            page = File.generated(config, _page_of(path), content=_shown(root, path), inclusion=InclusionLevel.NOT_IN_NAV)
            files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """The page as MkDocs understands it."""
    folder = posixpath.dirname(page.file.src_uri)
    if page.file.src_uri == "decisions/README.md":
        markdown += _listed(Path(config.docs_dir) / "decisions")

    def link(match: re.Match[str]) -> str:
        path = _in_repository(match["path"], page.file.src_uri)
        return match["path"] if path is None else posixpath.relpath(_page_of(path), folder or ".")

    return _outside_fences(_FENCE.sub(_fence, markdown), lambda text: _LINK.sub(link, text))


def _decisions(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.md"))


def _listed(folder: Path) -> str:
    """The folder's files by their headings, as GitHub shows a folder below its README."""
    headings = ((path.name, path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")) for path in _decisions(folder))
    return "\n" + "".join(f"- [{heading}]({name})\n" for name, heading in headings)


def _linked_files(markdown: str, src_uri: str) -> Iterator[str]:
    for match in _LINK.finditer(_FENCED.sub("", markdown)):
        path = _in_repository(match["path"], src_uri)
        if path is not None:
            yield path


def _in_repository(link: str, src_uri: str) -> str | None:
    """A link of the page as a path from the repository's root; None where it stays inside docs/, or leaves the repository."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(src_uri), link))
    return None if path.startswith(("docs/", "../")) else path


def _page_of(path: str) -> str:
    return f"{SHOWN_BELOW}/{path}.md"


def _shown(root: Path, path: str) -> str:
    text = (root / path).read_text(encoding="utf-8")
    fence = "`" * (3 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    language = _LANGUAGES.get(os.path.splitext(path)[1], "text")  # noqa: PTH122 -- a path of the site, not of this machine
    return f"{_HEAD}# {posixpath.basename(path)}\n\n`{path}`\n\n{fence}{language}\n{text}{fence}\n"


def _fence(match: re.Match[str]) -> str:
    name = _FILE.search(match["words"])
    return f"```{match['language']}" + (f' title="{name["name"]}"' if name else "")


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """The page, its text changed and its blocks left as they are."""
    changed, at = [], 0
    for block in _FENCED.finditer(markdown):
        changed += [change(markdown[at : block.start()]), block.group()]
        at = block.end()
    return "".join([*changed, change(markdown[at:])])
