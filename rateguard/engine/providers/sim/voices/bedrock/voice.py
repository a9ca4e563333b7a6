"""Bedrock's runtime. Reserves the most that a request may take, and settles by the burndown; no header tells a limit."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence

import orjson

from rateguard.engine.providers.sim.answers import JSON
from rateguard.engine.providers.sim.config import Output
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.prompt_cache import Cached, Part
from rateguard.engine.providers.sim.voices.anthropic import answer as claude
from rateguard.engine.providers.sim.voices.asked import Asked, Headers, Kind, Need, Place, Refusal, Used, Words, Wrong
from rateguard.engine.providers.sim.voices.bedrock import answer, limits, refusals, request
from rateguard.engine.providers.sim.voices.openai.request import parse_object
from rateguard.engine.providers.sim.voices.voice import Piece, Refused, Voice
from rateguard.engine.providers.sim.wire import Exchange

_FRAMES = (b"content-type", b"application/vnd.amazon.eventstream")


class BedrockVoice(Voice):
    """Amazon Bedrock."""

    provider = "bedrock"
    counts_as = "gpt-4o"
    dimensions = 1_024

    def find(self, path: str) -> Place | None:
        """/model/{id}/converse and the like; an id may be an ARN, with slashes of its own."""
        if path == "/foundation-models":
            return Place(Kind.MODELS)
        model, _, deed = path.removeprefix("/model/").rpartition("/")
        kind, form = request.form_of(model)
        return {
            "converse": Place(Kind.CHAT, model, form=request.CONVERSE),
            "converse-stream": Place(Kind.CHAT, model, is_streamed=True, form=request.CONVERSE),
            "invoke": Place(kind, model, form=form),
            "invoke-with-response-stream": Place(Kind.CHAT, model, is_streamed=True, form=request.CLAUDE),
            "count-tokens": Place(Kind.COUNT, model),
        }.get(deed)

    def request_id(self, number: str) -> str:
        """A UUID."""
        return str(uuid.UUID(hex=number.rjust(32, "0")))

    def identity(self, request_id: str, processing_ms: int, date: bytes) -> Headers:
        """The headers that every answer has."""
        return [(b"date", date), (b"x-amzn-requestid", request_id.encode())]

    def parse(self, place: Place, exchange: Exchange, raw: bytes) -> Asked:
        """Converse, or a model's own body. Raises Refused."""
        body = parse_object(raw)
        if body is None:
            raise Refused(self.wrong(Wrong.BODY))
        if place.kind is Kind.COUNT:
            form, body = request.counted_input(body)
            place = Place(Kind.COUNT, place.model, form=form)
        if text := request.complaint(place, body):
            raise Refused(self.wrong(Wrong.BODY, text))
        return request.parse(place, place.model, body)

    def cacheable(self, asked: Asked) -> Sequence[Part]:
        """Where the caller's cache points are."""
        return request.cacheable(asked)

    def input_used(self, asked: Asked, input_tokens: int, cached: Cached) -> Used:
        """Reads and writes have prices of their own."""
        return Used(input_tokens, 0, cached.read, cached.written, cached.written_long)

    def most_tokens(self, asked: Asked, output: Output) -> int:
        """Where the request names no bound the model's own is reserved: the usual cause of an early 429."""
        return output.model_max_tokens if asked.max_tokens is None else asked.max_tokens

    def need(self, asked: Asked, used: Used, max_tokens: int) -> Need:
        """All input, also what a cache has, and the most output."""
        return Need(used.input + max_tokens, used.input)

    def settled_tokens(self, asked: Asked, used: Used) -> int | None:
        """What was read from the cache is given back, and what was not said; what was said counts several times."""
        return used.input - used.cached + used.output * limits.burndown(asked.model)

    def limit_headers(self, meters: Iterable[Meter], now_ms: float) -> Headers:
        """None."""
        return []

    def limit_refusal(self, full: Meter, asked: Asked, need: int, now_ms: float) -> Refusal:
        """ThrottlingException."""
        return limits.limit_refusal(full)

    def whole(self, words: Words) -> tuple[Headers, bytes]:
        """Converse's answer, or Claude's own."""
        if words.asked.place.form == request.CLAUDE:
            return [JSON, _input_tokens(words)], claude.message(words)
        return [JSON], answer.conversation(words)

    def stream_headers(self, words: Words) -> Headers:
        """Frames."""
        return [_FRAMES]

    def events(self, words: Words) -> Iterator[Piece]:
        """Frames of Converse, or of Claude's own events."""
        return answer.claude_events(words) if words.asked.place.form == request.CLAUDE else answer.events(words)

    def embeddings(self, words: Words, vectors: Iterable[Sequence[float]]) -> tuple[Headers, bytes]:
        """Titan's or Cohere's; a header tells the tokens (of Cohere not verified)."""
        return [JSON, _input_tokens(words)], answer.embeddings(words, vectors)

    def counted(self, asked: Asked, tokens: int) -> tuple[Headers, bytes]:
        """The answer of CountTokens."""
        return [JSON], orjson.dumps({"inputTokens": tokens})

    def models(self, names: Sequence[str], created: int) -> tuple[Headers, bytes]:
        """The foundation models."""
        found = [{"modelId": name, "modelName": name, "providerName": "sim", "modelArn": f"arn:aws:bedrock:::{name}"} for name in names]
        return [JSON], orjson.dumps({"modelSummaries": found})

    def wrong(self, wrong: Wrong, detail: str = "", request_id: str = "") -> Refusal:
        """A ValidationException, or what fits better."""
        return refusals.wrong(wrong, detail)

    def fault(self, fault: Fault, asked: Asked) -> Refusal | None:
        """In AWS's words."""
        return refusals.fault_refusal(fault)

    def broken(self, kind: FaultKind, asked: Asked) -> bytes:
        """A frame."""
        return refusals.broken(kind)


def _input_tokens(words: Words) -> tuple[bytes, bytes]:
    return (b"x-amzn-bedrock-input-token-count", str(words.used.input).encode())
