"""The settle: the end of attempts, many at a time, behind one fence.

Result, attempt, entry, rollups, events and the outbox commit together or not at all.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from rateguard.engine.histogram import bin_of
from rateguard.engine.money import Usage
from rateguard.jobs.bodies import seal
from rateguard.jobs.ends import outbox
from rateguard.jobs.failures import fingerprint_of
from rateguard.jobs.models import Attempt
from rateguard.jobs.sql import statements
from rateguard.jobs.states import FAIL, SUCCEED, AttemptState, Transition
from tenants.models import GateEpoch


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """Another model that a job goes on with, and what it needs there; its tries begin anew. asked: the model that its caller named."""

    model: str
    asked: str
    counted_tokens: int
    input_tokens: int
    output_tokens: int


@dataclasses.dataclass(frozen=True, slots=True)
class Hedged:
    """The second call that went beside an attempt: where, after how long, whether it brought the answer, and what it cost.

    Its own attempt and entry are written apart, as a call's; the job's sums get its figures here.
    """

    deployment: str
    after_ms: int
    won: bool
    nano_usd: int
    input_tokens: int
    output_tokens: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """Whose a synchronous call was and where it went: what the row of a job tells of its attempts.

    of_job: the job whose second call it was. holder: the process that made it. reserved_…: as of an attempt. started_ago_ms: since it was
    let in. run: the innermost of the path.
    """

    tenant_id: int
    model: str
    deployment_id: int
    deployment: str
    holder: str
    path: str
    reserved_input_tokens: int
    reserved_output_tokens: int
    reserved_max_output_tokens: int
    reserved_nano_usd: int
    started_ago_ms: int = 0
    of_job: uuid.UUID | None = None
    api_key_id: int | None = None
    team: str = ""
    rolegroup: str = ""
    role: str = ""
    user: str = ""
    run: uuid.UUID | None = None
    cost_center: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of an attempt, as it will be written.

    job: the job, or of a synchronous call its own id; call: whose it was. A call has no events and tells nobody. The rollups count it like
    a job, because people ask for both by one word, requests; but the second call of a job counts with its money and tokens alone.

    transition: what its job does. nano_usd: what it costs (0: nothing was billed). retry_ms: the wait before the next try of a `retry`.
    counts_try, counts_abandoned: whether the job's counters rise. queue_ms, latency_ms: waiting before the claim; the call itself.
    route_marks: the job's from here on, None: as they are. moved: the model that it falls back to. told: what the event tells beside the
    error. hedged: its second call. Where that one brought the answer, the attempt is `cancelled` or `failed` and its job succeeds.
    """

    job: uuid.UUID
    attempt: int
    state: AttemptState
    transition: Transition
    usage: Usage
    nano_usd: int
    is_overrun: bool = False
    result: str | None = None
    error_code: str = ""
    error_message: str = ""
    retry_ms: int = 0
    counts_try: bool = False
    counts_abandoned: bool = False
    latency_ms: int | None = None
    queue_ms: int | None = None
    provider_request_id: str = ""
    route_marks: str | None = None
    moved: Moved | None = None
    told: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hedged: Hedged | None = None
    call: CallRecord | None = None


