"""Hedging: when a second call of the same request may go, and how many there may be. Pure: times and figures are arguments.

After "The Tail at Scale" (Dean, Barroso 2013): a second call goes once the first has taken longer than 95 % of them do, so that it adds
about 5 % of load. The budget keeps that to 5 % also where everything has become slow at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

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

UsualTimes = Mapping[tuple[str, str], int]
"""The p95 by model and deployment, ms; by model and "" of all its deployments. What has too few answers is not in it."""


def p95_ms(latencies: Mapping[int, int]) -> int | None:
    """Within which time 95 % of the answers came: the end of a bin of their histogram (`engine.histogram`, ms). None: too few to tell."""
    if sum(latencies.values()) < ENOUGH:
        return None
    return upper_bound(bin_of(int(quantile(latencies, SHARE) or 0)))


def delay_ms(usual_ms: int | None, timeout_ms: int) -> int | None:
    """How long the first call is waited for before a second one goes; None: there is no second one.

    usual_ms: the p95 of such calls, None where it is not known. timeout_ms: of the first call, after which there is nothing to wait for.
    """
    if usual_ms is None:
        return None
    late_ms = max(LEAST_MS, usual_ms)
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
        """A second call asks to go. False: it may not. What it took is spent, also where there is no room for it after all."""
        if self.saved < COST:
            return False
        self.saved -= COST
        return True
