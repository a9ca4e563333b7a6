"""How soon work goes on whose worker died or was held too long."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from rateguard.jobs.states import AttemptState
from rateguard.torture.checks.evidence import AttemptSeen, Evidence, Found
from rateguard.torture.checks.room import Room
from rateguard.torture.checks.spans import p99, uncovered_s
from rateguard.torture.checks.struck import Struck
from rateguard.torture.record import RESTART_S

SERVERS = {"valkey", "postgres"}


@dataclasses.dataclass(frozen=True, slots=True)
class Restart:
    """An attempt that was lost with its process, and the next one of its job. base_at: from when on somebody could have gone on."""

    lost: AttemptSeen
    died_at: float
    base_at: float
    next_at: float
    took_s: float


def restart_p99(evidence: Evidence) -> Found:
    """From the death, or the return of Redis and PostgreSQL if that is later, to the next claim; time without room not counted."""
    restarts = list(restarts_of(evidence))
    found = Found(None if not restarts else round(p99(one.took_s for one in restarts) or 0.0, 1))
    for one in sorted(restarts, key=lambda one: -one.took_s):
        if one.took_s > RESTART_S:
            since = evidence.record.since
            found.lines.append(
                f"attempt {one.lost.job}.{one.lost.number} of {one.lost.holder}: died at {since(one.died_at).strip()}, "
                f"could go on from {since(one.base_at).strip()}, went on at {since(one.next_at).strip()}, {one.took_s:.1f} s with room"
            )
    return found


def restarts_of(evidence: Evidence) -> Iterator[Restart]:
    """Each attempt that was abandoned, and whose job was called again."""
    struck, room = Struck(evidence.record, evidence.faults), Room(evidence)
    for lost in evidence.attempts.values():
        job = evidence.jobs.get(lost.job)
        if lost.state != AttemptState.ABANDONED or lost.ended_at is None or job is None:
            continue
        died_at = struck.lost_at(lost.holder, lost.began_at, lost.ended_at)
        later = [one.began_at for one in _attempts(evidence, lost) if one.number > lost.number]
        if died_at is None or not later:
            continue
        next_at = min(later)
        base_at = max([died_at, *_returns(evidence, died_at, next_at)])
        took_s = uncovered_s((base_at, next_at), room.lacking(job, (base_at, next_at)))
        yield Restart(lost, died_at, base_at, next_at, took_s)


def _attempts(evidence: Evidence, of: AttemptSeen) -> Iterator[AttemptSeen]:
    number = of.number
    most = max((event.attempt for event in evidence.events.get(of.job, ())), default=number)
    while number < most:
        number += 1
        if (found := evidence.attempts.get((of.job, number))) is not None:
            yield found


def _returns(evidence: Evidence, died_at: float, next_at: float) -> list[float]:
    """When Redis or PostgreSQL came back in between."""
    return [
        min(fault.ended_at, next_at)
        for fault in evidence.faults
        if fault.target in SERVERS and fault.ended_at is not None and fault.ended_at >= died_at and fault.began_at <= next_at
    ]
