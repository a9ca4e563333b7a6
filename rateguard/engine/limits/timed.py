"""Windows and buckets: the states of limits that count by time. rules.lua, windows.lua and told.lua are the same."""

from __future__ import annotations

import math
from collections.abc import Callable

from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import LimitRecord
from rateguard.engine.limits.states import NEVER, LimitState
from rateguard.engine.limits.told import FULL_PERMILLE, LimitReading, Told, first_told


class Timed(LimitState):
    """A window or a bucket: what a provider may tell of, and what may be learned."""

    def __init__(self, record: LimitRecord) -> None:
        super().__init__(record)
        self.told = first_told(record)

    def advance(self, now_ms: int) -> None:
        """See LimitState."""
        if self.told:
            self._changed(lambda told: told.expire(now_ms), min(now_ms, self.told.told_until_ms))

    def read(self, reading: LimitReading, now_ms: int) -> bool:
        """See LimitState."""
        ours, was = self.ours_at(reading.ago_ms, now_ms), (self.amount, self.foreign)
        self.told = self.told or Told()
        self._changed(lambda told: told.read(self.record, reading, now_ms, ours), now_ms)
        return self.amount > was[0] or self.foreign < was[1]

    def learn(self, now_ms: int, *, is_limited: bool) -> bool:
        """See LimitState."""
        if not self.told or not self.record.learns_from:
            return False
        was, is_full = self.amount, (self.used(now_ms) + self.foreign) * 1000 >= self.amount * FULL_PERMILLE
        self._changed(lambda told: told.learn(self.record, now_ms, is_limited=is_limited, is_full=is_full), now_ms)
        return self.amount > was

    def _changed(self, change: Callable[[Told], None], at_ms: int) -> None:
        """What is known changes, and with it the amount."""
        was = self.amount
        if self.told:
            change(self.told)
        if self.amount != was:
            self._recast(was, at_ms)

    def _recast(self, was: int, at_ms: int) -> None:
        """The amount is another since `at_ms`."""


class Window(Timed):
    """At most `amount` in any `window_ms`: a ring of slices with a running total, and a pace (GCRA, in microseconds)."""

    def __init__(self, record: LimitRecord) -> None:
        super().__init__(record)
        self.head = 0
        self.ring = [0] * record.ring
        self.pace_us = 0

    def slice_at(self, at_ms: int) -> int:
        """The number of the slice that holds a moment."""
        return at_ms * self.record.slices // self.record.window_ms

    def advance(self, now_ms: int) -> None:
        """See LimitState."""
        super().advance(now_ms)
        current = self.slice_at(now_ms)
        if current - self.head >= len(self.ring):
            self.ring = [0] * len(self.ring)
            self.total = 0
        else:
            for number in range(self.head + 1, current + 1):
                self.total -= self.ring[number % len(self.ring)]
                self.ring[number % len(self.ring)] = 0
        self.head = max(self.head, current)

    def wait_ms(self, amount: int, now_ms: int, lane: Lane) -> int:
        """See LimitState."""
        most = self.most_for(lane)
        if amount > self.bound_for(lane):
            return NEVER
        amount = min(amount, most)  # more than was learned so far goes alone
        return max(self._room_ms(self.total + amount - most, now_ms), self._pace_ms(amount, now_ms))

    def _room_ms(self, over: int, now_ms: int) -> int:
        """How long until it is not over any more: so much of ours has left; or what others use has, and so much less of ours."""
        foreign = self.told.foreign if self.told else 0
        if over + foreign <= 0 or not self.told or not foreign:
            return self._frees_ms(over, now_ms)
        without = max(self.told.foreign_until_ms - now_ms, self._frees_ms(over, now_ms))
        return without if over + foreign > self.total else min(without, self._frees_ms(over + foreign, now_ms))

    def ours_at(self, ago_ms: int, now_ms: int) -> int | None:
        """See LimitState. The ring is longer than the window by the guard: so long ago what it holds was all that there was."""
        known = (self.record.ring - 1 - self.record.slices) * self.record.window_ms
        return self.total if ago_ms * self.record.slices <= known else None

    def _frees_ms(self, over: int, now_ms: int) -> int:
        """How long until so much has left the window."""
        if over <= 0:
            return 0
        freed = 0
        for number in range(self.head - len(self.ring) + 1, self.head + 1):
            freed += self.ring[number % len(self.ring)]
            if freed >= over:
                leaves_at = math.ceil((number + len(self.ring)) * self.record.window_ms / self.record.slices)
                return max(1, leaves_at - now_ms)
        return self.record.window_ms

    def _pace_ms(self, amount: int, now_ms: int) -> int:
        if self.record.burst_permille == 1000:
            return 0
        burst_us = self.record.window_ms * self.record.burst_permille
        ahead_us = max(self.pace_us, now_ms * 1000) - now_ms * 1000 + min(pace_of(self.record, amount), burst_us)
        return max(0, math.ceil((ahead_us - burst_us) / 1000))

    def take(self, amount: int, now_ms: int) -> None:
        """See LimitState."""
        self.total += amount
        self.ring[self.head % len(self.ring)] += amount
        if self.record.burst_permille < 1000:
            self.pace_us = max(self.pace_us, now_ms * 1000) + pace_of(self.record, amount)

    def recall(self, amount: int, at_ms: int) -> None:
        """See LimitState."""
        self._add(min(self.head, self.slice_at(at_ms)), amount)

    def move(self, amount: int, from_ms: int, to_ms: int) -> bool:
        """See LimitState."""
        old, new = self.slice_at(from_ms), min(self.head, self.slice_at(to_ms))
        if new > old:
            self._add(old, -amount)
            self._add(new, amount)
        return new > old

    def adjust(self, reserved: int, actual: int, charged_ms: int, now_ms: int) -> None:
        """See LimitState."""
        self._add(self.slice_at(charged_ms), actual - reserved)
        if actual < reserved and self.record.burst_permille < 1000:
            self.pace_us -= pace_of(self.record, reserved - actual)

    def is_void(self, now_ms: int) -> bool:
        """See LimitState."""
        return super().is_void(now_ms) and self.pace_us <= now_ms * 1000

    def _add(self, number: int, amount: int) -> None:
        """Change a slice that still lives, never below zero."""
        if number <= self.head - len(self.ring):
            return
        place = number % len(self.ring)
        change = max(amount, -self.ring[place])
        self.ring[place] += change
        self.total += change


