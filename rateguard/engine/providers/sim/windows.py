"""Sliding windows by arrival, exact: a window ends at any moment t and covers (t - W, t]."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.meters import Load


class Window:
    """The accepted arrivals of one limit within its last window, and their sum."""

    def __init__(self, rule: LimitRule) -> None:
        self.rule = rule
        self._loads: collections.deque[Load] = collections.deque()
        self._total = 0

    def used(self, now_ms: float) -> int:
        """The load of the window that ends now."""
        while self._loads and self._loads[0].at_ms <= now_ms - self.rule.window_ms:
            self._total -= self._loads.popleft().amount
        return self._total

    def has_room(self, now_ms: float, need: int) -> bool:
        """Whether so much may come in now."""
        return not self.rule.enforce or self.used(now_ms) + need <= self.rule.amount

    def add(self, now_ms: float, need: int) -> Load:
        """Count an accepted request."""
        load = Load(now_ms, need)
        self._loads.append(load)
        self._total += need
        return load

    def change(self, load: Load, amount: int, now_ms: float) -> None:
        """Correct what was counted, as long as it counts."""
        self.used(now_ms)
        if load.at_ms > now_ms - self.rule.window_ms:
            self._total += amount - load.amount
            load.amount = amount

    def wait_ms(self, now_ms: float, need: int) -> float | None:
        """How long until a refused request would have room; None if it never has."""
        missing = self.used(now_ms) + need - self.rule.amount
        if need > self.rule.amount:
            return None
        for load in self._loads:
            missing -= load.amount
            if missing <= 0:
                return load.at_ms + self.rule.window_ms - now_ms
        return 0.0

    def full_in_ms(self, now_ms: float) -> float:
        """How long until the whole limit is free again."""
        self.used(now_ms)
        return self._loads[-1].at_ms + self.rule.window_ms - now_ms if self._loads else 0.0


def worst_load(loads: Sequence[Load], window_ms: float) -> int:
    """The highest load in any window of that length: two pointers over the arrivals in order of time."""
    worst = total = first = 0
    for load in loads:
        total += load.amount
        while loads[first].at_ms <= load.at_ms - window_ms:
            total -= loads[first].amount
            first += 1
        worst = max(worst, total)
    return worst


def mean_load(loads: Sequence[Load], window_ms: float, from_ms: float, to_ms: float) -> float | None:
    """The mean load over all windows that lie wholly inside (from_ms, to_ms]; None where not even one does.

    An arrival is in the windows that end within [at, at + W): it weighs by how much of that lies in [from + W, to].
    """
    first_end, last_end = from_ms + window_ms, to_ms
    if last_end <= first_end:
        return None
    weighed = sum(
        load.amount * max(0.0, min(load.at_ms + window_ms, last_end) - max(load.at_ms, first_end))
        for load in loads
        if from_ms < load.at_ms <= to_ms
    )
    return weighed / (last_end - first_end)
