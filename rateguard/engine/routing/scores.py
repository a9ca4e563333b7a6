"""How good a deployment looks, by each of what may count: 0–1, the higher the better."""

from __future__ import annotations

from collections.abc import Sequence

from rateguard.engine.routing.contract import Candidate

FRESH_MS = 60_000
"""Not used for so long is as fresh as can be."""
USE, LATENCY, ERRORS, FRESHNESS = 0.40, 0.35, 0.15, 0.10
"""What each counts in a balanced score."""


def free(one: Candidate) -> float:
    """The share of its fullest limit that is free."""
    return max(0.0, 1 - one.in_use_permille / 1000)


def room_for_tokens(one: Candidate, among: Sequence[Candidate]) -> float:
    """Its tokens that are left, of the most that any has left; one without a limit has the most."""
    most = max((other.tokens_left or 0 for other in among), default=0)
    if one.tokens_left is None:
        return 1.0
    return max(0, one.tokens_left) / most if most > 0 else 0.0


def speed(one: Candidate, among: Sequence[Candidate]) -> float:
    """The best latency of all, of its own: half as fast is 0.5. One that nobody has tried looks as good as the best."""
    known = [other.latency_ms for other in among if other.latency_ms is not None]
    if one.latency_ms is None or not known:
        return 1.0
    return max(1, min(known)) / max(1, one.latency_ms)


def cheapness(one: Candidate, among: Sequence[Candidate], output_share: float) -> float:
    """The lowest price of all, of its own. output_share: of a request's tokens, those of the answer."""
    own, least = blended_pico(one, output_share), min(blended_pico(other, output_share) for other in among)
    return 1.0 if own <= 0 else least / own


def blended_pico(one: Candidate, output_share: float) -> float:
    """What a token costs on average, pico-dollars."""
    return one.input_pico * (1 - output_share) + one.output_pico * output_share


def reliability(one: Candidate) -> float:
    """The share of its calls that did not fail."""
    return max(0.0, 1 - one.failed_permille / 1000)


def freshness(one: Candidate) -> float:
    """How long it has rested."""
    return 1.0 if one.used_ago_ms is None else min(1.0, one.used_ago_ms / FRESH_MS)


def balanced(one: Candidate, among: Sequence[Candidate]) -> float:
    """0.40 × free + 0.35 × speed + 0.15 × reliability + 0.10 × freshness."""
    return USE * free(one) + LATENCY * speed(one, among) + ERRORS * reliability(one) + FRESHNESS * freshness(one)
