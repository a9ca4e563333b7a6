"""The breaker of one deployment, as the gate keeps it for the fleet. breaker.lua is the same, name by name.

closed → open on failures; open → half-open when its time is up and a probe goes; half-open → closed or open by what the probe says.
Each transition raises the generation: what an attempt of an earlier generation says changes nothing. Time is an argument.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from rateguard.engine.breaker.rule import BreakerRule, BreakerState, Forced, Verdict
from rateguard.engine.limits.states import FOREVER

SLICES = 10
"""The window's slices; one more is live, so that nothing younger than the window is forgotten."""

Probe = TypeVar("Probe")


class Breaker(Generic[Probe]):
    """State, generation and counts of a deployment. probe: the reservation that tries it, or None."""

    def __init__(self, generation: int) -> None:
        self.state = BreakerState.CLOSED
        self.generation = generation
        self.until_ms = 0
        self.probe: Probe | None = None
        self.successes = 0
        self.window_ms = 0
        self.head = 0
        self.counts = [[0, 0, 0] for _ in range(SLICES + 1)]

    def wait_ms(self, rule: BreakerRule, now_ms: int) -> int:
        """How long the deployment is left alone; FOREVER while a probe is out."""
        if rule.forced != Forced.NO:
            return FOREVER if rule.forced == Forced.OPEN else 0
        if self.state == BreakerState.OPEN:
            return max(0, self.until_ms - now_ms)
        return FOREVER if self.state == BreakerState.HALF_OPEN and self.probe is not None else 0

    def grant(self, rule: BreakerRule, attempt: Probe) -> str:
        """An attempt goes to the deployment; after an opening it is the probe. Returns the transition, "" where there was none."""
        if rule.forced != Forced.NO or self.state == BreakerState.CLOSED:
            return ""
        self.probe = attempt
        return self._become(BreakerState.HALF_OPEN, "its time is up") if self.state == BreakerState.OPEN else ""

    def end(self, rule: BreakerRule, attempt: Probe, generation: int, verdict: Verdict, latency_ms: int, now_ms: int) -> str:
        """An attempt ended, or was given up. Returns the transition, "" where there was none."""
        is_slow = bool(rule.slow_ms) and verdict != Verdict.NONE and latency_ms >= rule.slow_ms
        if self.probe == attempt:
            self.probe = None
            return self._judge_probe(rule, verdict, is_slow=is_slow, now_ms=now_ms)
        if verdict == Verdict.NONE or rule.forced != Forced.NO or self.state != BreakerState.CLOSED or generation != self.generation:
            return ""
        self.window_ms = rule.window_ms
        self.advance(now_ms)
        slot = self.counts[self.head % (SLICES + 1)]
        slot[0] += 1
        slot[1] += verdict == Verdict.FAILURE
        slot[2] += is_slow
        return self._judge_counts(rule, now_ms)

    def reset(self, now_ms: int) -> str:
        """A person closes it. Returns the transition; "" where it is closed and counts nothing, as a repeated call finds it."""
        self.advance(now_ms)
        if self.state == BreakerState.CLOSED and self.totals()[0] == 0:
            return ""
        self.probe = None
        return self._become(BreakerState.CLOSED, "reset")

    def advance(self, now_ms: int) -> None:
        """Let time pass: what left the window no longer counts."""
        current = now_ms * SLICES // self.window_ms if self.window_ms else 0
        for number in range(max(self.head + 1, current - SLICES), current + 1):
            self.counts[number % (SLICES + 1)] = [0, 0, 0]
        self.head = current

    def totals(self) -> tuple[int, int, int]:
        """(calls, failures, slow calls) in the window."""
        calls, failures, slow = map(sum, zip(*self.counts, strict=True))
        return calls, failures, slow

    def _judge_probe(self, rule: BreakerRule, verdict: Verdict, *, is_slow: bool, now_ms: int) -> str:
        if verdict == Verdict.NONE or rule.forced != Forced.NO:
            return ""
        if verdict == Verdict.FAILURE or is_slow:
            return self._open(rule, "the probe failed" if verdict == Verdict.FAILURE else "the probe was slow", now_ms)
        self.successes += 1
        return self._become(BreakerState.CLOSED, "the probe succeeded") if self.successes >= rule.probes else ""

    def _judge_counts(self, rule: BreakerRule, now_ms: int) -> str:
        calls, failures, slow = self.totals()
        if failures >= rule.failures and failures * 1000 >= calls * rule.failure_permille:
            return self._open(rule, f"{failures} of {calls} calls failed", now_ms)
        if slow >= rule.failures and slow * 1000 >= calls * rule.slow_permille:
            return self._open(rule, f"{slow} of {calls} calls were slow", now_ms)
        return ""

    def _open(self, rule: BreakerRule, why: str, now_ms: int) -> str:
        self.until_ms = now_ms + rule.open_ms
        return self._become(BreakerState.OPEN, why)

    def _become(self, state: BreakerState, why: str) -> str:
        old, self.state = self.state, state
        self.generation += 1
        self.successes = 0
        self.counts = [[0, 0, 0] for _ in range(SLICES + 1)]
        return f"{old.name.lower()}>{state.name.lower()}: {why}"
