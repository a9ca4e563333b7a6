"""Answers in Google's shape, whole and streamed; a figure that is 0 is left out."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from rateguard.engine.providers.sim.voices.asked import Finish, Words
from rateguard.engine.providers.sim.voices.gemini import places
from rateguard.engine.providers.sim.voices.gemini.request import SSE, thinking
from rateguard.engine.providers.sim.voices.openai.request import parse_object
from rateguard.engine.providers.sim.voices.voice import Piece
from rateguard.engine.tokens import count_text

_REASONS = {Finish.STOP: "STOP", Finish.LENGTH: "MAX_TOKENS", Finish.TOOL: "STOP", Finish.FILTER: "SAFETY"}
_TRAFFIC = {"flex": "ON_DEMAND_FLEX", "priority": "ON_DEMAND_PRIORITY", "": "ON_DEMAND"}


def usage(words: Words, produced: int, thought: int, *, on_vertex: bool) -> dict[str, Any]:
    """So far: produced tokens, of which were thought. Output is told apart from thoughts; the total has all."""
    used = words.used
    figures: dict[str, Any] = {
        "promptTokenCount": used.input,
        "cachedContentTokenCount": used.cached,
        "candidatesTokenCount": produced - thought,
        "thoughtsTokenCount": thought,
        "totalTokenCount": used.input + produced,
    }
    told = {name: figure for name, figure in figures.items() if figure}
    told["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": used.input}]
    if on_vertex:
        told["trafficType"] = _TRAFFIC[used.tier]
    return told


def _signature(words: Words) -> str:
    """What must come back untouched with the part that it stands at."""
    return base64.b64encode(f"signed by {words.answer}".encode()).decode()


def _shows_thoughts(words: Words) -> bool:
    return bool(thinking(words.asked.body).get("includeThoughts"))


class Writer:
    """Writes the answers of one stream, or the one that is whole."""

    def __init__(self, words: Words, *, on_vertex: bool) -> None:
        self._words = words
        self._on_vertex = on_vertex
        self._signature = {"thoughtSignature": _signature(words)} if words.said.reasoning else {}
        self._produced = self._thought = 0

    def response(self, tokens: int, parts: Sequence[dict[str, Any]], finish: str = "", *, are_thoughts: bool = False) -> dict[str, Any]:
        """An answer with these parts, which come to what was there before."""
        self._produced += tokens
        self._thought += tokens if are_thoughts else 0
        candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        if finish == "SAFETY":
            candidate["safetyRatings"] = [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]
        return {
            "candidates": [candidate],
            "usageMetadata": usage(self._words, self._produced, self._thought, on_vertex=self._on_vertex),
            "modelVersion": self._words.model,
            "responseId": self._words.answer,
        }

    def signed(self, part: dict[str, Any]) -> dict[str, Any]:
        """The first part behind thoughts has their signature."""
        part, self._signature = {**part, **self._signature}, {}
        return part


def _call(words: Words) -> dict[str, Any] | None:
    """The call of a tool, which comes whole; None where it was cut."""
    arguments = parse_object("".join(words.said.pieces).encode())
    return None if arguments is None else {"functionCall": {"name": words.said.tool, "args": arguments}}


def whole(words: Words, *, on_vertex: bool) -> dict[str, Any]:
    """A whole answer."""
    writer, said = Writer(words, on_vertex=on_vertex), words.said
    parts: list[dict[str, Any]] = []
    if said.reasoning and _shows_thoughts(words):
        parts.append({"text": "".join(said.reasoning), "thought": True})
    writer.response(len(said.reasoning), (), are_thoughts=True)
    part = _call(words) if said.tool else {"text": "".join(said.pieces)}
    parts += [writer.signed(part)] if part else []
    return writer.response(len(said.pieces), parts, _REASONS[said.finish])


def _responses(words: Words, *, on_vertex: bool) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """A stream's answers; usage is in each, and grows."""
    writer, said, finish = Writer(words, on_vertex=on_vertex), words.said, _REASONS[words.said.finish]
    for tokens, text in words.cut(said.reasoning):
        response = writer.response(tokens, [{"text": text, "thought": True}], are_thoughts=True)
        yield tokens, response if _shows_thoughts(words) else None
    if said.tool:
        part = _call(words)
        yield len(said.pieces), writer.response(len(said.pieces), [writer.signed(part)] if part else [], finish)
        return
    pieces = list(words.cut(said.pieces))
    for number, (tokens, text) in enumerate(pieces, start=1):
        yield tokens, writer.response(tokens, [writer.signed({"text": text})], finish if number == len(pieces) else "")


def events(words: Words, *, on_vertex: bool) -> Iterator[Piece]:
    """A stream: with `alt=sse` events without names and without an end of their own, else one array that grows."""
    is_sse, is_first = words.asked.place.form == SSE, True
    for tokens, response in _responses(words, on_vertex=on_vertex):
        if response is None:
            yield tokens, b""
        elif is_sse:
            yield tokens, b"data: " + orjson.dumps(response) + b"\r\n\r\n"
        else:
            yield tokens, (b"[" if is_first else b",\r\n") + orjson.dumps(response, option=orjson.OPT_INDENT_2)
            is_first = False
    if not is_sse:
        yield 0, b"]" if not is_first else b"[]"


def embeddings(words: Words, vectors: Iterable[Sequence[float]]) -> bytes:
    """One embedding, a batch of them, or predictions."""
    form, asked = words.asked.place.form, words.asked
    if form == places.PREDICT:
        counts = [count_text(text, asked.model) for text in asked.countable["input"]]
        made = [
            {"embeddings": {"values": vector, "statistics": {"token_count": tokens, "truncated": False}}}
            for vector, tokens in zip(vectors, counts, strict=True)
        ]
        chars = sum(len(text) for text in asked.countable["input"])
        return orjson.dumps({"predictions": made, "metadata": {"billableCharacterCount": chars}})
    values = [{"values": vector} for vector in vectors]
    used = {"usageMetadata": {"promptTokenCount": words.used.input, "totalTokenCount": words.used.input}}
    return orjson.dumps({"embedding": values[0], **used} if form == places.EMBED else {"embeddings": values, **used})


def models(names: Iterable[str]) -> bytes:
    """The list of models."""
    found = [
        {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
        }
        for name in names
    ]
    return orjson.dumps({"models": found})


def published(names: Iterable[str]) -> bytes:
    """The list of models on Vertex."""
    return orjson.dumps({"publisherModels": [{"name": f"publishers/google/models/{name}", "versionId": "001"} for name in names]})
