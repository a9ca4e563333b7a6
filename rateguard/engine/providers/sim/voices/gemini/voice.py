"""Gemini, at the Gemini API and on Vertex. Counts the input alone; no header tells a limit."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

import orjson

from rateguard.engine.providers.sim.answers import EVENTS
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.voices.asked import Asked, Headers, Need, Place, Refusal, Used, Words, Wrong
from rateguard.engine.providers.sim.voices.gemini import answer, limits, places, refusals, request
from rateguard.engine.providers.sim.voices.gemini.refusals import JSON
from rateguard.engine.providers.sim.voices.openai.request import parse_object
from rateguard.engine.providers.sim.voices.voice import Piece, Refused, Voice
from rateguard.engine.providers.sim.wire import Exchange

_TOKEN_S = 3_599


class GeminiVoice(Voice):
    """The Gemini API."""

    provider = "gemini"
    counts_as = "gpt-4o"
    dimensions = 3_072
    on_vertex = False

    def find(self, path: str) -> Place | None:
        """`/v1/models/{model}:{verb}`."""
        return places.of_gemini(path)

    def identity(self, request_id: str, processing_ms: int, date: bytes) -> Headers:
        """The headers that every answer has: no id is among them."""
        return [(b"date", date), (b"server-timing", f"gfet4t7; dur={processing_ms}".encode())]

    def parse(self, place: Place, exchange: Exchange, raw: bytes) -> Asked:
        """A chat, an embedding, or something to count. Raises Refused."""
        body = parse_object(raw)
        if body is None:
            raise Refused(self.wrong(Wrong.BODY))
        if text := request.complaint(place, body):
            raise Refused(self.wrong(Wrong.BODY, text))
        if body.get("cachedContent"):
            raise Refused(self.wrong(Wrong.ADDRESS, body["cachedContent"]))
        return request.parse(place, body, is_sse=b"alt=sse" in exchange.query)

    def cacheable(self, asked: Asked) -> bytes:
        """The whole prompt: Gemini caches by itself."""
        return orjson.dumps([asked.body.get(name) for name in ("tools", "systemInstruction", "contents")])

    def need(self, asked: Asked, used: Used, max_tokens: int) -> Need:
        """The input; output is not limited."""
        return Need(used.input, used.input)

    def limit_headers(self, meters: Iterable[Meter], now_ms: float) -> Headers:
        """None."""
        return []

    def limit_refusal(self, full: Meter, asked: Asked, need: int, now_ms: float) -> Refusal:
        """RESOURCE_EXHAUSTED."""
        return limits.limit_refusal(full, asked.model, need, now_ms)

    def whole(self, words: Words) -> tuple[Headers, bytes]:
        """One answer."""
        return [JSON, *self._tier(words)], orjson.dumps(answer.whole(words, on_vertex=self.on_vertex))

    def stream_headers(self, words: Words) -> Headers:
        """Server-sent events, or one array."""
        return [EVENTS if words.asked.place.form == request.SSE else JSON, *self._tier(words)]

    def _tier(self, words: Words) -> Headers:
        """The tier that was really used (not verified)."""
        return [] if self.on_vertex else [(b"x-gemini-service-tier", (words.used.tier or "standard").encode())]

    def events(self, words: Words) -> Iterator[Piece]:
        """Answers that grow."""
        return answer.events(words, on_vertex=self.on_vertex)

    def embeddings(self, words: Words, vectors: Iterable[Sequence[float]]) -> tuple[Headers, bytes]:
        """In the form of the address."""
        return [JSON], answer.embeddings(words, vectors)

    def counted(self, asked: Asked, tokens: int) -> tuple[Headers, bytes]:
        """The answer of countTokens."""
        return [JSON], orjson.dumps({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})

    def models(self, names: Sequence[str], created: int) -> tuple[Headers, bytes]:
        """One page with all models."""
        return [JSON], answer.models(names)

    def wrong(self, wrong: Wrong, detail: str = "", request_id: str = "") -> Refusal:
        """INVALID_ARGUMENT, or what fits better."""
        return refusals.wrong(wrong, f"models/{detail}" if wrong is Wrong.MODEL else detail, on_vertex=self.on_vertex)

    def fault(self, fault: Fault, asked: Asked) -> Refusal | None:
        """In Google's words."""
        return refusals.fault_refusal(fault, asked, on_vertex=self.on_vertex)

    def broken(self, kind: FaultKind, asked: Asked) -> bytes:
        """Lines of an error, or half an answer."""
        return refusals.broken(kind, asked)


class VertexVoice(GeminiVoice):
    """Gemini on Vertex AI, with the OAuth server that gives the tokens."""

    provider = "vertex"
    on_vertex = True

    def find(self, path: str) -> Place | None:
        """`/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:{verb}`, or /token."""
        return places.of_vertex(path)

    def models(self, names: Sequence[str], created: int) -> tuple[Headers, bytes]:
        """One page with all models of Google's."""
        return [JSON], answer.published(names)

    def token(self, raw: bytes) -> tuple[Headers, bytes]:
        """A token for whoever the assertion names: its key here is `ya29.` and that name. Nothing is verified."""
        try:
            assertion = dict(urllib.parse.parse_qsl(raw.decode()))["assertion"]
            payload = assertion.split(".")[1]
            claims = parse_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) or {}
        except (ValueError, KeyError, IndexError):
            raise Refused(self.wrong(Wrong.BODY, "the assertion is no signed token")) from None
        return [JSON], orjson.dumps({"access_token": f"ya29.{claims.get('iss', 'sim')}", "expires_in": _TOKEN_S, "token_type": "Bearer"})
