"""The state of a limit, and the rule of those that do not count by time; timed.py has windows and buckets. rules.lua is the same.

Time is an argument (`now_ms`, whole milliseconds). Every figure is an integer below 2**53, so that Lua's doubles agree.
`wait_ms` answers 0 (room), a positive number of milliseconds, FOREVER (room only when somebody settles or acts), NEVER (more than the
limit itself, or than a budget will have again), or DOWNGRADE (not from this budget: a cheaper model may do).
"""

from __future__ import annotations

from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, LimitRecord
from rateguard.engine.limits.told import LimitReading, Told

NEVER = -1
DOWNGRADE = -2
FOREVER = 1 << 50

SECOND_MS, HOUR_MS = 1_000, 3_600_000


class LimitState:
    """What all kinds share: the record, how much is taken, when the first parked node fits, and what a provider's limit is known to be.

    told: None where nothing is known of it but its amount.
    """

    def __init__(self, record: LimitRecord) -> None:
        self.record = record
        self.total = 0
        self.opens_at = 0
        self.has_parked = False
        self.told: Told | None = None

    @property
    def amount(self) -> int:
        """What the limit is now."""
        return self.told.amount(self.record) if self.told else self.record.amount

    @property
    def foreign(self) -> int:
        """What others use of it."""
        return self.told.foreign if self.told else 0

    def most_for(self, lane: Lane) -> int:
        """What a lane may use of it now."""
        return self.record.amount_for(lane, self.amount)

    def bound_for(self, lane: Lane) -> int:
        """What a lane could use of it at most, were nothing to be learned: what needs more never fits."""
        return self.record.amount_for(lane, self.told.bound(self.record)) if self.told else self.record.amount_for(lane)

    def advance(self, now_ms: int) -> None:
        """Let time pass: what left the window is free again."""

    def ours_at(self, ago_ms: int, now_ms: int) -> int | None:
        """The most of our use that a provider can have counted so long ago; None where nobody knows any more."""
        return None

    def read(self, reading: LimitReading, now_ms: int) -> bool:
        """An answer tells of a provider's limit. Returns whether there may be more room than before."""
        return False

    def learn(self, now_ms: int, *, is_limited: bool) -> bool:
        """An attempt that was charged to it ended. Returns whether there may be more room than before."""
        return False

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
