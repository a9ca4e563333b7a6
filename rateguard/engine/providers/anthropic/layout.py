"""What Anthropic wants back with a turn of the model's, word for word and at its place.

That is thinking with its signature, redacted thinking, and what Anthropic's own tools did. It travels in a message's `provider_fields`:
`{"anthropic": {"blocks": […]}}`. Such blocks stand there as they came; the message's own texts and calls are only named:
`{"type": "text", "chars": 12}` (with its citations, if any) and `{"type": "tool_use"}`. So what a caller changed in a text is sent as
changed, and no text is stored twice. Anthropic checks the rest by the signatures (a changed talk may cost the thinking).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rateguard.engine.providers.anthropic.parts import Block
from rateguard.engine.providers.anthropic.refusals import malformed

_OWN = frozenset({"text", "tool_use"})


def layout_of(content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A message's `provider_fields` for an answer's blocks; empty where there is nothing but plain texts and calls."""
    if all(block.get("type") in _OWN and not block.get("citations") for block in content):
        return {}
    return {"anthropic": {"blocks": [_place(block) for block in content]}}


def arranged(message: Mapping[str, Any], texts: list[Block], calls: list[Block], pointer: str) -> list[Block]:
    """The blocks of a turn: as its provider_fields tell, else texts and then calls. Raises InvalidRequest."""
    fields = message.get("provider_fields")
    own = fields.get("anthropic") if isinstance(fields, Mapping) else None
    if own is None:
        return [*texts, *calls]
    places = own.get("blocks") if isinstance(own, Mapping) else None
    if not isinstance(places, list) or not all(isinstance(place, Mapping) and isinstance(place.get("type"), str) for place in places):
        raise malformed("provider_fields.anthropic is sent back as it came, or left out", f"{pointer}/provider_fields/anthropic")
    return _fill(places, texts, calls)


def _place(block: Mapping[str, Any]) -> Mapping[str, Any]:
    if block.get("type") == "tool_use":
        return {"type": "tool_use"}
    if block.get("type") != "text":
        return block
    place: Block = {"type": "text", "chars": len(block.get("text") or "")}
    if block.get("citations"):
        place["citations"] = block["citations"]
    return place


def _fill(places: Sequence[Mapping[str, Any]], texts: list[Block], calls: list[Block]) -> list[Block]:
    """The last place for a text takes all that is left of it, and calls without a place come last."""
    rest, marks = "".join(block["text"] for block in texts), texts[-1] if texts else {}
    waiting, last = list(calls), max((number for number, place in enumerate(places) if place["type"] == "text"), default=-1)
    blocks: list[Block] = []
    for number, place in enumerate(places):
        if place["type"] == "tool_use":
            blocks += [waiting.pop(0)] if waiting else []
        elif place["type"] != "text":
            blocks.append(dict(place))
        else:
            chars = place.get("chars")
            end = len(rest) if number == last or not isinstance(chars, int) else max(0, chars)
            blocks += _text(rest[:end], place)
            rest = rest[end:]
    blocks += _text(rest, {})
    if "cache_control" in marks and blocks and blocks[-1]["type"] == "text":
        blocks[-1]["cache_control"] = marks["cache_control"]
    return [*blocks, *waiting]


def _text(text: str, place: Mapping[str, Any]) -> list[Block]:
    if not text.strip():
        return []
    block: Block = {"type": "text", "text": text}
    if isinstance(place.get("citations"), list):
        block["citations"] = place["citations"]
    return [block]
