"""OpenAI's chat completions and embeddings, also as the compatible providers speak them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import orjson

from rateguard.engine.providers.sim.answers import EVENTS, JSON, NO_CACHE
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.prompt_cache import Cached
from rateguard.engine.providers.sim.voices.asked import Asked, Headers, Need, Place, Refusal, Used, Words, Wrong
from rateguard.engine.providers.sim.voices.openai import answer, limits, refusals, request, responses
from rateguard.engine.providers.sim.voices.voice import Piece, Refused, Voice
from rateguard.engine.providers.sim.wire import Exchange


class OpenAIVoice(Voice):
    """OpenAI. Counts the input and max_tokens when a request comes in, and gives nothing back."""

    provider = "openai"

    def identity(self, request_id: str, processing_ms: int, date: bytes) -> Headers:
        """The headers that every answer has."""
        return [
            (b"x-request-id", request_id.encode()),
            (b"openai-processing-ms", str(processing_ms).encode()),
            (b"date", date),
            (b"openai-version", b"2020-10-01"),
            (b"openai-organization", b"org-sim"),
        ]

    def parse(self, place: Place, exchange: Exchange, raw: bytes) -> Asked:
        """A chat or an embedding. Raises Refused."""
        body = request.parse_object(raw)
        asked = responses.parse(place, body or {}) if place.form == responses.FORM else request.parse(place, body)
        if asked is None:
            raise Refused(self.wrong(Wrong.BODY))
        if any(isinstance(value := asked.body.get(name), int) and value < 1 for name in request.MAX_TOKENS_FIELDS):
            raise Refused(self.wrong(Wrong.MAX_TOKENS))
        if asked.body.get("previous_response_id"):
            raise Refused(self.wrong(Wrong.PREVIOUS, asked.body["previous_response_id"]))
        return asked

    def cacheable(self, asked: Asked) -> bytes:
        """The whole prompt: OpenAI caches by itself."""
        return orjson.dumps([asked.countable.get("tools"), asked.countable.get("messages")])

    def input_used(self, asked: Asked, input_tokens: int, cached: Cached) -> Used:
        """Newer models bill what is put into the cache."""
        return Used(input_tokens, 0, cached.read, cached.written if asked.model.startswith(answer.WRITERS) else 0)

    def need(self, asked: Asked, used: Used, max_tokens: int) -> Need:
        """Cached tokens count too."""
        return Need(used.input + max_tokens, used.input)

    def limit_headers(self, meters: Iterable[Meter], now_ms: float) -> Headers:
        """x-ratelimit-*."""
        return limits.limit_headers(meters, now_ms)

    def limit_refusal(self, full: Meter, asked: Asked, need: int, now_ms: float) -> Refusal:
        """429."""
        return limits.limit_refusal(full, asked.model, need, now_ms)

    def whole(self, words: Words) -> tuple[Headers, bytes]:
        """A chat completion, or a response."""
        if words.asked.place.form == responses.FORM:
            return [JSON], orjson.dumps(responses.response(words))
        return [JSON], orjson.dumps(answer.chat_completion(words))

    def stream_headers(self, words: Words) -> Headers:
        """Server-sent events."""
        return [EVENTS, NO_CACHE]

    def events(self, words: Words) -> Iterator[Piece]:
        """Chunks, or events of a response."""
        return responses.events(words) if words.asked.place.form == responses.FORM else answer.events(words)

    def embeddings(self, words: Words, vectors: Iterable[Sequence[float]]) -> tuple[Headers, bytes]:
        """A list of embeddings."""
        return [JSON], answer.embeddings(words, vectors)

    def counted(self, asked: Asked, tokens: int) -> tuple[Headers, bytes]:
        """The answer of input_tokens."""
        return [JSON], orjson.dumps({"object": "response.input_tokens", "input_tokens": tokens})

    def models(self, names: Sequence[str], created: int) -> tuple[Headers, bytes]:
        """The list of models."""
        return [JSON], answer.models(names, created)

    def wrong(self, wrong: Wrong, detail: str = "", request_id: str = "") -> Refusal:
        """An invalid_request_error."""
        return refusals.wrong(wrong, detail)

    def fault(self, fault: Fault, asked: Asked) -> Refusal | None:
        """In OpenAI's words."""
        return refusals.fault_refusal(fault, asked.model)

    def broken(self, kind: FaultKind, asked: Asked) -> bytes:
        """An event, or half of one."""
        breaks = responses.BREAKS if asked.place.form == responses.FORM else refusals.BREAKS
        return breaks.get(kind, b"")
