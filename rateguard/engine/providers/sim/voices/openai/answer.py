"""Chat completions, whole and in chunks; embeddings; the list of models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.providers.sim.answers import event, packed
from rateguard.engine.providers.sim.voices.asked import Finish, Used, Words
from rateguard.engine.providers.sim.voices.voice import Piece

WRITERS = ("gpt-5.6", "gpt-6")
"""Models with which what is put into the prompt cache is told, and billed. Source: OpenAI's price list of November 2026."""
FINISHES = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TOOL: "tool_calls", Finish.FILTER: "content_filter"}
_OBFUSCATION = "kX3vQ9bL2mZ7wR5t"


def usage(used: Used, model: str = "") -> dict[str, Any]:
    """The usage of a chat."""
    details = {"cached_tokens": used.cached, "audio_tokens": 0}
    if model.startswith(WRITERS):
        details["cache_write_tokens"] = used.written
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_completion(words: Words) -> dict[str, Any]:
    """A whole chat completion."""
    said = words.said
    text = "".join(said.pieces)
    message: dict[str, Any] = {"role": "assistant", "content": None if said.tool else text, "refusal": None, "annotations": []}
    if said.tool:
        message["tool_calls"] = [{"id": call_id(words), "type": "function", "function": {"name": said.tool, "arguments": text}}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISHES[said.finish]}
    return {
        "id": f"chatcmpl-{words.answer}",
        "object": "chat.completion",
        "created": words.created,
        "model": words.model,
        "choices": [choice],
        "usage": usage(words.used, words.model),
        "service_tier": words.used.tier or "default",
        "system_fingerprint": "fp_simulated",
    }


def call_id(words: Words) -> str:
    """Of the call of a tool."""
    return f"call_{words.answer}"


class ChunkWriter:
    """Writes a stream's events; all chunks share id, created and model. `usage` is null in all but the last, where it was asked for."""

    def __init__(self, words: Words, *, with_usage: bool, obfuscate: bool) -> None:
        self._head = {
            "id": f"chatcmpl-{words.answer}",
            "object": "chat.completion.chunk",
            "created": words.created,
            "model": words.model,
            "service_tier": words.used.tier or "default",
            "system_fingerprint": "fp_simulated",
        }
        self._null_usage = {"usage": None} if with_usage else {}
        self._obfuscate = obfuscate

    def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        """A chunk with one choice."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._head, "choices": [choice], **self._null_usage}
        if self._obfuscate:
            chunk["obfuscation"] = _OBFUSCATION[len(str(delta)) % 16 :]
        return event(orjson.dumps(chunk))

    def usage(self, used: Mapping[str, Any]) -> bytes:
        """The last chunk, without a choice."""
        return event(orjson.dumps({**self._head, "choices": [], "usage": used}))


def events(words: Words) -> Iterator[Piece]:
    """A stream of chunks. What was thought goes by without a word: this API does not show it."""
    options = words.asked.body.get("stream_options") or {}
    with_usage = bool(options.get("include_usage"))
    writer = ChunkWriter(words, with_usage=with_usage, obfuscate=options.get("include_obfuscation") is not False)
    said = words.said
    yield 0, writer.delta({"role": "assistant", "content": None if said.tool else "", "refusal": None})
    if said.reasoning:
        yield len(said.reasoning), b""
    if said.tool:
        first = {"index": 0, "id": call_id(words), "type": "function", "function": {"name": said.tool, "arguments": ""}}
        yield 0, writer.delta({"tool_calls": [first]})
    for tokens, text in words.cut(said.pieces):
        yield tokens, writer.delta({"tool_calls": [{"index": 0, "function": {"arguments": text}}]} if said.tool else {"content": text})
    yield 0, writer.delta({}, FINISHES[said.finish])
    if with_usage:
        yield 0, writer.usage(usage(words.used, words.model))
    yield 0, event(b"[DONE]")


def embeddings(words: Words, vectors: Iterable[Sequence[float]]) -> bytes:
    """An embeddings answer; `base64` packs each vector as little-endian float32."""
    is_packed = words.asked.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": packed(vector) if is_packed else vector}
        for index, vector in enumerate(vectors)
    ]
    used = {"prompt_tokens": words.used.input, "total_tokens": words.used.input}
    return orjson.dumps({"object": "list", "data": data, "model": words.model, "usage": used})


def models(names: Iterable[str], created: int) -> bytes:
    """The list of models."""
    data = [{"id": name, "object": "model", "created": created, "owned_by": "sim"} for name in names]
    return orjson.dumps({"object": "list", "data": data})
