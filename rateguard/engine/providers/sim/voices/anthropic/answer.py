"""Messages, whole and as events."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.sim.answers import event
from rateguard.engine.providers.sim.voices.asked import Finish, Used, Words
from rateguard.engine.providers.sim.voices.voice import Piece

_REASONS = {Finish.STOP: "end_turn", Finish.LENGTH: "max_tokens", Finish.TOOL: "tool_use", Finish.FILTER: "refusal"}
_PING = event(b'{"type":"ping"}', "ping")


def usage(used: Used) -> dict[str, Any]:
    """What was read from a cache, and what was put into one, is no input_tokens."""
    told: dict[str, Any] = {
        "input_tokens": used.plain_input,
        "cache_creation_input_tokens": used.written + used.written_long,
        "cache_read_input_tokens": used.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": used.written, "ephemeral_1h_input_tokens": used.written_long},
        "output_tokens": used.output,
        "service_tier": "standard",
        "inference_geo": "global",
    }
    if used.reasoning:
        told["output_tokens_details"] = {"thinking_tokens": used.reasoning}
    if used.tier == "fast":
        told["speed"] = "fast"
    return told


def _head(words: Words) -> dict[str, Any]:
    return {"id": f"msg_{words.answer}", "type": "message", "role": "assistant", "model": words.model}


def _stop(words: Words) -> dict[str, Any]:
    refusal = {"type": "refusal", "category": "cyber", "explanation": None}
    is_refused = words.said.finish is Finish.FILTER
    return {"stop_reason": _REASONS[words.said.finish], "stop_sequence": None, "stop_details": refusal if is_refused else None}


def _signature(words: Words) -> str:
    """What must come back untouched with the thoughts that it signs."""
    return base64.b64encode(f"signed by {words.answer}".encode()).decode()


def message(words: Words) -> bytes:
    """A whole message."""
    said, content = words.said, []
    if said.reasoning:
        content.append({"type": "thinking", "thinking": "".join(said.reasoning), "signature": _signature(words)})
    text = "".join(said.pieces)
    if said.tool:
        content.append({"type": "tool_use", "id": f"toolu_{words.answer}", "name": said.tool, "input": whole_input(text)})
    else:
        content.append({"type": "text", "text": text})
    return orjson.dumps({**_head(words), "content": content, **_stop(words), "usage": usage(words.used), "container": None})


def whole_input(arguments: str) -> Any:
    """The arguments of a call; nothing where they were cut."""
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {}


def _event(kind: str, **fields: Any) -> bytes:
    return event(orjson.dumps({"type": kind, **fields}), kind)


def _delta(index: int, **delta: Any) -> bytes:
    return _event("content_block_delta", index=index, delta=delta)


def events(words: Words) -> Iterator[Piece]:
    """A stream: each block begins, comes in pieces and ends; then why, and what it cost."""
    first = {**_head(words), "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    at_first = usage(words.used) | {"output_tokens": 1}
    at_first.pop("output_tokens_details", None)
    yield 0, _event("message_start", message={**first, "usage": at_first})
    index = 0
    if words.said.reasoning:
        block: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
        pieces = ((tokens, _delta(0, type="thinking_delta", thinking=text)) for tokens, text in words.cut(words.said.reasoning))
        yield from _block(words, 0, block, pieces, _delta(0, type="signature_delta", signature=_signature(words)))
        index = 1
    if words.said.tool:
        block = {"type": "tool_use", "id": f"toolu_{words.answer}", "name": words.said.tool, "input": {}}
        pieces = ((tokens, _delta(index, type="input_json_delta", partial_json=text)) for tokens, text in words.cut(words.said.pieces))
    else:
        block = {"type": "text", "text": ""}
        pieces = ((tokens, _delta(index, type="text_delta", text=text)) for tokens, text in words.cut(words.said.pieces))
    yield from _block(words, index, block, pieces)
    yield 0, _event("message_delta", delta={**_stop(words), "container": None}, usage=usage(words.used))
    yield 0, _event("message_stop")


def _block(words: Words, index: int, block: Mapping[str, Any], pieces: Iterable[Piece], last: bytes = b"") -> Iterator[Piece]:
    yield 0, _event("content_block_start", index=index, content_block=block)
    if index == 0:
        yield 0, _PING
    for number, piece in enumerate(pieces, start=1):
        yield piece
        if words.ping and number % words.ping == 0:
            yield 0, _PING
    if last:
        yield 0, last
    yield 0, _event("content_block_stop", index=index)
