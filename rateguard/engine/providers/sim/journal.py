"""What the simulated provider remembers: each arrival, and its own bill."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

from rateguard.engine.providers.sim.config import ANY, TOKENS, LimitRule, ModelPrice, SimConfig
from rateguard.engine.providers.sim.windows import Load, mean_load, worst_load


@dataclasses.dataclass(slots=True)
class Arrival:
    """One request as it was counted. `arrived_ms` is in epoch milliseconds of a monotonic clock; status 0: reset without an answer."""

    attempt_id: str
    key: str
    model: str
    arrived_ms: float
    counted_tokens: int
    status: int
    is_accepted: bool


@dataclasses.dataclass(slots=True)
class BillLine:
    """One billed request."""

    attempt_id: str
    request_id: str
    key: str
    model: str
    input_tokens: int
    output_tokens: int
    nano_usd: int
    arrived_at_ms: float
    status: int = 200
    aborted: bool = False


def bill_nano_usd(price: ModelPrice, input_tokens: int, output_tokens: int) -> int:
    """Tokens at micro-dollars per million (each a thousandth of a nano-dollar a token), rounded once, half up, to nano-dollars."""
    thousandths = input_tokens * price.input + output_tokens * price.output
    return (thousandths + 500) // 1000


class Journal:
    """The log of arrivals and the bill of one run."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.bill: list[BillLine] = []
        self.faults_served = 0

    def stats(self, config: SimConfig, from_ms: float | None = None, to_ms: float | None = None) -> dict[str, Any]:
        """Totals, and for each limit the worst window by arrival, of what was accepted and of what was offered.

        With from_ms and to_ms also each limit's mean load over all windows inside that span, as a share of the limit.
        """
        accepted = [arrival for arrival in self.arrivals if arrival.is_accepted]
        statuses = collections.Counter(arrival.status for arrival in self.arrivals)
        limits = [self._limit_stats(key, rule, from_ms, to_ms) for key, rule in self._limits(config)]
        return {
            "requests": len(self.arrivals),
            "accepted": len(accepted),
            "replies_429": statuses[429],
            "statuses": {str(status): count for status, count in sorted(statuses.items())},
            "faults_served": self.faults_served,
            "counted_tokens": sum(arrival.counted_tokens for arrival in accepted),
            "input_tokens": sum(line.input_tokens for line in self.bill),
            "output_tokens": sum(line.output_tokens for line in self.bill),
            "nano_usd": sum(line.nano_usd for line in self.bill),
            "aborted": sum(line.aborted for line in self.bill),
            "worst_window_ratio": max((limit["worst_window_ratio"] for limit in limits), default=0.0),
            "limits": limits,
        }

    def _limits(self, config: SimConfig) -> list[tuple[str, LimitRule]]:
        """Each account that was seen, with each of its limits."""
        keys = {arrival.key for arrival in self.arrivals} | (config.limits.keys() - {ANY})
        return [(key, rule) for key in sorted(keys) for rule in config.limits_of(key)]

    def _limit_stats(self, key: str, rule: LimitRule, from_ms: float | None, to_ms: float | None) -> dict[str, Any]:
        mine = [arrival for arrival in self.arrivals if arrival.key == key and rule.model in {"", arrival.model}]
        accepted = [_load(rule, arrival) for arrival in mine if arrival.is_accepted]
        offered = [_load(rule, arrival) for arrival in mine]
        stats: dict[str, Any] = {
            "key": key,
            **dataclasses.asdict(rule),
            "worst_window_ratio": worst_load(accepted, rule.window_ms) / rule.amount,
            "worst_offered_ratio": worst_load(offered, rule.window_ms) / rule.amount,
        }
        if from_ms is not None and to_ms is not None:
            mean = mean_load(accepted, rule.window_ms, from_ms, to_ms)
            stats["mean_window_ratio"] = None if mean is None else mean / rule.amount
        return stats


def _load(rule: LimitRule, arrival: Arrival) -> Load:
    return Load(arrival.arrived_ms, arrival.counted_tokens if rule.metric == TOKENS else 1)
