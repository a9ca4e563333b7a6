"""Limits that come into being and limits that change. edits.lua is the same."""

from __future__ import annotations

import math

from rateguard.engine.limits.limit import Kind, LimitRecord
from rateguard.engine.limits.states import Budget, Concurrency, LimitState, Pause
from rateguard.engine.limits.timed import Bucket, Timed, Window
from rateguard.engine.limits.told import kept_told

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
    if isinstance(new, Timed):
        new.told = kept_told(old.told, record)
    if isinstance(old, Window) and isinstance(new, Window):
        new.advance(now_ms)
        new.pace_us = old.pace_us
        _carry_ring(old, new)
    elif isinstance(old, Bucket | Window) and isinstance(new, Bucket):
        new.pace_us = now_ms * 1000 + new.pace_of(old.taken(now_ms) if isinstance(old, Bucket) else old.total)
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
