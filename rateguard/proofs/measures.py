"""What the provider's log says: pure functions of its arrivals."""

from __future__ import annotations

import collections
import uuid
from collections.abc import Iterable, Mapping, Sequence

from rateguard.engine.breaker.rule import BreakerRule
from rateguard.engine.providers.sim.journal import Arrival


def job_of(arrival: Arrival) -> uuid.UUID:
    """The job whose attempt this was."""
    return uuid.UUID(arrival.attempt_id.partition(".")[0])


def token_shares(arrivals: Iterable[Arrival], owner: Mapping[uuid.UUID, str], until_ms: float) -> dict[str, float]:
    """Each owner's part of the tokens that were accepted until a moment."""
    tokens: collections.Counter[str] = collections.Counter()
    for arrival in arrivals:
        if arrival.is_accepted and arrival.arrived_ms <= until_ms:
            tokens[owner[job_of(arrival)]] += arrival.counted_tokens
    return {name: count / tokens.total() for name, count in tokens.items()}


def furthest_share(shares: Mapping[str, float], weights: Mapping[str, int]) -> float:
    """How far a share is from what the weights say, of that, at the worst.

    >>> round(furthest_share({"a": 0.74, "b": 0.26}, {"a": 3, "b": 1}), 3)
    0.04
    """
    total = sum(weights.values())
    return max(abs(shares.get(name, 0.0) * total / weight - 1) for name, weight in weights.items())


def lost_s(accepted_ms: Sequence[float], from_ms: float, until_ms: float, rate_from_ms: float) -> float:
    """Throughput lost between two moments, in seconds of the rate at which requests were accepted from `rate_from_ms` to the first."""
    before = sum(rate_from_ms < at <= from_ms for at in accepted_ms) / (from_ms - rate_from_ms)
    after = sum(from_ms < at <= until_ms for at in accepted_ms)
    return ((until_ms - from_ms) - after / before) / 1_000


def fulfilled_ms(arrivals: Iterable[Arrival], rule: BreakerRule, took_ms: float) -> float | None:
    """When the failure ended that fulfils a breaker's rule; a call that is accepted takes `took_ms`, one that fails no time."""
    calls: collections.deque[tuple[float, bool]] = collections.deque()
    for at, is_failure in sorted((a.arrived_ms + (took_ms if a.is_accepted else 0), not a.is_accepted) for a in arrivals):
        calls.append((at, is_failure))
        while calls[0][0] <= at - rule.window_ms:
            calls.popleft()
        failures = sum(failed for _, failed in calls)
        if is_failure and failures >= rule.failures and failures * 1_000 >= rule.failure_permille * len(calls):
            return at
    return None


def most_within(at_ms: Sequence[float], span_ms: float) -> int:
    """The most moments that lie within a span of that length.

    >>> most_within([0, 5, 9, 20], 10)
    3
    """
    return max((sum(first <= at < first + span_ms for at in at_ms) for first in at_ms), default=0)
