"""Converse, whole and in frames; embeddings; Claude's own messages in frames."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.providers.sim.voices.anthropic import answer as claude
from rateguard.engine.providers.sim.voices.asked import Finish, Used, Words
from rateguard.engine.providers.sim.voices.bedrock import frames
from rateguard.engine.providers.sim.voices.bedrock.request import TITAN
from rateguard.engine.providers.sim.voices.voice import Piece

_REASONS = {Finish.STOP: "end_turn", Finish.LENGTH: "max_tokens", Finish.TOOL: "tool_use", Finish.FILTER: "content_filtered"}


def usage(used: Used) -> dict[str, Any]:
    """What was read from a cache, and what was put into one, is no inputTokens; all is in the total."""
    details = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in (("1h", used.written_long), ("5m", used.written)) if tokens]
    return {
        "inputTokens": used.plain_input,
        "outputTokens": used.output,
        "totalTokens": used.input + used.output,
        "cacheReadInputTokens": used.cached,
        "cacheWriteInputTokens": used.written + used.written_long,
        "cacheDetails": details,
    }


def _end(words: Words) -> dict[str, Any]:
    return {
        "usage": usage(words.used),
        "metrics": {"latencyMs": words.took_ms},
        **({"serviceTier": {"type": words.used.tier}} if words.used.tier else {}),
    }


def _call_id(words: Words) -> str:
    return f"tooluse_{words.answer}"


def _signature(words: Words) -> str:
    """What must come back untouched with the thoughts that it signs."""
    return base64.b64encode(f"signed by {words.answer}".encode()).decode()


def conversation(words: Words) -> bytes:
    """A whole answer of Converse."""
    said, text = words.said, "".join(words.said.pieces)
    content: list[dict[str, Any]] = []
    if said.reasoning:
        thought = {"text": "".join(said.reasoning), "signature": _signature(words)}
        content.append({"reasoningContent": {"reasoningText": thought}})
    if said.tool:
        content.append({"toolUse": {"toolUseId": _call_id(words), "name": said.tool, "input": claude.whole_input(text)}})
    else:
        content.append({"text": text})
    message = {"role": "assistant", "content": content}
    return orjson.dumps({"output": {"message": message}, "stopReason": _REASONS[said.finish], **_end(words)})


def _event(kind: str, payload: Mapping[str, Any]) -> bytes:
    """With the padding that hides its length."""
    return frames.event(kind, orjson.dumps({**payload, "p": "abcdefghijkl"}))


def _delta(index: int, delta: Mapping[str, Any]) -> bytes:
    return _event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def events(words: Words) -> Iterator[Piece]:
    """A stream of Converse: a text begins with its first piece, a tool with a start; the usage comes behind the stop."""
    said, index = words.said, 0
    yield 0, _event("messageStart", {"role": "assistant"})
    if said.reasoning:
        for tokens, text in words.cut(said.reasoning):
            yield tokens, _delta(0, {"reasoningContent": {"text": text}})
        yield 0, _delta(0, {"reasoningContent": {"signature": _signature(words)}})
        yield 0, _event("contentBlockStop", {"contentBlockIndex": 0})
        index = 1
    if said.tool:
        start = {"toolUse": {"toolUseId": _call_id(words), "name": said.tool}}
        yield 0, _event("contentBlockStart", {"contentBlockIndex": index, "start": start})
    for tokens, text in words.cut(said.pieces):
        yield tokens, _delta(index, {"toolUse": {"input": text}} if said.tool else {"text": text})
    yield 0, _event("contentBlockStop", {"contentBlockIndex": index})
    yield 0, _event("messageStop", {"stopReason": _REASONS[said.finish]})
    yield 0, _event("metadata", _end(words))


def claude_events(words: Words) -> Iterator[Piece]:
    """Claude's own events, each in base64 in a frame; the last tells what was counted."""
    for tokens, text in claude.events(words):
        data = text.partition(b"data: ")[2].strip()
        if data == b'{"type":"message_stop"}':
            data = orjson.dumps({"type": "message_stop", "amazon-bedrock-invocationMetrics": _metrics(words)})
        if data != b'{"type":"ping"}':
            yield tokens, frames.event("chunk", orjson.dumps({"bytes": base64.b64encode(data).decode()}))


def _metrics(words: Words) -> dict[str, int]:
    used = words.used
    return {
        "inputTokenCount": used.plain_input,
        "outputTokenCount": used.output,
        "cacheReadInputTokenCount": used.cached,
        "cacheWriteInputTokenCount": used.written + used.written_long,
        "invocationLatency": words.took_ms,
        "firstByteLatency": 0,
    }


def embeddings(words: Words, vectors: Iterable[Sequence[float]]) -> bytes:
    """Titan's one vector, or Cohere's several, which tells no tokens."""
    body, made = words.asked.body, list(vectors)
    if words.asked.place.form == TITAN:
        return orjson.dumps(
            {"embedding": made[0], "embeddingsByType": {"float": made[0]}, "inputTextTokenCount": words.used.input},
        )
    told: dict[str, Any] = {"id": words.answer, "texts": body["texts"], "response_type": "embeddings_floats", "embeddings": made}
    if body.get("embedding_types"):
        told |= {"response_type": "embeddings_by_type", "embeddings": {"float": made}}
    return orjson.dumps(told)
