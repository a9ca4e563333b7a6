"""The state and the rule of each kind of limit. limits.lua is the same, name by name.

Time is an argument (`now_ms`, whole milliseconds). Every figure is an integer below 2**53, so that Lua's doubles agree.
`wait_ms` answers 0 (room), a positive number of milliseconds, FOREVER (room only when
somebody settles), or NEVER (more than the limit itself).
"""

from __future__ import annotations

import math

from rateguard.engine.limits.limit import Kind, LimitRecord

NEVER = -1
FOREVER = 1 << 50


class LimitState:
    """What all kinds share: the record, how much is taken, and when the first parked node fits."""

    def __init__(self, record: LimitRecord) -> None:
        self.record = record
        self.total = 0
        self.opens_at = 0
        self.has_parked = False

    def advance(self, now_ms: int) -> None:
        """Let time pass: what left the window is free again."""

    def wait_ms(self, amount: int, now_ms: int) -> int:
        """How long until `amount` fits."""
        raise NotImplementedError

    def take(self, amount: int, now_ms: int) -> None:
        """Charge `amount` now."""
        raise NotImplementedError

    def recall(self, amount: int, at_ms: int) -> None:
        """Count, in a rebuild, what was charged at `at_ms`."""
        self.total += amount

    def move(self, amount: int, from_ms: int, to_ms: int) -> None:
        """A charge of `from_ms` turned out to count at `to_ms`. Only windows care."""

    def adjust(self, reserved: int, actual: int, charged_ms: int) -> None:
        """An attempt ended: `reserved` becomes `actual` in the place where it was charged."""
        raise NotImplementedError


class Window(LimitState):
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
        current = self.slice_at(now_ms)
        if current - self.head >= len(self.ring):
            self.ring = [0] * len(self.ring)
            self.total = 0
        else:
            for number in range(self.head + 1, current + 1):
                self.total -= self.ring[number % len(self.ring)]
                self.ring[number % len(self.ring)] = 0
        self.head = max(self.head, current)

    def wait_ms(self, amount: int, now_ms: int) -> int:
        """See LimitState."""
        if amount > self.record.amount:
            return NEVER
        return max(self._room_ms(amount, now_ms), self._pace_ms(amount, now_ms))

    def _room_ms(self, amount: int, now_ms: int) -> int:
        over = self.total + amount - self.record.amount
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
        ahead_us = max(self.pace_us, now_ms * 1000) - now_ms * 1000 + min(self._pace_of(amount), burst_us)
        return max(0, math.ceil((ahead_us - burst_us) / 1000))

    def _pace_of(self, amount: int) -> int:
        return math.ceil(amount * (self.record.window_ms * 1000 / self.record.amount))

    def take(self, amount: int, now_ms: int) -> None:
        """See LimitState."""
        self.total += amount
        self.ring[self.head % len(self.ring)] += amount
        if self.record.burst_permille < 1000:
            self.pace_us = max(self.pace_us, now_ms * 1000) + self._pace_of(amount)

    def recall(self, amount: int, at_ms: int) -> None:
        """See LimitState."""
        self._add(min(self.head, self.slice_at(at_ms)), amount)

    def move(self, amount: int, from_ms: int, to_ms: int) -> None:
        """See LimitState."""
        old, new = self.slice_at(from_ms), min(self.head, self.slice_at(to_ms))
        if new > old:
            self._add(old, -amount)
            self._add(new, amount)

    def adjust(self, reserved: int, actual: int, charged_ms: int) -> None:
        """See LimitState."""
        self._add(self.slice_at(charged_ms), actual - reserved)
        if actual < reserved and self.record.burst_permille < 1000:
            self.pace_us -= self._pace_of(reserved - actual)

    def _add(self, number: int, amount: int) -> None:
        """Change a slice that still lives, never below zero."""
        if number <= self.head - len(self.ring):
            return
        place = number % len(self.ring)
        change = max(amount, -self.ring[place])
        self.ring[place] += change
        self.total += change


class Concurrency(LimitState):
    """At most `amount` at the same time."""

    def wait_ms(self, amount: int, now_ms: int) -> int:
        """See LimitState."""
        if amount > self.record.amount:
            return NEVER
        return 0 if self.total + amount <= self.record.amount else FOREVER

    def take(self, amount: int, now_ms: int) -> None:
        """See LimitState."""
        self.total += amount

    def adjust(self, reserved: int, actual: int, charged_ms: int) -> None:
        """See LimitState."""
        self.total = max(0, self.total - reserved)


class Budget(LimitState):
    """At most `amount` in all: settled + reserved.

    What exceeds amount − settled can never come; what exceeds the rest waits for a settle.
    """

    def __init__(self, record: LimitRecord) -> None:
        super().__init__(record)
        self.reserved = 0

    def wait_ms(self, amount: int, now_ms: int) -> int:
        """See LimitState."""
        if self.total + amount <= self.record.amount:
            return 0
        settled = self.total - self.reserved
        return NEVER if settled + amount > self.record.amount else FOREVER

    def take(self, amount: int, now_ms: int) -> None:
        """See LimitState."""
        self.total += amount
        self.reserved += amount

    def adjust(self, reserved: int, actual: int, charged_ms: int) -> None:
        """See LimitState."""
        self.reserved = max(0, self.reserved - reserved)
        self.total += actual - reserved


def new_state(record: LimitRecord) -> LimitState:
    """The empty state of a limit."""
    kinds: dict[Kind, type[LimitState]] = {Kind.WINDOW: Window, Kind.CONCURRENCY: Concurrency, Kind.BUDGET: Budget}
    return kinds[record.kind](record)


def edited(old: LimitState, record: LimitRecord, now_ms: int) -> LimitState:
    """A limit after an edit: what is used stays, in the slices of the new window where the length has changed, and so does its pace."""
    new = new_state(record)
    if isinstance(old, Window) and isinstance(new, Window):
        new.advance(now_ms)
        new.pace_us = old.pace_us
        _carry_ring(old, new)
    elif type(old) is type(new):
        new.total = old.total
        if isinstance(old, Budget) and isinstance(new, Budget):
            new.reserved = old.reserved
    new.has_parked = old.has_parked
    return new


def _carry_ring(old: Window, new: Window) -> None:
    """A charge of an old slice can have come in that slice's last millisecond."""
    for number in range(old.head - len(old.ring) + 1, old.head + 1):
        amount = old.ring[number % len(old.ring)]
        if amount:
            last_ms = math.ceil((number + 1) * old.record.window_ms / old.record.slices) - 1
            new.recall(amount, last_ms)
