"""Anthropic's messages. max_tokens is not counted when a request comes in, output as it is produced; cached input is free."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

import orjson

from rateguard.engine.providers.sim.answers import EVENTS, JSON, NO_CACHE
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.prompt_cache import Cached, Part
from rateguard.engine.providers.sim.voices.anthropic import answer, limits, refusals, request
from rateguard.engine.providers.sim.voices.asked import Asked, Headers, Need, Place, Refusal, Used, Words, Wrong
from rateguard.engine.providers.sim.voices.openai.request import parse_object
from rateguard.engine.providers.sim.voices.voice import Piece, Refused, Voice
from rateguard.engine.providers.sim.wire import Exchange


class AnthropicVoice(Voice):
    """Anthropic."""

    provider = "anthropic"
    counts_as = "gpt-4o"

    def identity(self, request_id: str, processing_ms: int, date: bytes) -> Headers:
        """The headers that every answer has."""
        return [(b"request-id", request_id.encode()), (b"date", date), (b"anthropic-organization-id", b"org-sim")]

    def parse(self, place: Place, exchange: Exchange, raw: bytes) -> Asked:
        """Messages to answer or to count. Raises Refused."""
        body = parse_object(raw)
        text = request.complaint(place, body, exchange.header(b"anthropic-version"))
        if text or body is None:
            raise Refused(refusals.invalid(text, exchange.request_id))
        return request.parse(place, body, exchange.request_id)

    def cacheable(self, asked: Asked) -> Sequence[Part]:
        """Where the caller's marks are."""
        return request.cacheable(asked.body)

    def input_used(self, asked: Asked, input_tokens: int, cached: Cached) -> Used:
        """Reads and writes have prices of their own."""
        return Used(input_tokens, 0, cached.read, cached.written, cached.written_long)

    def need(self, asked: Asked, used: Used, max_tokens: int) -> Need:
        """What is read from the cache counts nowhere, what is put there does."""
        return Need(used.input - used.cached, used.input - used.cached)

    def settled_tokens(self, asked: Asked, used: Used) -> int | None:
        """A limit on all tokens has the output too, once it is known."""
        return used.input - used.cached + used.output

    def limit_headers(self, meters: Iterable[Meter], now_ms: float) -> Headers:
        """anthropic-ratelimit-*."""
        return limits.limit_headers(meters, now_ms)

    def limit_refusal(self, full: Meter, asked: Asked, need: int, now_ms: float) -> Refusal:
        """429."""
        return limits.limit_refusal(full, asked.request_id, need, now_ms)

    def whole(self, words: Words) -> tuple[Headers, bytes]:
        """A message."""
        return [JSON], answer.message(words)

    def stream_headers(self, words: Words) -> Headers:
        """Server-sent events."""
        return [EVENTS, NO_CACHE]

    def events(self, words: Words) -> Iterator[Piece]:
        """Named events."""
        return answer.events(words)

    def counted(self, asked: Asked, tokens: int) -> tuple[Headers, bytes]:
        """The answer of count_tokens."""
        return [JSON], orjson.dumps({"input_tokens": tokens})

    def models(self, names: Sequence[str], created: int) -> tuple[Headers, bytes]:
        """One page with all models."""
        at = dt.datetime.fromtimestamp(created, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        data = [{"type": "model", "id": name, "display_name": name, "created_at": at} for name in names]
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return [JSON], orjson.dumps({"data": data, "has_more": False, **ends})

    def wrong(self, wrong: Wrong, detail: str = "", request_id: str = "") -> Refusal:
        """An error of the caller's."""
        return refusals.wrong(wrong, detail, request_id)

    def fault(self, fault: Fault, asked: Asked) -> Refusal | None:
        """In Anthropic's words."""
        return refusals.fault_refusal(fault, asked.request_id)

    def broken(self, kind: FaultKind, asked: Asked) -> bytes:
        """An event of an error, or half of one."""
        return refusals.broken(kind, asked.request_id)
