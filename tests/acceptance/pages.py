"""The docs as the tests read and run them: pages, their fenced blocks, their headings and links.

A fence says what becomes of its block:

    ```sh                       bash runs it; variables stay for the page's next block
    ```sh serves                bash runs it until the page is through
    ```sh sqlite, sh postgres   bash runs it where the database is that
    ```sh commands              the two commands; compared, not run
    ```python                   runs in this process, in the page's one namespace
    ```python file=shop/ask.py  is written to that file, in the folder where the page's shell blocks run
    ```python append=shop/a.py  is added to the end of that file
    ```json                     is JSON
    ```text, console, shell     is looked at by people alone; so is whatever says needs-docker
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rateguard.embedded import process
from tests.simprovider import wait_for

PROJECT = Path(__file__).parents[2]
LONGEST_S = 90
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)
_SERVES = re.compile(r"Application startup complete|\bready\.")


def written_pages() -> list[Path]:
    """README, CONTRIBUTING and everything below docs/, but the decisions."""
    pages = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
    return sorted(page for page in pages if page.exists() and "decisions" not in page.parts)


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block. line: of its first line of text."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is to become."""
        return self._named("file=")

    @property
    def end_of(self) -> str | None:
        """The file that it is added to."""
        return self._named("append=")

    @property
    def database(self) -> str | None:
        """The only kind of database on which it runs; None: on any."""
        return next((word for word in self.words if word in {"sqlite", "postgres"}), None)

    def _named(self, prefix: str) -> str | None:
        return next((word.removeprefix(prefix) for word in self.words if word.startswith(prefix)), None)

    @property
    def runs(self) -> bool:
        """Whether a test runs it."""
        return self.language in {"sh", "python"} and not {"commands", "needs-docker"} & set(self.words)


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split() or [""]
        found.append(Block(language, tuple(words), match["text"], text.count("\n", 0, match.start()) + 2))
    return found


def prose_of(page: Path) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links_of(page: Path) -> list[str]:
    """Where the page's links and pictures lead."""
    return [match["target"] for match in _LINK.finditer(prose_of(page))]


def anchors_of(page: Path) -> set[str]:
    """What can stand behind # in a link to the page, as GitHub makes it of headings."""
    headings = (match["text"].strip().lower() for match in _HEADING.finditer(prose_of(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


class Reader:
    """Somebody who does what a page says, block by block, in a folder of their own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.namespace: dict[str, Any] = {"__name__": "__docs__"}
        self._served: list[subprocess.Popen[bytes]] = []

    def follow(self, page: Path, *, after: str = "", before: str = "") -> None:
        """Do all of it, or what stands after and before these lines of it. Raises what a block raises."""
        lines = page.read_text(encoding="utf-8").splitlines()
        begin, end = lines.index(after) if after else 0, lines.index(before) if before else len(lines)
        for block in (block for block in blocks_of(page) if block.runs and begin < block.line <= end and self._has(block.database)):
            where = f"{page.relative_to(PROJECT)}:{block.line}"
            if block.file:
                self._write(block.file, block.text)
            elif block.end_of:
                self._append(block.end_of, block.text)
            elif block.language == "python":
                exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), self.namespace)
            elif "serves" in block.words:
                self._serve(block.text, where)
            else:
                self._run(block.text, where)

    def _has(self, database: str | None) -> bool:
        """Whether the environment leads to this kind of database now."""
        return database is None or self.environment.get("DATABASE_URL", "sqlite").startswith(database)

    def leave(self) -> None:
        """End what serves."""
        for running in reversed(self._served):
            process.end(running, grace_s=10)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _append(self, name: str, text: str) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{text}")

    def _run(self, text: str, where: str) -> None:
        kept = self.folder / ".environment"
        script = f"set -a\n{text}\nenv -0 > {shlex.quote(str(kept))}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        assert done.returncode == 0, f"{where} ended with {done.returncode}:\n{text}\n{done.stdout}\n{done.stderr}"
        self.environment = dict(pair.split("=", 1) for pair in kept.read_text().split("\0") if "=" in pair)

    def _serve(self, text: str, where: str) -> None:
        log = self.folder / f".served-{len(self._served)}.log"
        with log.open("wb") as output:
            running = process.launch(["bash", "-euo", "pipefail", "-c", text], output=output, env=self.environment, cwd=self.folder)
        self._served.append(running)
        wait_for(lambda: running.poll() is not None or _SERVES.search(log.read_text(errors="replace")), 40)
        assert running.poll() is None, f"{where} does not serve:\n{process.last_lines(log, 40)}"


def shell_environment(environment: Mapping[str, str], python: str) -> dict[str, str]:
    """A reader's shell: the project's programs come first, and no settings module is named that the page does not name."""
    kept = {name: value for name, value in environment.items() if name != "DJANGO_SETTINGS_MODULE"}
    return {**kept, "PATH": f"{Path(python).parent}{os.pathsep}{kept['PATH']}", "PYTHONUNBUFFERED": "1"}
