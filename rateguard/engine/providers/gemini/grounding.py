"""What an answer took from Google Search: its sources as OpenAI's annotations, and how many searches are billed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def annotations_of(grounding: Mapping[str, Any], text: str) -> list[dict[str, Any]]:
    """`url_citation`s of a text. Gemini counts its places in bytes of UTF-8 (not verified), OpenAI in characters."""
    chunks, raw = grounding.get("groundingChunks") or (), text.encode()
    found = []
    for support in grounding.get("groundingSupports") or ():
        segment = support.get("segment") or {}
        start, end = (len(raw[: int(segment.get(name) or 0)].decode("utf-8", "ignore")) for name in ("startIndex", "endIndex"))
        for number in support.get("groundingChunkIndices") or ():
            web = chunks[number].get("web") if number < len(chunks) else None
            if web:
                citation = {"url": web.get("uri", ""), "title": web.get("title", ""), "start_index": start, "end_index": end}
                found.append({"type": "url_citation", "url_citation": citation})
    return found


def searches_of(queries: int, generation: int) -> int:
    """How many are billed: each query from Gemini 3 on, before that one an answer. Source: Google's price list (not verified)."""
    return queries if generation >= 30 else min(queries, 1)
