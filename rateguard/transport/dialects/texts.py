"""A request of another dialect shown in OpenAI's shape, and texts that middlewares changed there put back where they came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import orjson

from rateguard.screening.contract import MiddlewareBroke

Place = tuple[str | int, ...]
"""Where a text stands in the caller's own words: names and numbers, from the outside in."""


class Text(str):
    """A text of a view that knows its place. is_json: there it stands as an object, here as JSON."""

    __slots__ = ("is_json", "place")
    place: Place
    is_json: bool

    def __new__(cls, value: str, place: Place, *, is_json: bool = False) -> Self:
        """A text at its place."""
        made = super().__new__(cls, value)
        made.place, made.is_json = place, is_json
        return made


def as_json(value: Any, place: Place) -> Text:
    """An object, shown as its JSON."""
    return Text(orjson.dumps(value).decode(), place, is_json=True)


def put_back(native: dict[str, Any], view: Any, changed: Any) -> dict[str, Any]:
    """A copy of the request with the texts that differ in the changed view. Raises MiddlewareBroke where anything else does."""
    copied: dict[str, Any] = orjson.loads(orjson.dumps(native))
    _compare(view, changed, lambda text, new: _put(copied, text, new))
    return copied


def _compare(view: Any, changed: Any, put: Callable[[Text, str], None]) -> None:
    if isinstance(view, Text) and isinstance(changed, str):
        if view != changed:
            put(view, changed)
    elif isinstance(view, dict) and isinstance(changed, dict) and view.keys() == changed.keys():
        for name, one in view.items():
            _compare(one, changed[name], put)
    elif isinstance(view, list | tuple) and isinstance(changed, list) and len(view) == len(changed):
        for one, other in zip(view, changed, strict=True):
            _compare(one, other, put)
    elif view != changed:
        raise MiddlewareBroke(
            "a middleware changed more of a request than its texts, and only a request of OpenAI's own client can take that: "
            "let the middleware look at context.via, or send the request through OpenAI's client"
        )


def _put(native: Any, text: Text, new: str) -> None:
    *path, last = text.place
    inside = native
    for step in path:
        inside = inside[step]
    inside[last] = _read(new) if text.is_json else new


def _read(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise MiddlewareBroke("a middleware made what is no JSON of the arguments of a tool's call") from None
