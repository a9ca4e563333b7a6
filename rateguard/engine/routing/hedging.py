"""Hedging: when a second call of the same request may go, and how many there may be. Pure: time and figures are arguments.

After "The Tail at Scale" (Dean, Barroso 2013): a second call goes once the first has taken longer than 95 % of them do, so that it adds
about 5 % of load. The budget keeps that to 5 % also where everything has become slow at once.
"""

from __future__ import annotations

import dataclasses

from rateguard.engine.histogram import bin_of, quantile, upper_bound

SHARE = 0.95
"""A first call that has taken longer than so many of them do is late."""
ENOUGH = 20
"""Fewer answers than this tell nothing yet."""
LEAST_MS = 20
"""A second call never goes sooner than this: it could win nothing."""

COST = 20
"""Twenty first calls pay for one second call: 5 %."""
MOST_SAVED = 10 * COST


def delay_ms(latencies: dict[int, int], timeout_ms: int) -> int | None:
    """How long the first call is waited for before a second one goes; None: there is no second one.

    latencies: a histogram of the answers' times in ms (`engine.histogram`): their p95, the whole of its bin. timeout_ms: of the first call,
    after which there is nothing to wait for.
    """
    if sum(latencies.values()) < ENOUGH:
        return None
    late_ms = max(LEAST_MS, upper_bound(bin_of(int(quantile(latencies, SHARE) or 0))))
    return late_ms if late_ms < timeout_ms else None


@dataclasses.dataclass(slots=True)
class HedgeBudget:
    """What the calls of one model and lane allow, in one process: each first call earns a twentieth of a second one, ten are saved at most.

    It begins empty. So the second calls are never more than 5 % of the first ones, in each process and hence in all of them together.
    """

    saved: int = 0

    def earn(self) -> None:
        """A first call began."""
        self.saved = min(MOST_SAVED, self.saved + 1)

    def take(self) -> bool:
        """A second call is to go. False: it may not."""
        if self.saved < COST:
            return False
        self.saved -= COST
        return True

    def give_back(self) -> None:
        """It did not go after all."""
        self.saved = min(MOST_SAVED, self.saved + COST)
