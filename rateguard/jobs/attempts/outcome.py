"""What the outcome of a call means: how its attempt ends, what its job does next, what the gate is told. Pure functions."""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import Protocol

from rateguard import wiring
from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.gate.contract import Cooldown, LimitReading, ReservationId, Settlement
from rateguard.engine.money import Usage, cost_nano_usd
from rateguard.engine.providers.base import Outcome
from rateguard.engine.readings import Reading
from rateguard.engine.retry import ELSEWHERE, Action, Failure, RetrySettings
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.attempts.cooling import cooldown_of
from rateguard.jobs.attempts.elsewhere import has_other, marks_after
from rateguard.jobs.attempts.retrying import judge
from rateguard.jobs.attempts.settle import Ended
from rateguard.jobs.line.pump import aged
from rateguard.jobs.models import Delivery
from rateguard.jobs.states import FAIL, HOLD_BACK, ORPHAN, REQUEUE, RETRY, STOP, SUCCEED, AttemptState
from tenants.directory import Place
from tenants.routing import PLAIN

SENT_TO_ARRIVED_MS = 100
"""Where a provider says how long it worked, a later arrival than this after the sending is reported; the guard covers the rest."""
_UNHEALTHY = {ErrorKind.CONNECT, ErrorKind.NETWORK, ErrorKind.TIMEOUT, ErrorKind.SERVER, ErrorKind.OVERLOADED}
"""What speaks against a deployment. A 429 and whatever else the caller or the account is told says nothing of its health."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """An end with what the gate is told after its commit. counted_at: the latest moment at which the provider can have counted it.

    heard_at: when the answer's headers came, which `settlement.readings` are from; time.monotonic(). falls_back_on: of a job that
    fails, or would wait for a passing limit, the kind of error on which its model names others (see `intake.fallback`); "" for none.
    """

    ended: Ended
    settlement: Settlement
    counted_at: float | None
    heard_at: float = dataclasses.field(default_factory=time.monotonic)
    falls_back_on: str = ""

    def settlement_at(self, now: float) -> Settlement:
        """The settlement as of now: what was read is as old as the answer."""
        ago_ms = max(0, int((now - self.heard_at) * 1000))
        return aged(self.settlement, ago_ms)


class Tried(Protocol):
    """What an attempt's end needs of it, whether a job's or a synchronous call's. cost: nano-dollars reserved."""

    @property
    def job(self) -> uuid.UUID:
        """The job, or the call's own id."""
        ...

    @property
    def attempt(self) -> int:
        """Its number."""
        ...

    @property
    def input_tokens(self) -> int:
        """Reserved."""
        ...

    @property
    def max_output_tokens(self) -> int:
        """Reserved."""
        ...

    @property
    def cost(self) -> int:
        """Reserved."""
        ...

    @property
    def queue_ms(self) -> int:
        """How long it waited."""
        ...


def succeeded(claimed: Tried, place: Place, outcome: Outcome, latency_ms: int) -> Finished:
    """The end of an answered call: billed as the provider counted."""
    nano_usd = cost_nano_usd(place.price, outcome.usage)
    ended = Ended(
        job=claimed.job,
        attempt=claimed.attempt,
        state=AttemptState.SUCCEEDED,
        transition=SUCCEED,
        usage=outcome.usage,
        nano_usd=nano_usd,
        is_overrun=nano_usd > claimed.cost,
        result=outcome.body.decode(),
        latency_ms=latency_ms,
        queue_ms=claimed.queue_ms,
        provider_request_id=outcome.provider_request_id,
    )
    usage = outcome.usage
    settlement = Settlement(
        ReservationId(claimed.job, claimed.attempt),
        used=True,
        input_tokens=usage.all_input_tokens,
        output_tokens=usage.output_tokens,
        cost=nano_usd,
        verdict=Verdict.SUCCESS,
        latency_ms=latency_ms,
        cached_tokens=usage.cached_tokens,
        readings=_readings(place, outcome.readings),
    )
    return Finished(ended, settlement, _counted_at(outcome), outcome.answered_at)


def _counted_at(outcome: Outcome) -> float | None:
    """The latest moment at which the provider can have counted the request, where that is later than the guard allows for."""
    if outcome.processing_ms is None:
        return None
    latest = outcome.answered_at - outcome.processing_ms / 1000
    return latest if latest - outcome.sent_at > SENT_TO_ARRIVED_MS / 1000 else None


def failed(
    claimed: Claimed, place: Place, error: ProviderError, latency_ms: int, *, has_left: bool, chance: float, settings: RetrySettings
) -> Finished:
    """The end of a failed call. What may have been billed is charged, by what came or as reserved, marked estimated.

    settings: of its retries (`retrying.settings_of`). chance: a random number in [0, 1).
    """
    cooldown = cooldown_of(error, place)
    is_elsewhere = (error.kind in ELSEWHERE or error.kind is ErrorKind.RATE_LIMITED) and has_other(claimed, place, error.kind, cooldown)
    failure = _failure_of(claimed, error, has_left=has_left, is_elsewhere=is_elsewhere)
    verdict = judge(failure, settings, chance)
    transition = {Action.RETRY: RETRY, Action.HOLD_BACK: HOLD_BACK, Action.GIVE_UP: FAIL}[verdict.action]
    usage, nano_usd = charged_for(claimed, place, error)
    ended = Ended(
        job=claimed.job,
        attempt=claimed.attempt,
        state=AttemptState.FAILED,
        transition=transition,
        usage=usage,
        nano_usd=nano_usd,
        is_overrun=nano_usd > claimed.cost,
        error_code=error.code,
        error_message=str(error),
        retry_ms=verdict.wait_ms,
        counts_try=verdict.action != Action.HOLD_BACK,
        route_marks=None if transition is FAIL else marks_after(claimed, place, error.kind, cooldown),
        latency_ms=latency_ms,
        queue_ms=claimed.queue_ms,
    )
    settlement = settlement_after(claimed, place, error, ended, cooldown, has_left=has_left)
    is_over = transition is FAIL or (error.kind is ErrorKind.RATE_LIMITED and not is_elsewhere)
    may_go = is_over and not (failure.is_at_most_once and has_left)
    return Finished(ended, settlement, None, falls_back_on=_falls_back_on(claimed.model, error.kind) if may_go else "")


