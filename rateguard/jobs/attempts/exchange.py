"""One exchange with a provider: an attempt's request at one deployment, when it left, and what its end is."""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Awaitable

import orjson

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest, ProviderError
from rateguard.engine.gate.contract import ReservationId
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Endpoint, OnChunk, OnSent, Outcome, Request
from rateguard.engine.providers.provider import Provider
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.attempts.outcome import Finished, failed, stopped, succeeded
from rateguard.jobs.attempts.passing_on import passed_on
from rateguard.jobs.attempts.retrying import as_provider_error, settings_of
from rateguard.jobs.bodies import opened
from tenants.directory import Place

logger = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Exchange:
    """claimed_at: time.monotonic() when its claim began; sent_at: when its request left, None before.

    outcome, error, came: how it ended: an answer, a failure, or what had come of a stream when it was given up.
    """

    claimed: Claimed
    place: Place
    claimed_at: float
    began_at: float = dataclasses.field(default_factory=time.monotonic)
    sent_at: float | None = None
    outcome: Outcome | None = None
    error: ProviderError | None = None
    came: Usage | None = None

    @property
    def reservation(self) -> ReservationId:
        """What it holds in the gate; it is also its name at the provider."""
        return ReservationId(self.claimed.job, self.claimed.attempt)

    @property
    def has_left(self) -> bool:
        """Whether something of it may have reached the provider."""
        return self.sent_at is not None

    def latency_ms(self) -> int:
        """Since it left; before that, since it began."""
        return int((time.monotonic() - (self.sent_at or self.began_at)) * 1000)

    def request(self) -> Request:
        """What the adapter gets."""
        claimed, settings = self.claimed, conf()
        return Request(
            endpoint=Endpoint(claimed.endpoint),
            body=orjson.loads(opened(claimed.request)),
            attempt_id=str(self.reservation),
            total_timeout_s=claimed.timeout_s,
            connect_timeout_s=claimed.connect_timeout_s or settings.connect_timeout_s,
            first_token_timeout_s=claimed.first_token_timeout_s or settings.first_token_timeout_s,
        )

    # ---- its end

    async def ended(self, answer: Awaitable[Finished]) -> Finished:
        """The end of an answer that is awaited, or of what went wrong with it. A cancellation passes through."""
        try:
            return await answer
        except ProviderError as error:
            logger.info("attempt failed at %s: %s: %s", self.place.name, error.code, error)
            return self.failed(error)
        except InvalidRequest as error:
            return self.refused(error)
        except Exception as error:
            logger.exception("attempt %s broke", self.reservation)
            return self.failed(as_provider_error(error, has_left=self.has_left))

    def answered(self, outcome: Outcome) -> Finished:
        """It was answered."""
        self.outcome = outcome
        return succeeded(self.claimed, self.place, outcome, self.latency_ms())

    def failed(self, error: ProviderError) -> Finished:
        """It failed."""
        self.error, claimed, chance = error, self.claimed, random.random()
        settings = settings_of(claimed.model, claimed.max_tries)
        return failed(claimed, self.place, error, self.latency_ms(), has_left=self.has_left, chance=chance, settings=settings)

    def refused(self, error: InvalidRequest) -> Finished:
        """Its adapter refused the request: another deployment may take it."""
        return passed_on(self.claimed, self.place, error, self.latency_ms()) or self.failed(as_provider_error(error, has_left=False))

    def stopped(self, came: Usage | None, *, is_cancelled: bool, is_requeued: bool) -> Finished:
        """It was given up. came: of a stream, by then."""
        self.came = came
        why = {"is_cancelled": is_cancelled, "is_requeued": is_requeued}
        return stopped(self.claimed, self.place, self.latency_ms(), has_left=self.has_left, came=came, **why)

    async def send(self, provider: Provider, request: Request, take: OnChunk, on_sent: OnSent) -> Outcome:
        """Make the call. take: gets the pieces of an answer that is streamed. Raises ProviderError, InvalidRequest."""
        if is_streamed(provider, request):
            return await provider.stream(self.place.target, request, take, on_sent)
        return await provider.call(self.place.target, request, on_sent)


def is_streamed(provider: Provider, request: Request) -> bool:
    """Whether the answer comes in pieces: the caller wants it so, and the provider can."""
    can_stream = request.endpoint is not Endpoint.EMBEDDINGS and provider.capabilities.streaming
    return can_stream and request.body.get("stream") is True
