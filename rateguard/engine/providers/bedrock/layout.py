"""What a model of Bedrock's wants back with a turn of its own: its reasoning, signed, word for word and at its place.

It travels in a message's `provider_fields`: `{"bedrock": {"blocks": […]}}`. Blocks of reasoning stand there as they came; the message's own
texts and calls are only named: `{"text": 12}` (characters) and `{"toolUse": {}}`. So what a caller changed in a text is sent as changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.bedrock.content import Block
from rateguard.engine.providers.bedrock.refusal import malformed

PROVIDER_FIELDS = "bedrock"
_KINDS = {"reasoningContent": Mapping, "text": int, "toolUse": Mapping}


class Layout:
    """The places of an answer's blocks, noted as they come."""

    def __init__(self) -> None:
        self._places: list[Block] = []
        self._noted = 0
        self._has_reasoning = False

    def reasoning(self, block: Block, texts: list[str]) -> None:
        """A block of reasoning, behind the texts so far."""
        self._note(texts)
        self._places.append({"reasoningContent": block})
        self._has_reasoning = True

    def call(self, texts: list[str]) -> None:
        """A call of a tool, behind the texts so far."""
        self._note(texts)
        self._places.append({"toolUse": {}})

    def fields(self, texts: list[str]) -> dict[str, Any]:
        """`provider_fields`; empty where there is nothing but texts and calls."""
        if not self._has_reasoning:
            return {}
        self._note(texts)
        return {PROVIDER_FIELDS: {"blocks": self._places}}

    def _note(self, texts: list[str]) -> None:
        chars = sum(len(text) for text in texts[self._noted :])
        self._noted = len(texts)
        if chars:
            self._places.append({"text": chars})


def arranged(message: Mapping[str, Any], content: list[Block], calls: list[Block], pointer: str) -> list[Block]:
    """The blocks of a turn: as its provider_fields tell, else its content and then its calls. Raises InvalidRequest."""
    fields = message.get("provider_fields")
    own = fields.get(PROVIDER_FIELDS) if isinstance(fields, Mapping) else None
    if own is None:
        return content + calls
    places = own.get("blocks") if isinstance(own, Mapping) else None
    if not isinstance(places, list) or not all(_is_place(place) for place in places):
        raise malformed("send provider_fields back as they came, or leave them out", f"{pointer}/provider_fields/{PROVIDER_FIELDS}")
    return _fill(places, content, calls)


def _is_place(place: Any) -> bool:
    if not isinstance(place, Mapping) or len(place) != 1:
        return False
    ((kind, value),) = place.items()
    return kind in _KINDS and isinstance(value, _KINDS[kind])


def _fill(places: list[Mapping[str, Any]], content: list[Block], calls: list[Block]) -> list[Block]:
    """The last place for a text takes all that is left of it; calls without a place, and whatever is no text, come last."""
    rest, waiting = "".join(block["text"] for block in content if "text" in block), list(calls)
    last = max((number for number, place in enumerate(places) if "text" in place), default=-1)
    blocks: list[Block] = []
    for number, place in enumerate(places):
        if "toolUse" in place:
            blocks += [waiting.pop(0)] if waiting else []
        elif "text" in place:
            end = len(rest) if number == last else place["text"]
            blocks += _text(rest[:end])
            rest = rest[end:]
        else:
            blocks.append(dict(place))
    return [*blocks, *_text(rest), *waiting, *(block for block in content if "text" not in block)]


def _text(text: str) -> list[Block]:
    return [{"text": text}] if text.strip() else []
