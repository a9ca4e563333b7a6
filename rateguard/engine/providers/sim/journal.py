"""What the simulated provider remembers: each arrival, and its own bill."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

from rateguard.engine.providers.sim.buckets import worst_level
from rateguard.engine.providers.sim.config import ANY, INPUT_TOKENS, OUTPUT_TOKENS, TOKENS, LimitRule, ModelPrice, SimConfig, is_bucket
from rateguard.engine.providers.sim.meters import Load
from rateguard.engine.providers.sim.windows import mean_load, worst_load


@dataclasses.dataclass(slots=True)
class Arrival:
    """One request as it was counted. `arrived_ms` is in epoch milliseconds of a monotonic clock; status 0: reset without an answer.

    counted_tokens: in limits on tokens, input_tokens in those on input, output_tokens in those on output, so far.
    settled_tokens: what stayed of the first where the provider gives back; None where it does not.
    """

    attempt_id: str
    key: str
    model: str
    arrived_ms: float
    counted_tokens: int
    status: int
    is_accepted: bool
    provider: str = "openai"
    input_tokens: int = 0
    output_tokens: int = 0
    settled_tokens: int | None = None

    def load(self, metric: str) -> int:
        """In the unit of a limit."""
        if metric == TOKENS:
            return self.counted_tokens if self.settled_tokens is None else self.settled_tokens
        if metric == INPUT_TOKENS:
            return self.input_tokens
        return self.output_tokens if metric == OUTPUT_TOKENS else 1


@dataclasses.dataclass(slots=True)
class BillLine:
    """One billed request.

    input_tokens: all; of them cached_tokens were read from a cache, cache_write_tokens put into one, of it cache_write_long_tokens for an
    hour. output_tokens: all; of them reasoning_tokens. tier: "" is the standard one.
    """

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
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_long_tokens: int = 0
    reasoning_tokens: int = 0
    tier: str = ""


def bill_nano_usd(
    price: ModelPrice, input_tokens: int, output_tokens: int, *, cached: int = 0, written: int = 0, written_long: int = 0, tier: str = ""
) -> int:
    """Tokens at micro-dollars per million (each a thousandth of a nano-dollar a token), rounded once, half up, to nano-dollars.

    cached, written and written_long (disjoint) are parts of input_tokens; each has a price of its own where one is set.
    """
    thousandths = input_tokens * price.input + output_tokens * price.output
    for tokens, own in ((cached, price.cached), (written, price.cache_write), (written_long, price.cache_write_long)):
        if tokens and own is not None:
            thousandths += tokens * (own - price.input)
    permille = {"flex": price.flex_permille, "priority": price.priority_permille, "fast": price.fast_permille}.get(tier, 1_000)
    return (thousandths * permille + 500_000) // 1_000_000


class Journal:
    """The log of arrivals and the bill of one run."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.bill: list[BillLine] = []
        self.faults_served = 0

    def stats(self, config: SimConfig, from_ms: float | None = None, to_ms: float | None = None) -> dict[str, Any]:
        """Totals, and for each limit the worst window by arrival (a bucket: its highest level), of what was accepted and what was offered.

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
        accepted = [Load(arrival.arrived_ms, arrival.load(rule.metric)) for arrival in mine if arrival.is_accepted]
        offered = [Load(arrival.arrived_ms, arrival.load(rule.metric)) for arrival in mine]
        fills = bool(mine) and is_bucket(rule, mine[0].provider)
        stats: dict[str, Any] = {
            "key": key,
            **dataclasses.asdict(rule),
            "worst_window_ratio": _worst(accepted, rule, fills=fills) / rule.amount,
            "worst_offered_ratio": _worst(offered, rule, fills=fills) / rule.amount,
        }
        if from_ms is not None and to_ms is not None:
            mean = mean_load(accepted, rule.window_ms, from_ms, to_ms)
            stats["mean_window_ratio"] = None if mean is None else mean / rule.amount
        return stats


def _worst(loads: list[Load], rule: LimitRule, *, fills: bool) -> int:
    """The highest load of a window, or the highest level of a bucket."""
    return worst_level(loads, rule) if fills else worst_load(loads, rule.window_ms)
