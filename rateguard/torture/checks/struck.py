"""Which process had an attempt, and whether it died or was held: from the processes' lives and the faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rateguard.torture.record import Fault, Life, Record

HELD_S = 9.0
"""Struck for so long a process may be given up: dead after 12 s, and its last beat was up to 3 s before."""
HOLD = "freeze"
"""How the kinds of faults begin that keep a process from its work while it lives."""


@dataclasses.dataclass(frozen=True, slots=True)
class Struck:
    """Looks holders up. A holder's id is `host:pid:hex`, and a pid is of one life at a time."""

    record: Record
    faults: Sequence[Fault]

    def life_of(self, holder: str, at: float) -> Life | None:
        """The life of the process that was this holder then; None for one that the campaign did not start."""
        pid = holder.split(":")[1] if holder.count(":") > 1 else ""
        lives = [life for life in self.record.lives if str(life.pid) == pid and life.began_at <= at]
        return max(lives, key=lambda life: life.began_at, default=None)

    def died_or_held(self, holder: str, from_at: float, until_at: float) -> bool:
        """Whether what happened to the holder in this time lets somebody else have its work."""
        return self.lost_at(holder, from_at, until_at) is not None

    def lost_at(self, holder: str, from_at: float, until_at: float) -> float | None:
        """When the holder died in this time, or began to be held for too long; None where it did neither."""
        life = self.life_of(holder, from_at)
        if life is None:
            return None
        moments = [
            fault.began_at
            for fault in self.faults
            if fault.target == life.process and fault.kind.startswith(HOLD) and _overlaps(fault, from_at, until_at)
            if _held_s(fault, until_at) >= HELD_S
        ]
        if life.ended_at is not None and life.ended_at <= until_at:
            moments.append(life.ended_at)
        return min(moments, default=None)


def _held_s(fault: Fault, until_at: float) -> float:
    return (until_at if fault.ended_at is None else min(fault.ended_at, until_at)) - fault.began_at


def _overlaps(fault: Fault, from_at: float, until_at: float) -> bool:
    return fault.began_at <= until_at and (fault.ended_at is None or fault.ended_at >= from_at)
