"""What the simulated provider is told: accounts, limits, prices, latencies. Parsed from the JSON of its control endpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

ANY = "*"
REQUESTS = "requests"
TOKENS = "tokens"


@dataclasses.dataclass(frozen=True, slots=True)
class LimitRule:
    """At most `amount` of `metric` (requests, or tokens = input + max_tokens) in any window of `window_ms`, counted on arrival.

    `model` is empty for a limit of the whole account. With `enforce` off the limit is only watched: nothing is refused, the worst window
    is still told.
    """

    metric: str
    amount: int
    window_ms: int
    model: str = ""
    enforce: bool = True

    def __post_init__(self) -> None:
        if self.metric not in {REQUESTS, TOKENS}:
            raise ValueError(f"a limit's metric is requests or tokens, not {self.metric!r}")
        if self.amount <= 0 or self.window_ms <= 0:
            raise ValueError("a limit's amount and window_ms are above 0")


@dataclasses.dataclass(frozen=True, slots=True)
class ModelPrice:
    """Micro-dollars per million tokens, integers."""

    input: int = 150_000
    output: int = 600_000


@dataclasses.dataclass(frozen=True, slots=True)
class Latency:
    """An answer takes base_ms, and per_token_ms for each token of output, both ± up to `jitter` (0-1), drawn from the seed."""

    base_ms: float = 0.0
    per_token_ms: float = 0.0
    jitter: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """How much is answered: between least and most of max_tokens, drawn from the seed; a stream's chunk holds `chunk_tokens`."""

    least: float = 0.4
    most: float = 1.0
    default_max_tokens: int = 16
    chunk_tokens: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class SimConfig:
    """The whole configuration. `limits` and `prices` are by API key and by model; "*" stands for all that are not named.

    `keys` and `models` name what is accepted; empty accepts everything.
    """

    seed: int = 1
    keys: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    limits: Mapping[str, tuple[LimitRule, ...]] = dataclasses.field(default_factory=dict)
    prices: Mapping[str, ModelPrice] = dataclasses.field(default_factory=dict)
    latency: Latency = Latency()
    output: Output = Output()

    def limits_of(self, key: str) -> tuple[LimitRule, ...]:
        """The limits of one account."""
        return self.limits.get(key, self.limits.get(ANY, ()))

    def price_of(self, model: str) -> ModelPrice:
        """The price of one model."""
        return self.prices.get(model) or self.prices.get(ANY) or ModelPrice()

    def merged(self, changes: Mapping[str, Any]) -> SimConfig:
        """The same configuration with the sections that `changes` names replaced. Raises ValueError or TypeError for unknown ones."""
        unknown = changes.keys() - _PARSERS.keys()
        if unknown:
            raise ValueError(f"unknown sections: {', '.join(sorted(unknown))}; known: {', '.join(sorted(_PARSERS))}")
        return dataclasses.replace(self, **{name: _PARSERS[name](value) for name, value in changes.items()})


def _parse_limits(value: Mapping[str, Any]) -> dict[str, tuple[LimitRule, ...]]:
    return {key: tuple(LimitRule(**rule) for rule in rules) for key, rules in value.items()}


def _parse_prices(value: Mapping[str, Any]) -> dict[str, ModelPrice]:
    return {model: ModelPrice(**price) for model, price in value.items()}


_PARSERS: dict[str, Any] = {
    "seed": int,
    "keys": tuple,
    "models": tuple,
    "limits": _parse_limits,
    "prices": _parse_prices,
    "latency": lambda value: Latency(**value),
    "output": lambda value: Output(**value),
}
