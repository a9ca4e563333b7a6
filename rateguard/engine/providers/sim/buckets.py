"""Buckets that refill continuously: a limit of 60 a minute gives one back each second, and holds 60 at most."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.meters import Load


class Bucket:
    """The level of one limit: what was taken and has not come back yet."""

    def __init__(self, rule: LimitRule) -> None:
        self.rule = rule
        self._level = 0.0
        self._at_ms = 0.0

    @property
    def _per_ms(self) -> float:
        return self.rule.amount / self.rule.window_ms

    def _drain(self, now_ms: float) -> float:
        self._level = max(0.0, self._level - (now_ms - self._at_ms) * self._per_ms)
        self._at_ms = now_ms
        return self._level

    def used(self, now_ms: float) -> int:
        """The level now, rounded up."""
        return math.ceil(self._drain(now_ms) - 1e-6)

    def has_room(self, now_ms: float, need: int) -> bool:
        """Whether so much may come in now."""
        return not self.rule.enforce or self._drain(now_ms) + need <= self.rule.amount + 1e-6

    def add(self, now_ms: float, need: int) -> Load:
        """Take it."""
        self._level = self._drain(now_ms) + need
        return Load(now_ms, need)

    def change(self, load: Load, amount: int, now_ms: float) -> None:
        """Give back what was too much, or take the rest."""
        self._level = max(0.0, self._drain(now_ms) + amount - load.amount)
        load.amount = amount

    def wait_ms(self, now_ms: float, need: int) -> float | None:
        """How long until a refused request would have room; None if it never has."""
        if need > self.rule.amount:
            return None
        return max(0.0, (self._drain(now_ms) + need - self.rule.amount) / self._per_ms)

    def full_in_ms(self, now_ms: float) -> float:
        """How long until it is full again."""
        return self._drain(now_ms) / self._per_ms


def worst_level(loads: Sequence[Load], rule: LimitRule) -> int:
    """The highest level that these arrivals, in order of time, made."""
    bucket, worst = Bucket(rule), 0
    for load in loads:
        bucket.add(load.at_ms, load.amount)
        worst = max(worst, bucket.used(load.at_ms))
    return worst
