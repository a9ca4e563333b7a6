"""What the end of a call means: its attempt, its charge, what the gate is told. Judged as a job's attempt is; nothing is tried again."""

from __future__ import annotations

import dataclasses
import time

from rateguard.calls.call import CallEnded, Granted
from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Outcome
from rateguard.jobs.attempts.cooling import cooldown_of
from rateguard.jobs.attempts.outcome import Finished, as_far_as, charged_for, settlement_after, succeeded
from rateguard.jobs.attempts.settle import CallRecord, Ended
from rateguard.jobs.states import FAIL, STOP, AttemptState


def finished(granted: Granted, ended: CallEnded, holder: str) -> Finished:
    """The end of a call, ready to be written. The answer itself is the caller's, and never in a row."""
    record = _record(granted, holder)
    if ended.outcome is not None:
        return _answered(granted, ended.outcome, ended.latency_ms, record)
    if ended.error is not None:
        return _failed(granted, ended.error, ended, record)
    return _stopped(granted, ended, record)


def _answered(granted: Granted, outcome: Outcome, latency_ms: int, record: CallRecord) -> Finished:
    as_a_job = succeeded(granted, granted.place, outcome, latency_ms)
    return dataclasses.replace(as_a_job, ended=dataclasses.replace(as_a_job.ended, result=None, call=record))


def _failed(granted: Granted, error: ProviderError, ended: CallEnded, record: CallRecord) -> Finished:
    cooldown = cooldown_of(error, granted.place)
    usage, nano_usd = charged_for(granted, granted.place, error)
    written = Ended(
        job=granted.job,
        attempt=granted.attempt,
        state=AttemptState.FAILED,
        transition=FAIL,
        usage=usage,
        nano_usd=nano_usd,
        is_overrun=nano_usd > granted.cost,
        error_code=error.code,
        error_message=str(error),
        latency_ms=ended.latency_ms,
        queue_ms=granted.queue_ms,
        call=record,
    )
    settlement = settlement_after(granted, granted.place, error, written, cooldown, has_left=ended.has_left)
    return Finished(written, settlement, None, ended.ended_at)


def _stopped(granted: Granted, ended: CallEnded, record: CallRecord) -> Finished:
    usage, nano_usd = as_far_as(ended.came, granted, granted.place) if ended.has_left else (Usage(), 0)
    error = ProviderError("given up", kind=ErrorKind.CANCELLED)
    written = Ended(
        job=granted.job,
        attempt=granted.attempt,
        state=AttemptState.CANCELLED,
        transition=STOP,
        usage=usage,
        nano_usd=nano_usd,
        is_overrun=nano_usd > granted.cost,
        error_code=error.code,
        error_message="it was given up while it ran",
        latency_ms=ended.latency_ms,
        queue_ms=granted.queue_ms,
        call=record,
    )
    settlement = settlement_after(granted, granted.place, error, written, None, has_left=ended.has_left)
    return Finished(written, settlement, None, ended.ended_at)


def _record(granted: Granted, holder: str) -> CallRecord:
    call, place = granted.call, granted.place
    return CallRecord(
        tenant_id=call.tenant_id,
        model=call.model,
        deployment_id=place.id,
        deployment=place.name,
        holder=holder,
        path=call.path,
        reserved_input_tokens=call.input_tokens,
        reserved_output_tokens=call.output_tokens,
        reserved_max_output_tokens=call.max_output_tokens,
        reserved_nano_usd=granted.cost,
        started_ago_ms=int((time.monotonic() - granted.granted_at) * 1000),
        of_job=call.job,
        api_key_id=call.api_key_id,
        team=call.team,
        rolegroup=call.rolegroup,
        role=call.role,
        user=call.user,
        run=call.run,
        cost_center=call.cost_center,
        labels=call.labels,
    )
