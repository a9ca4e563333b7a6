"""Contents that are rows of blocks, as the token counter and the prompt cache take them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

IMAGE: Mapping[str, Any] = {"type": "image_url"}
"""What the counter takes for anything that is no text."""


def as_list(content: Any) -> list[Any]:
    """A content: a text alone is one block."""
    if isinstance(content, str):
        return [{"text": content}]
    return content if isinstance(content, list) else []


def countable_tools(tools: Iterable[tuple[str, str, Any]]) -> list[dict[str, Any]]:
    """Functions (name, description, schema) in the shape that the counter knows."""
    return [
        {"type": "function", "function": {"name": name, "description": text, "parameters": schema or {}}} for name, text, schema in tools
    ]


def text_part(value: Any) -> dict[str, Any]:
    """A text, or JSON written out."""
    return {"type": "text", "text": value if isinstance(value, str) else orjson.dumps(value).decode()}


def dicts(values: Any) -> Iterator[dict[str, Any]]:
    """Those of a list that are objects."""
    return (value for value in values or () if isinstance(value, dict))
