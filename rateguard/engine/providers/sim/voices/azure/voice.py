"""Azure OpenAI, at a deployment's address and at /openai/v1. Counts as OpenAI does, in renewal periods."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence

from rateguard.engine.providers.sim.answers import JSON
from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.faults import Fault
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.voices.asked import Asked, Headers, Kind, Place, Refusal, Words, Wrong
from rateguard.engine.providers.sim.voices.azure import answer, limits, refusals
from rateguard.engine.providers.sim.voices.openai.voice import OpenAIVoice
from rateguard.engine.providers.sim.voices.voice import Piece, Refused
from rateguard.engine.providers.sim.wire import Exchange

CLASSIC = "classic"
"""The form at a deployment's address, which needs `api-version`."""
_ROOT = "/openai/"
_ENDS = {
    "chat/completions": Place(Kind.CHAT),
    "embeddings": Place(Kind.EMBEDDINGS),
    "responses": Place(Kind.CHAT, form="responses"),
    "models": Place(Kind.MODELS),
}


class AzureVoice(OpenAIVoice):
    """Azure OpenAI."""

    provider = "azure"

    def find(self, path: str) -> Place | None:
        """/openai/deployments/{deployment}/chat/completions, or /openai/v1/chat/completions."""
        first, _, rest = path.removeprefix(_ROOT).partition("/")
        if first == "v1":
            return _ENDS.get(rest)
        deployment, _, end = rest.partition("/")
        place = _ENDS.get(end)
        return Place(place.kind, deployment, form=CLASSIC) if first == "deployments" and place and not place.form else None

    def request_id(self, number: str) -> str:
        """A UUID."""
        return str(uuid.UUID(hex=number.rjust(32, "0")))

    def identity(self, request_id: str, processing_ms: int, date: bytes) -> Headers:
        """The headers that every answer has."""
        name = request_id.encode()
        return [(b"apim-request-id", name), (b"x-request-id", name), (b"x-ms-region", b"Sweden Central"), (b"date", date)]

    def parse(self, place: Place, exchange: Exchange, raw: bytes) -> Asked:
        """As OpenAI; the deployment's address needs an api-version. Raises Refused."""
        if place.form == CLASSIC and b"api-version=" not in exchange.query:
            raise Refused(self.wrong(Wrong.VERSION))
        return super().parse(place, exchange, raw)

    def rules(self, rules: Sequence[LimitRule]) -> Sequence[LimitRule]:
        """Requests in periods of ten seconds."""
        return limits.sliced(rules)

    def limit_headers(self, meters: Iterable[Meter], now_ms: float) -> Headers:
        """x-ratelimit-*, with the renewal periods."""
        return limits.limit_headers(meters, now_ms)

    def limit_refusal(self, full: Meter, asked: Asked, need: int, now_ms: float) -> Refusal:
        """429."""
        return limits.limit_refusal(full, need, now_ms)

    def whole(self, words: Words) -> tuple[Headers, bytes]:
        """With the filter's verdict."""
        return super().whole(words) if words.asked.place.form == "responses" else ([JSON], answer.chat_completion(words))

    def events(self, words: Words) -> Iterator[Piece]:
        """Likewise."""
        return super().events(words) if words.asked.place.form == "responses" else answer.events(words)

    def wrong(self, wrong: Wrong, detail: str = "", request_id: str = "") -> Refusal:
        """The gateway's, or OpenAI's."""
        return refusals.wrong(wrong, detail)

    def fault(self, fault: Fault, asked: Asked) -> Refusal | None:
        """In Azure's words."""
        return refusals.fault_refusal(fault, asked.model)
