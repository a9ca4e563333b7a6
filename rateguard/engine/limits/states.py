"""The state and the rule of each kind of limit. limits.lua is the same, name by name.

Time is an argument (`now_ms`, whole milliseconds). Every figure is an integer below 2**53, so that Lua's doubles agree.
`wait_ms` answers 0 (room), a positive number of milliseconds, FOREVER (room only when somebody settles or acts), NEVER (more than the
limit itself, or than a budget will have again), or DOWNGRADE (not from this budget: a cheaper model may do).
"""

from __future__ import annotations

import math

from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind, LimitRecord

NEVER = -1
DOWNGRADE = -2
FOREVER = 1 << 50

SECOND_MS, HOUR_MS = 1_000, 3_600_000


class LimitState:
    """What all kinds share: the record, how much is taken, and when the first parked node fits."""

    def __init__(self, record: LimitRecord) -> None:
        self.record = record
        self.total = 0
        self.opens_at = 0
        self.has_parked = False

    def advance(self, now_ms: int) -> None:
        """Let time pass: what left the window is free again."""

    def wait_ms(self, amount: int, now_ms: int, lane: Lane) -> int:
        """How long until `amount` fits, in this lane."""
        raise NotImplementedError

    def take(self, amount: int, now_ms: int) -> None:
        """Charge `amount` now."""
        self.total += amount

    def recall(self, amount: int, at_ms: int) -> None:
        """Count, in a rebuild, what was charged at `at_ms`."""
        self.total += amount

    def move(self, amount: int, from_ms: int, to_ms: int) -> bool:
        """A charge of `from_ms` turned out to count at `to_ms`. Only windows care. Returns whether it changed anything."""
        return False

    def adjust(self, reserved: int, actual: int, charged_ms: int, now_ms: int) -> None:
        """An attempt ended: `reserved` becomes `actual` in the place where it was charged."""
        raise NotImplementedError

    def used(self, now_ms: int) -> int:
        """What counts now."""
        return self.total

    def is_void(self, now_ms: int) -> bool:
        """Whether it says no more than a fresh state would."""
        return self.total == 0 and not self.has_parked

    def look_again_ms(self) -> int:
        """How long an untouched state may live before somebody asks whether it is void."""
        return max(SECOND_MS, self.record.window_ms)


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

    def wait_ms(self, amount: int, now_ms: int, lane: Lane) -> int:
        """See LimitState."""
        most = self.record.amount_for(lane)
        if amount > most:
            return NEVER
        return max(self._room_ms(amount, most, now_ms), self._pace_ms(amount, now_ms))

    def _room_ms(self, amount: int, most: int, now_ms: int) -> int:
        over = self.total + amount - most
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