class Bucket(Timed):
    """Refilled without a break, `amount` in `window_ms`; holds `burst_permille` of the amount. Kept as the moment at which it is full.

    busy_ms: the last charge of a full bucket. Since then, never more is used than the bucket holds and what has flowed in.
    """

    def __init__(self, record: LimitRecord) -> None:
        super().__init__(record)
        self.pace_us = 0
        self.busy_ms = 0

    def wait_ms(self, amount: int, now_ms: int, lane: Lane) -> int:
        """See LimitState. Less than a millisecond ahead counts as room: it is what rounding adds."""
        most = self.most_for(lane)
        if amount > self.bound_for(lane):
            return NEVER
        amount = min(amount, most)  # more than was learned so far goes alone
        ahead_us = max(self.pace_us, now_ms * 1000) - now_ms * 1000 + self.pace_of(amount) - self.pace_of(most)
        if self.told and self.told.foreign:
            without = max(self.told.foreign_until_ms - now_ms, ahead_us // 1000)
            return max(0, min(without, (ahead_us + self.pace_of(self.told.foreign)) // 1000))
        return max(0, ahead_us // 1000)

    def ours_at(self, ago_ms: int, now_ms: int) -> int | None:
        """See LimitState. What has flowed in since was missing then."""
        return math.ceil(self.taken(now_ms) + ago_ms * (self.amount / self.record.window_ms))

    def take(self, amount: int, now_ms: int) -> None:
        """See LimitState."""
        if self.pace_us <= now_ms * 1000:
            self.busy_ms = now_ms
        self.pace_us = max(self.pace_us, now_ms * 1000) + self.pace_of(amount)

    def recall(self, amount: int, at_ms: int) -> None:
        """See LimitState."""
        self.take(amount, at_ms)

    def adjust(self, reserved: int, actual: int, charged_ms: int, now_ms: int) -> None:
        """See LimitState. A charge from before the bucket was last full has been refilled: it does not come back a second time."""
        if actual > reserved:
            self.pace_us = max(self.pace_us, now_ms * 1000) + self.pace_of(actual - reserved)
        elif charged_ms >= self.busy_ms:
            self.pace_us -= self.pace_of(reserved - actual)

    def used(self, now_ms: int) -> int:
        """See LimitState."""
        return math.ceil(self.taken(now_ms))

    def taken(self, now_ms: int) -> float:
        """What is not refilled yet, with the part that is on its way."""
        ahead_us = max(0, self.pace_us - now_ms * 1000)
        return ahead_us * (self.amount / (self.record.window_ms * 1000))

    def pace_of(self, amount: float) -> int:
        """How long `amount` takes to flow in, microseconds."""
        return pace_of(self.record, amount, self.amount)

    def _recast(self, was: int, at_ms: int) -> None:
        """What is missing stays missing; it flows in faster or slower from now on."""
        ahead_us = self.pace_us - at_ms * 1000
        if ahead_us > 0:
            self.pace_us = at_ms * 1000 + self.pace_of(ahead_us * (was / (self.record.window_ms * 1000)))

    def is_void(self, now_ms: int) -> bool:
        """See LimitState."""
        return self.pace_us <= now_ms * 1000 and not self.has_parked


def pace_of(record: LimitRecord, amount: float, whole: int | None = None) -> int:
    """How long `amount` takes at the even pace of a limit (of `whole` a window, else of its amount), microseconds."""
    return math.ceil(amount * (record.window_ms * 1000 / (record.amount if whole is None else whole)))