def _failure_of(claimed: Claimed, error: ProviderError, *, has_left: bool, is_elsewhere: bool) -> Failure:
    """What the policy is asked."""
    return Failure(
        kind=error.kind,
        tries=claimed.tries,
        has_left=has_left,
        retry_after_ms=error.retry_after_ms,
        deadline_in_ms=None if claimed.deadline_in_s is None else int(claimed.deadline_in_s * 1000),
        is_at_most_once=claimed.delivery == Delivery.AT_MOST_ONCE,
        has_other=is_elsewhere,
    )


def _falls_back_on(model: str, kind: ErrorKind) -> str:
    """What the model's fallbacks are asked for; "" where it has none for this. Only one that names a passing limit saves waiting for it."""
    routing = wiring.directory().routing.get(model, PLAIN)
    if kind is ErrorKind.RATE_LIMITED:
        return kind.value if any(one.on == kind.value for one in routing.fallbacks) else ""
    return kind.value if kind is not ErrorKind.CANCELLED and routing.fallbacks_on(kind.value) else ""


def stopped(
    claimed: Claimed,
    place: Place,
    latency_ms: int,
    *,
    has_left: bool,
    is_cancelled: bool,
    is_requeued: bool = False,
    came: Usage | None = None,
) -> Finished:
    """The end of a call that was given up: charged by what had come of a stream, else as reserved, if it had left.

    Where a person cancelled it, its job is over; where one put it back in line, or its worker leaves, the job goes back, unless it may
    never be sent twice.
    """
    usage, nano_usd = as_far_as(came, claimed, place) if has_left else (Usage(), 0)
    is_final = claimed.delivery == Delivery.AT_MOST_ONCE and has_left
    back = (REQUEUE, "its job was put back in line") if is_requeued else (ORPHAN, "its worker left")
    transition, message = (STOP, "cancelled while it ran") if is_cancelled else (FAIL, "its worker left") if is_final else back
    ended = Ended(
        job=claimed.job,
        attempt=claimed.attempt,
        state=AttemptState.CANCELLED if is_cancelled else AttemptState.ABANDONED,
        transition=transition,
        usage=usage,
        nano_usd=nano_usd,
        is_overrun=nano_usd > claimed.cost,
        error_code=ErrorKind.CANCELLED.value,
        error_message=message,
        latency_ms=latency_ms,
        queue_ms=claimed.queue_ms,
    )
    error = ProviderError("cancelled", kind=ErrorKind.CANCELLED)
    return Finished(ended, settlement_after(claimed, place, error, ended, None, has_left=has_left), None)


def charged_for(claimed: Tried, place: Place, error: ProviderError) -> tuple[Usage, int]:
    """What a failed call is charged: what may have been billed, by what came or as reserved."""
    return as_far_as(error.usage, claimed, place) if error.may_be_billed else (Usage(), 0)


def as_far_as(came: Usage | None, claimed: Tried, place: Place) -> tuple[Usage, int]:
    """What came before a stream broke or was stopped; where nothing is known of it, all that was reserved."""
    if came is None:
        return as_reserved(claimed.input_tokens, claimed.max_output_tokens, claimed.cost)
    return came, cost_nano_usd(place.price, came)


def as_reserved(input_tokens: int, max_output_tokens: int, nano_usd: int) -> tuple[Usage, int]:
    """What an attempt of unknown usage is charged: all that was reserved, marked estimated, until a bill corrects it."""
    return Usage(input_tokens=input_tokens, output_tokens=max_output_tokens, estimated=True), nano_usd


def verdict_of(error: ProviderError) -> Verdict:
    """What a failed call says of its deployment: a 4xx nothing, whatever it means for the job."""
    is_refusal = 400 <= error.status < 500
    return Verdict.FAILURE if error.kind in _UNHEALTHY and not is_refusal else Verdict.NONE


def settlement_after(
    claimed: Tried, place: Place, error: ProviderError, ended: Ended, cooldown: Cooldown | None, *, has_left: bool
) -> Settlement:
    """For the gate: a request that never arrived gives everything back; a refusal cools what it names."""
    return Settlement(
        ReservationId(claimed.job, claimed.attempt),
        used=has_left and error.kind != ErrorKind.CONNECT,
        input_tokens=ended.usage.all_input_tokens,
        output_tokens=ended.usage.output_tokens,
        cost=ended.nano_usd,
        cooldown=cooldown,
        verdict=verdict_of(error),
        latency_ms=ended.latency_ms or 0,
        cached_tokens=ended.usage.cached_tokens,
        readings=_readings(place, error.readings),
    )


def _readings(place: Place, told: tuple[Reading, ...]) -> tuple[LimitReading, ...]:
    """What an answer's headers say, by the gate's limits."""
    return wiring.directory().readable_at(place.id).of(told) if told else ()
