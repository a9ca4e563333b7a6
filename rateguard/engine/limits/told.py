"""What is known of a provider's limit beside the amount that people set: what the provider tells, what others use there, what was learned.

Pure rules on figures; told.lua is the same, name by name. Nothing here ever raises what a limit lets through over its amount: a provider
that tells a smaller limit lowers it for as long as it tells so, one that has less left than we know of is used by others too, and a limit
that nobody knows is felt for from below.
"""

from __future__ import annotations

import dataclasses

from rateguard.engine.limits.limit import LimitRecord

TOLD_FOR_MS = 300_000
"""A told limit holds for so long after the last answer that told it."""

STEP_PERMILLE = 2_500
"""A full window without a refusal raises a learned limit by so much of its floor."""

CUT_PERMILLE = 750
"""A refusal leaves this share of a learned limit, once a window."""

FULL_PERMILLE = 900
"""A limit is full where so much of it is in use: raising one that nobody fills would say nothing of the provider."""


@dataclasses.dataclass(frozen=True, slots=True)
class LimitReading:
    """What an answer said of one limit of the gate. limit: its id. ago_ms: the age of the answer's headers.

    told: the provider's own amount, remaining: what is left of it, reset_ms: until it is full again; None where it is not told.
    """

    limit: str
    told: int | None = None
    remaining: int | None = None
    reset_ms: int | None = None
    ago_ms: int = 0


@dataclasses.dataclass(slots=True)
class Told:
    """What is known of one limit. Times are the gate's, ms; 0: nothing of the kind.

    read_ms: when the last answer that said something of the provider's state came. told: the provider's amount, until told_until_ms.
    foreign: what others use there, until foreign_until_ms. learned: the learned amount; learned_ms: when it last changed, cut_ms: was cut.
    """

    read_ms: int = 0
    told: int = 0
    told_until_ms: int = 0
    foreign: int = 0
    foreign_until_ms: int = 0
    learned: int = 0
    learned_ms: int = 0
    cut_ms: int = 0

    def amount(self, record: LimitRecord) -> int:
        """What the limit is now: never more than people set."""
        amount = self.bound(record)
        return min(amount, self.learned) if self.learned else amount

    def bound(self, record: LimitRecord) -> int:
        """What it can be at most: what people set, or what the provider tells."""
        return min(record.amount, self.told) if self.told else record.amount

    def expire(self, now_ms: int) -> None:
        """What was told long ago, and what others used before the provider's reset, says nothing any more."""
        if self.told_until_ms <= now_ms:
            self.told = 0
        if self.foreign_until_ms <= now_ms:
            self.foreign = 0

    def read(self, record: LimitRecord, reading: LimitReading, now_ms: int, ours: int | None) -> None:
        """An answer tells of the limit. ours: the most of our use that the provider can have counted when it answered; None: not known.

        An answer that is older than the last one that was read changes nothing. What the provider counts beyond ours is foreign: it stays
        until the provider's reset, and the next answer says it anew.
        """
        at_ms = now_ms - reading.ago_ms
        if at_ms < self.read_ms:
            return
        self.read_ms = at_ms
        if reading.told is not None and reading.told > 0:
            self.told, self.told_until_ms = reading.told, at_ms + TOLD_FOR_MS
        whole = reading.told or (0 if record.learns_from else record.amount)
        if ours is not None and whole and reading.remaining is not None:
            self.foreign = max(0, whole - reading.remaining - ours)
            self.foreign_until_ms = at_ms + (record.window_ms if reading.reset_ms is None else reading.reset_ms)
        self.expire(now_ms)

    def learn(self, record: LimitRecord, now_ms: int, *, is_limited: bool, is_full: bool) -> None:
        """An attempt ended, refused by the provider's limit or not: additive increase, multiplicative decrease."""
        if is_limited and now_ms >= self.cut_ms + record.window_ms:
            self.learned = max(record.learns_floor, self.learned * CUT_PERMILLE // 1000)
            self.learned_ms = self.cut_ms = now_ms
        elif is_full and not is_limited and now_ms >= self.learned_ms + record.window_ms:
            step = max(1, record.learns_floor * STEP_PERMILLE // 1000)
            self.learned = max(self.learned, min(self.bound(record), self.learned + step))
            self.learned_ms = now_ms


def first_told(record: LimitRecord) -> Told | None:
    """What is known of a limit in the beginning: nothing, but where to start from if it is to be learned."""
    return Told(learned=record.learns_from) if record.learns_from else None


def kept_told(old: Told | None, record: LimitRecord) -> Told | None:
    """What is known of an edited limit: what was learned stays, while it is still learned; what was told stays."""
    if old is None or not record.window_ms:
        return first_told(record)
    learned = max(record.learns_floor, min(old.learned or record.learns_from, record.amount)) if record.learns_from else 0
    return dataclasses.replace(old, learned=learned)