Key = tuple[uuid.UUID, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What a settle wrote. keys: (job, attempt) of those that were open. epoch: the gate's, None where no call was among them."""

    keys: set[Key]
    epoch: int | None


def settle(ended: Sequence[Ended]) -> set[Key]:
    """Write ends. Returns (job, attempt) of those that were open; a fenced one changed nothing but keeps its usage as `late_usage`."""
    return settle_all(ended).keys


def settle_all(ended: Sequence[Ended]) -> Settled:
    """The same; of synchronous calls it also tells the epoch under which they are written, which no rebuild raises before the commit."""
    rows = [_row(one) for one in sorted(ended, key=lambda one: (one.job, one.attempt))]
    found, epoch = _settle_at_once(rows) if connection.vendor == "postgresql" else _settle_in_parts(rows)
    settled = {(_as_uuid(job), attempt) for job, attempt, _ in found}
    outbox.tell_on_commit([_as_uuid(job) for job, _, has_told in found if has_told])
    for one in ended:
        if (one.job, one.attempt) not in settled and one.state == AttemptState.SUCCEEDED:
            _keep_late_usage(one)
    return Settled(settled, epoch)


_Found = tuple[Any, int, bool]
"""The job, its attempt, and whether its end is to be told."""


def _settle_at_once(rows: list[dict[str, Any]]) -> tuple[list[_Found], int | None]:
    (statement,) = statements("postgresql")["settle"]
    with connection.cursor() as cursor:
        cursor.execute(statement, [_json(rows)])
        found = cursor.fetchall()
    return [(job, attempt, is_told) for job, attempt, is_told, _ in found], next((epoch for *_, epoch in found), None)


def _settle_in_parts(rows: list[dict[str, Any]]) -> tuple[list[_Found], int | None]:
    fence, charge_jobs, *rest, tell = statements("sqlite")["settle"]
    calls = [row for row in rows if row["call"] is not None]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(fence, [_json(rows)])
        open_ones = {(job, attempt): bool(is_told) for job, attempt, is_told in cursor.fetchall()}
        if open_ones:
            cursor.execute(charge_jobs, [_json([row for row in rows if (row["job_id"], row["attempt"]) in open_ones])])
        epoch = _settle_calls(cursor, calls, open_ones) if calls else None
        mine = _json([row for row in rows if (row["job_id"], row["attempt"]) in open_ones])
        for part in rest if open_ones else ():
            cursor.execute(part, [mine])
        told: set[str] = set()
        if any(open_ones.values()):
            cursor.execute(tell, [mine])
            told = {job for (job,) in cursor.fetchall()}
    return [(job, attempt, job in told) for job, attempt in open_ones], epoch


def _settle_calls(cursor: CursorWrapper, calls: list[dict[str, Any]], open_ones: dict[tuple[Any, int], bool]) -> int:
    """Insert and charge calls that are not in the rows yet; adds them to the open ones. Returns the epoch."""
    fence, charge = statements("sqlite")["settle_calls"]
    cursor.execute(fence, [_json(calls)])
    written = dict.fromkeys(((job, number) for job, number in cursor.fetchall()), False)
    cursor.execute(charge, [_json([row for row in calls if (row["job_id"], row["attempt"]) in written])])
    open_ones.update(written)
    return GateEpoch.current()


def _as_uuid(value: uuid.UUID | str) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def _row(one: Ended) -> dict[str, Any]:
    usage, message = one.usage, one.error_message.replace("\x00", "")[:2_000]
    return {
        "job_id": one.job.hex,
        "attempt": one.attempt,
        "attempt_state": one.state.value,
        "transition": one.transition.name,
        "job_state": "" if one.call is not None and one.call.of_job is not None else one.transition.target.value,
        "tries": int(one.counts_try),
        "abandoned": int(one.counts_abandoned),
        "retry_ms": one.retry_ms,
        "result": None if one.result is None else seal(one.result),
        "error_code": one.error_code,
        "error_message": seal(message),
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "cache_write_long_tokens": usage.cache_write_long_tokens,
        "audio_input_tokens": usage.audio_input_tokens,
        "audio_output_tokens": usage.audio_output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "tier": usage.tier[:16],
        "terms": " ".join(usage.terms)[:64],
        "searches": usage.searches,
        "nano_usd": one.nano_usd,
        "is_estimated": usage.estimated,
        "is_overrun": one.is_overrun,
        "latency_ms": one.latency_ms,
        "provider_request_id": one.provider_request_id[:128],
        "latency_bin": bin_of(one.latency_ms or 0),
        "output_bin": bin_of(usage.output_tokens),
        "wait_bin": bin_of(one.queue_ms or 0),
        "queue_ms": one.queue_ms,
        "fingerprint": fingerprint_of(one.error_code, message) if one.transition is FAIL else "",
        "detail": {**one.told, "error": one.error_code} if one.error_code and one.transition is not SUCCEED else one.told,
        "route_marks": one.route_marks,
        **_move(one.moved),
        **_beside(one.hedged),
        "call": None if one.call is None else _call(one.call),
    }


def _call(call: CallRecord) -> dict[str, Any]:
    ids = {name: None if (one := getattr(call, name)) is None else one.hex for name in ("of_job", "run")}
    return {name: getattr(call, name) for name in _OF_A_CALL} | ids | {"labels": dict(call.labels)}


_OF_A_CALL = tuple(field.name for field in dataclasses.fields(CallRecord))


def _move(moved: Moved | None) -> dict[str, Any]:
    return (
        {}
        if moved is None
        else {
            "to_model": moved.model,
            "to_counted_tokens": moved.counted_tokens,
            "to_input_tokens": moved.input_tokens,
            "to_output_tokens": moved.output_tokens,
            "fallen_back_from": moved.asked,
        }
    )


def _beside(hedged: Hedged | None) -> dict[str, Any]:
    return (
        {}
        if hedged is None
        else {
            "beside_nano_usd": hedged.nano_usd,
            "beside_input_tokens": hedged.input_tokens,
            "beside_output_tokens": hedged.output_tokens,
            "won_at": hedged.deployment if hedged.won else None,
            "hedged": {"deployment": hedged.deployment, "after_ms": hedged.after_ms, "won": hedged.won},
        }
    )


def _keep_late_usage(one: Ended) -> None:
    """What a fenced attempt learned too late, for a correction."""
    late = {**dataclasses.asdict(one.usage), "nano_usd": one.nano_usd}
    abandoned = Attempt.objects.filter(reservation_id=one.job, number=one.attempt, state=AttemptState.ABANDONED, late_usage__isnull=True)
    abandoned.update(late_usage=late)
