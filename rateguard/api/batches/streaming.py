"""An answer in pages of lines: each is read when the one before it was taken, and no thread or connection is held between two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from django.db import connections
from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request

JSON_LINES = "application/jsonl"


def streamed(request: Request, pages: Iterator[bytes], name: str) -> HttpResponseBase:
    """JSON Lines, under this name where they are saved as a file. Without ASGI Django takes them page by page in its own thread."""
    has_loop = hasattr(request._request, "scope")  # noqa: SLF001 - DRF has no public name for Django's own request
    parts = _in_threads(pages) if has_loop else pages
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(parts, content_type=JSON_LINES, headers=headers)


async def _in_threads(pages: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (page := await asyncio.to_thread(_next, pages)) is not None:
        yield page


def _next(pages: Iterator[bytes]) -> bytes | None:
    """The thread may be another each time, so it keeps no connection."""
    try:
        return next(pages, None)
    finally:
        connections.close_all()
