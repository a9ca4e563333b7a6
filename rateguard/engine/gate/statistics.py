"""What a deployment's calls showed, for the memory twin. statistics.lua is the same, name by name, bit by bit.

Moving means in whole numbers: of each new figure an eighth counts. The first latency is the mean; failures begin at none.
"""

from __future__ import annotations

import dataclasses

from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.gate.contract import DeploymentStatistics, Settlement

SHARE = 8
"""A new figure's part of the mean is one in so many."""
ALL_FAILED = 1_000_000
"""Thousandths of a per mille."""


@dataclasses.dataclass(slots=True)
class Figures:
    """Of one deployment. latency_us: -1 before the first success. failed: up to ALL_FAILED. used_ms: when its last call ended."""

    calls: int = 0
    latency_us: int = -1
    failed: int = 0
    used_ms: int = 0


class Statistics:
    """Figures by deployment."""

    def __init__(self) -> None:
        self._found: dict[str, Figures] = {}

    def note(self, deployment: str, settlement: Settlement, now_ms: int) -> None:
        """A call ended. What was given back unused and says nothing of its deployment was none."""
        if not settlement.used and settlement.verdict == Verdict.NONE:
            return
        figures = self._found.setdefault(deployment, Figures())
        figures.calls += 1
        figures.used_ms = now_ms
        if settlement.verdict == Verdict.NONE:
            return
        is_failure = settlement.verdict == Verdict.FAILURE
        figures.failed = moved(figures.failed, ALL_FAILED if is_failure else 0)
        if not is_failure:
            latency_us = settlement.latency_ms * 1000
            figures.latency_us = latency_us if figures.latency_us < 0 else moved(figures.latency_us, latency_us)

    def views(self, now_ms: int) -> tuple[DeploymentStatistics, ...]:
        """All of them, by deployment."""
        return tuple(view(name, dataclasses.astuple(figures), now_ms) for name, figures in sorted(self._found.items()))


def moved(mean: int, figure: int) -> int:
    """A mean with one more figure."""
    return mean + (figure - mean) // SHARE


def view(deployment: str, figures: tuple[int, int, int, int], now_ms: int) -> DeploymentStatistics:
    """(calls, latency_us, failed, used_ms), as both twins keep them, for people."""
    calls, latency_us, failed, used_ms = figures
    return DeploymentStatistics(deployment, calls, None if latency_us < 0 else latency_us // 1000, failed // 1000, max(0, now_ms - used_ms))
