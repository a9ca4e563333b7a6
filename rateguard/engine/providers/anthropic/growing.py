"""One block of a streamed message, growing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_TEXT_OF = {"text": "text", "thinking": "thinking"}


class Growing:
    """type, name, id: as it began. texts: of text or thinking. inputs: of a call's JSON. call: its number among the caller's calls."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError or AttributeError where it is no block."""
        self._start = start
        self._field = _TEXT_OF.get(start["type"], "")
        self.type = _text(start["type"])
        self.name = _text(start.get("name") or "")
        self.id = _text(start.get("id") or "")
        self.start_text = _text(start.get("text") or "") if self.type == "text" else ""
        self.start_input: Any = start.get("input") or {}
        self.texts: list[str] = [_text(text)] if (text := start.get(self._field)) else []
        self.inputs: list[str] = []
        self.signature = _text(start.get("signature") or "")
        self.citations: list[Any] = list(start.get("citations") or ())
        self.call: int | None = None

    def add_text(self, piece: Any) -> str:
        """More of its text or thinking. Raises TypeError where it is no text."""
        text = _text(piece)
        self.texts.append(text)
        return text

    def add_input(self, piece: Any) -> None:
        """More of a call's JSON. Raises TypeError where it is no text."""
        self.inputs.append(_text(piece))

    def add_signature(self, piece: Any) -> None:
        """More of what vouches for its thinking. Raises TypeError where it is no text."""
        self.signature += _text(piece)

    def whole(self) -> dict[str, Any]:
        """The block as a whole message has it, or as far as it came."""
        block = dict(self._start)
        if self._field:
            block[self._field] = "".join(self.texts)
        if self.signature:
            block["signature"] = self.signature
        if self.citations:
            block["citations"] = self.citations
        if self.inputs:
            block["input"] = self._input()
        return block

    def _input(self) -> Any:
        """What was cut is shown as the text that came."""
        text = "".join(self.inputs)
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is a text")
    return value