class Bucket(LimitState):
    """Refilled without a break, `amount` in `window_ms`; holds `burst_permille` of the amount. Kept as the moment at which it is full.

    busy_ms: the last charge of a full bucket. Since then, never more is used than the bucket holds and what has flowed in.
    """

    def __init__(self, record: LimitRecord) -> None:
        super().__init__(record)
        self.pace_us = 0
        self.busy_ms = 0

    def wait_ms(self, amount: int, now_ms: int, lane: Lane) -> int:
        """See LimitState. Less than a millisecond ahead counts as room: it is what rounding adds."""
        most = self.record.amount_for(lane)
        if amount > most:
            return NEVER
        ahead_us = max(self.pace_us, now_ms * 1000) - now_ms * 1000 + pace_of(self.record, amount)
        return max(0, (ahead_us - pace_of(self.record, most)) // 1000)

    def take(self, amount: int, now_ms: int) -> None:
        """See LimitState."""
        if self.pace_us <= now_ms * 1000:
            self.busy_ms = now_ms
        self.pace_us = max(self.pace_us, now_ms * 1000) + pace_of(self.record, amount)

    def recall(self, amount: int, at_ms: int) -> None:
        """See LimitState."""
        self.take(amount, at_ms)

    def adjust(self, reserved: int, actual: int, charged_ms: int, now_ms: int) -> None:
        """See LimitState. A charge from before the bucket was last full has been refilled: it does not come back a second time."""
        if actual > reserved:
            self.pace_us = max(self.pace_us, now_ms * 1000) + pace_of(self.record, actual - reserved)
        elif charged_ms >= self.busy_ms:
            self.pace_us -= pace_of(self.record, reserved - actual)

    def used(self, now_ms: int) -> int:
        """See LimitState."""
        return math.ceil(self.taken(now_ms))

    def taken(self, now_ms: int) -> float:
        """What is not refilled yet, with the part that is on its way."""
        ahead_us = max(0, self.pace_us - now_ms * 1000)
        return ahead_us * (self.record.amount / (self.record.window_ms * 1000))

    def is_void(self, now_ms: int) -> bool:
        """See LimitState."""
        return self.pace_us <= now_ms * 1000 and not self.has_parked


class Concurrency(LimitState):
    """At most `amount` at the same time."""

    def wait_ms(self, amount: int, now_ms: int, lane: Lane) -> int:
        """See LimitState."""
        most = self.record.amount_for(lane)
        if amount > most:
            return NEVER
        return 0 if self.total + amount <= most else FOREVER

    def adjust(self, reserved: int, actual: int, charged_ms: int, now_ms: int) -> None:
        """See LimitState."""
        self.total = max(0, self.total - reserved)


class Budget(LimitState):
    """At most `amount` in all, or in each period: settled + reserved. What is reserved over the end of a period counts in the next one."""

    def __init__(self, record: LimitRecord) -> None:
        super().__init__(record)
        self.reserved = 0
        self.period = 0
        self.noticed = 0

    def advance(self, now_ms: int) -> None:
        """See LimitState."""
        began = self.record.period_began_ms(now_ms)
        if began > self.period:
            self.period, self.noticed = began, 0
            self.total = self.reserved

    def wait_ms(self, amount: int, now_ms: int, lane: Lane) -> int:
        """See LimitState. What exceeds the rest only by what is reserved waits for a settle, or for the next period."""
        most = self.record.amount_for(lane)
        if self.total + amount <= most:
            return 0
        if self.total - self.reserved + amount <= most:
            return self.next_period_ms(now_ms)
        if self.record.on_exhausted == Exhausted.DOWNGRADE:
            return DOWNGRADE
        if self.record.on_exhausted == Exhausted.REJECT or amount > most:
            return NEVER
        return self.next_period_ms(now_ms)

    def next_period_ms(self, now_ms: int) -> int:
        """How long until it begins anew."""
        begins_ms = self.record.next_period_ms(now_ms)
        return FOREVER if begins_ms is None else begins_ms - now_ms

    def take(self, amount: int, now_ms: int) -> None:
        """See LimitState."""
        self.total += amount
        self.reserved += amount

    def adjust(self, reserved: int, actual: int, charged_ms: int, now_ms: int) -> None:
        """See LimitState."""
        self.reserved = max(0, self.reserved - reserved)
        self.total = max(0, self.total + actual - reserved)

    def reached(self, *, is_exhausted: bool = False) -> tuple[int, ...]:
        """The thresholds that were reached since the last look, each once a period. Exhausted: as if all were spent."""
        spent = self.record.amount if is_exhausted else self.total - self.reserved
        passed = (share for share in self.record.thresholds if spent * 100 >= share * self.record.amount)
        new = tuple(share for share in passed if share > self.noticed)
        self.noticed = max(self.noticed, *new, 0)
        return new

    def look_again_ms(self) -> int:
        """See LimitState."""
        return HOUR_MS


class Pause(LimitState):
    """Nothing passes until a moment, or until it is lifted. Nothing is ever charged to it."""

    def wait_ms(self, amount: int, now_ms: int, lane: Lane) -> int:
        """See LimitState."""
        return max(0, self.record.amount - now_ms) if self.record.amount else FOREVER

    def adjust(self, reserved: int, actual: int, charged_ms: int, now_ms: int) -> None:
        """See LimitState."""


def pace_of(record: LimitRecord, amount: float) -> int:
    """How long `amount` takes at the even pace of a limit, microseconds."""
    return math.ceil(amount * (record.window_ms * 1000 / record.amount))


_STATES: dict[Kind, type[LimitState]] = {
    Kind.WINDOW: Window,
    Kind.BUCKET: Bucket,
    Kind.CONCURRENCY: Concurrency,
    Kind.BUDGET: Budget,
    Kind.PAUSE: Pause,
}


def new_state(record: LimitRecord) -> LimitState:
    """The empty state of a limit."""
    return _STATES[record.kind](record)


def edited(old: LimitState, record: LimitRecord, now_ms: int) -> LimitState:
    """A limit after an edit: what is used stays, in the slices of the new window where the length has changed; a window's pace too."""
    new = new_state(record)
    old.advance(now_ms)
    if isinstance(old, Window) and isinstance(new, Window):
        new.advance(now_ms)
        new.pace_us = old.pace_us
        _carry_ring(old, new)
    elif isinstance(old, Bucket | Window) and isinstance(new, Bucket):
        new.pace_us = now_ms * 1000 + pace_of(record, old.taken(now_ms) if isinstance(old, Bucket) else old.total)
        new.busy_ms = old.busy_ms if isinstance(old, Bucket) else 0
    elif isinstance(old, Bucket) and isinstance(new, Window):
        new.advance(now_ms)
        new.recall(old.used(now_ms), now_ms)
    elif type(old) is type(new):
        new.total = old.total
        if isinstance(old, Budget) and isinstance(new, Budget):
            new.reserved, new.period, new.noticed = old.reserved, old.period, old.noticed
    new.has_parked = old.has_parked
    return new


def _carry_ring(old: Window, new: Window) -> None:
    """A charge of an old slice can have come in that slice's last millisecond."""
    for number in range(old.head - len(old.ring) + 1, old.head + 1):
        amount = old.ring[number % len(old.ring)]
        if amount:
            last_ms = math.ceil((number + 1) * old.record.window_ms / old.record.slices) - 1
            new.recall(amount, last_ms)
