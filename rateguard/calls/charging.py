"""What the end of a call means: its attempt, its charge, what the gate is told. Judged as a job's attempt is; nothing is tried again."""

from __future__ import annotations

import dataclasses
import time

from rateguard.calls.call import CallEnded, Granted
from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.base import Outcome
from rateguard.jobs.attempts.cooling import cooldown_of
from rateguard.jobs.attempts.outcome import Finished, charged_for, settlement_after, succeeded
from rateguard.jobs.attempts.settle import CallRecord, Ended
from rateguard.jobs.states import FAIL, STOP, AttemptState


def finished(granted: Granted, ended: CallEnded, holder: str) -> Finished:
    """The end of a call, ready to be written. The answer itself is the caller's, and never in a row."""
    record = _record(granted, holder)
    if ended.outcome is not None:
        return _answered(granted, ended.outcome, ended.latency_ms, record)
    return _unanswered(granted, ended, record)


def _answered(granted: Granted, outcome: Outcome, latency_ms: int, record: CallRecord) -> Finished:
    as_a_job = succeeded(granted, granted.place, outcome, latency_ms)
    return dataclasses.replace(as_a_job, ended=dataclasses.replace(as_a_job.ended, result=None, call=record))


def _unanswered(granted: Granted, ended: CallEnded, record: CallRecord) -> Finished:
    """It failed, or was given up; that is a failure too, billed by what had come of a stream, else as reserved, if it had left."""
    error = ended.error or _given_up(ended)
    is_failure = error is ended.error
    usage, nano_usd = charged_for(granted, granted.place, error)
    written = Ended(
        job=granted.job,
        attempt=granted.attempt,
        state=AttemptState.FAILED if is_failure else AttemptState.CANCELLED,
        transition=FAIL if is_failure else STOP,
        usage=usage,
        nano_usd=nano_usd,
        is_overrun=nano_usd > granted.cost,
        error_code=error.code,
        error_message=str(error),
        latency_ms=ended.latency_ms,
        queue_ms=granted.queue_ms,
        call=record,
    )
    cooldown = cooldown_of(error, granted.place)
    settlement = settlement_after(granted, granted.place, error, written, cooldown, has_left=ended.has_left)
    return Finished(written, settlement, None, ended.ended_at)


def _given_up(ended: CallEnded) -> ProviderError:
    error = ProviderError("it was given up while it ran", kind=ErrorKind.CANCELLED, may_be_billed=ended.has_left)
    error.usage = ended.came
    return error


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
