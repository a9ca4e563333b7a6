"""What routing looks at and what it says: values alone."""

from __future__ import annotations

import dataclasses
import enum


class Strategy(enum.StrEnum):
    """How a model chooses among its deployments.

    ORDERED: in the fixed order of preference. WEIGHTED: by turns, by weight. ROUND_ROBIN: by turns, each as often. RANDOM: by lot, by
    weight. LEAST_UTILIZED: by turns, by what is free of its limits. TOKEN_AWARE: by turns, by the tokens that are left. LOWEST_LATENCY:
    the fast ones. LOWEST_COST: the cheapest. BALANCED: by turns, by a score of all four (see `scores`).
    """

    ORDERED = "ordered"
    WEIGHTED = "weighted"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    LEAST_UTILIZED = "least_utilized"
    LOWEST_LATENCY = "lowest_latency"
    LOWEST_COST = "lowest_cost"
    TOKEN_AWARE = "token_aware"  # noqa: S105 - tokens of text
    BALANCED = "balanced"


class Mode(enum.IntEnum):
    """How the gate chooses within a tier, among those with room.

    FIRST: the first of the list. TURNS: smooth weighted round robin. LOTS: by the reservation's id, weighted: the same id, the same lot.
    """

    FIRST = 0
    TURNS = 1
    LOTS = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment of a model, with what is known of it.

    position: its place in the order of preference. weight: 1–1000. after_ms: it takes only work that has waited for so long.
    input_pico, output_pico: its prices, pico-dollars a token. in_use_permille: how full its fullest limit is. tokens_left: of its tightest
    limit on tokens, None where it has none. latency_ms: of an answer, a moving mean; None before the first. failed_permille: of its calls,
    a moving mean. used_ago_ms: since its last call, None: never.
    """

    id: str
    position: int
    weight: int = 1
    region: str = ""
    after_ms: int = 0
    input_pico: int = 0
    output_pico: int = 0
    in_use_permille: int = 0
    tokens_left: int | None = None
    latency_ms: int | None = None
    failed_permille: int = 0
    used_ago_ms: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """A deployment's place in the ranking. tier: a later one is asked only where none before has room. weight: its share of the turns.

    score: 0–1, the higher the better, as the strategy sees it. why: in words, for people.
    """

    id: str
    tier: int
    weight: int
    score: float
    why: str
    after_ms: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Ranking:
    """A model's deployments, the first asked first."""

    strategy: Strategy
    mode: Mode
    choices: tuple[Choice, ...]
