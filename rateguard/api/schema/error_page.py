"""The page that a problem's `type` leads to: docs/errors.md, each code with its place."""

from __future__ import annotations

import functools
import html
import re
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

_PLACES = (Path(__file__).with_name("errors.md"), Path(__file__).parents[3] / "docs" / "errors.md")
"""In the wheel, and in a checkout."""

_HEADING = re.compile(r"(#{1,3}) (.*)")
_CODE = re.compile(r"`([^`]*)`")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")
_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}:target{background:#fe9}"


@require_safe
def error_page(_request: HttpRequest) -> HttpResponse:
    """All codes on one page; `#queue_full` is the place of one."""
    return HttpResponse(_page())


@functools.cache
def _page() -> str:
    text = next(place for place in _PLACES if place.exists()).read_text(encoding="utf-8")
    body = "\n".join(_block(block) for block in re.split(r"\n\s*\n", text.strip()))
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Error codes</title><style>{_STYLE}</style>\n{body}\n</html>\n'


def _block(block: str) -> str:
    """A heading, whose place is its own words, or a paragraph. There is nothing else on the page."""
    heading = _HEADING.fullmatch(block)
    if heading is None:
        return f"<p>{_inline(block)}</p>"
    level, words = len(heading[1]), heading[2]
    place = re.sub(r"\W+", "-", words.strip("`").lower())
    return f'<h{level} id="{html.escape(place)}">{_inline(words)}</h{level}>'


def _inline(text: str) -> str:
    """Code and links; a link to another page of the docs is its words."""
    told = _CODE.sub(r"<code>\1</code>", html.escape(text))
    return _LINK.sub(lambda link: f'<a href="{link[2]}">{link[1]}</a>' if link[2].startswith(("#", "https://")) else link[1], told)
