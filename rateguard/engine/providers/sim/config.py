"""What the simulated provider is told: accounts, limits, prices, latencies. Parsed from the JSON of its control endpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

ANY = "*"
REQUESTS = "requests"
TOKENS = "tokens"
INPUT_TOKENS = "input_tokens"
OUTPUT_TOKENS = "output_tokens"
WINDOW = "window"
BUCKET = "bucket"
REFILLING = frozenset({"anthropic"})
"""Providers whose limits refill continuously; those of the others are windows. A rule may say otherwise."""

NO_LIMIT_HEADERS = "no_limit_headers"  # the headers of limits are missing
MINUS_ONE_LIMITS = "minus_one_limits"  # … or say -1
COMMENTS = "comments"  # a comment line before a stream's first event, as while a request waits for its turn
BLANK_LINES = "blank_lines"  # blank lines before the JSON of a whole answer, likewise
QUIRKS = frozenset({NO_LIMIT_HEADERS, MINUS_ONE_LIMITS, COMMENTS, BLANK_LINES})


@dataclasses.dataclass(frozen=True, slots=True)
class LimitRule:
    """At most `amount` of `metric` in `window_ms`.

    metric: requests; tokens, as the provider counts them when a request comes in (OpenAI: input + max_tokens); input_tokens; or
    output_tokens, counted as they are produced. `model` is empty for a limit of the whole account. With `enforce` off the limit is only
    watched: nothing is refused, the worst window is still told. kind: window or bucket; "" is as the provider does it.
    """

    metric: str
    amount: int
    window_ms: int
    model: str = ""
    enforce: bool = True
    kind: str = ""

    def __post_init__(self) -> None:
        if self.metric not in {REQUESTS, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS}:
            raise ValueError(f"a limit's metric is requests, tokens, input_tokens or output_tokens, not {self.metric!r}")
        if self.kind not in {"", WINDOW, BUCKET}:
            raise ValueError(f"a limit's kind is window or bucket, not {self.kind!r}")
        if self.amount <= 0 or self.window_ms <= 0:
            raise ValueError("a limit's amount and window_ms are above 0")


def is_bucket(rule: LimitRule, provider: str) -> bool:
    """Whether a provider's limit refills continuously."""
    return rule.kind == BUCKET or (not rule.kind and provider in REFILLING)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelPrice:
    """Micro-dollars per million tokens, integers; None: as plain input. The tiers' are thousandths of the standard price."""

    input: int = 150_000
    output: int = 600_000
    cached: int | None = None
    cache_write: int | None = None
    cache_write_long: int | None = None
    flex_permille: int = 500
    fast_permille: int = 2_000
    priority_permille: int = 2_000


@dataclasses.dataclass(frozen=True, slots=True)
class Latency:
    """An answer takes base_ms, and per_token_ms for each token of output, both ± up to `jitter` (0-1), drawn from the seed."""

    base_ms: float = 0.0
    per_token_ms: float = 0.0
    jitter: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """How much is answered: between least and most of max_tokens, drawn from the seed; a stream's chunk holds `chunk_tokens`.

    default_max_tokens: what is said at most where the request names no bound. model_max_tokens: what a provider reserves then.
    reasoning: the share of an answer that is thought, where reasoning is asked for. ping_every: a ping in front of each so many pieces of
    a stream, where the dialect has pings; 0: none but the first.
    """

    least: float = 0.4
    most: float = 1.0
    default_max_tokens: int = 16
    chunk_tokens: int = 1
    model_max_tokens: int = 64_000
    reasoning: float = 0.5
    ping_every: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Caching:
    """The prompt cache: a prefix of at least `least_tokens` is known for ttl_ms, and for long_ttl_ms where an hour is asked for."""

    least_tokens: int = 1_024
    ttl_ms: int = 300_000
    long_ttl_ms: int = 3_600_000


@dataclasses.dataclass(frozen=True, slots=True)
class SimConfig:
    """The whole configuration. `limits` and `prices` are by API key and by model; "*" stands for all that are not named.

    `keys` and `models` name what is accepted; empty accepts everything. quirks: what some providers do and others do not, of QUIRKS.
    """

    seed: int = 1
    keys: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    limits: Mapping[str, tuple[LimitRule, ...]] = dataclasses.field(default_factory=dict)
    prices: Mapping[str, ModelPrice] = dataclasses.field(default_factory=dict)
    latency: Latency = Latency()
    output: Output = Output()
    cache: Caching = Caching()
    quirks: tuple[str, ...] = ()

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


def _parse_quirks(value: Sequence[str]) -> tuple[str, ...]:
    if unknown := set(value) - QUIRKS:
        raise ValueError(f"unknown quirks: {', '.join(sorted(unknown))}; known: {', '.join(sorted(QUIRKS))}")
    return tuple(value)


_PARSERS: dict[str, Any] = {
    "seed": int,
    "keys": tuple,
    "models": tuple,
    "limits": _parse_limits,
    "prices": _parse_prices,
    "latency": lambda value: Latency(**value),
    "output": lambda value: Output(**value),
    "cache": lambda value: Caching(**value),
    "quirks": _parse_quirks,
}
