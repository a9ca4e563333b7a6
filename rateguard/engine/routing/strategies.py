"""The strategies: a model's deployments and what is known of them → the list that the gate goes through. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rateguard.engine.routing import scores
from rateguard.engine.routing.contract import Candidate, Choice, Mode, Ranking, Strategy

MOST_WEIGHT = 1_000
LEAST_WEIGHT = 10
"""Whoever looks worst still gets so much: one call in a hundred shows whether it still is."""
ALIKE = 0.9
"""Speeds that differ by less than a tenth are alike."""
OUTPUT_SHARE = 0.25
"""Of a request's tokens, those of the answer, where nobody knows better."""

_Score = Callable[[Candidate, Sequence[Candidate]], float]
_Rule = tuple[Mode, _Score, str]


def rank(
    strategy: Strategy, candidates: Sequence[Candidate], *, regions: Sequence[str] = (), output_share: float = OUTPUT_SHARE
) -> Ranking:
    """Rank a model's deployments. regions: those that are preferred, the best first; all others are asked where these have no room.

    output_share: of the model's tokens, those of answers: what a price means depends on it.
    """
    mode, score, words = _rules(output_share)[strategy]
    tiers = [_tier(one, regions) for one in candidates]
    known = {number: place for place, number in enumerate(sorted(set(tiers)))}
    ranked = [
        Choice(one.id, known[tier], _weight(strategy, one, points), points, _said(words, points, one), one.after_ms)
        for one, tier in zip(candidates, tiers, strict=True)
        for points in [score(one, candidates)]
    ]
    place = {one.id: one.position for one in candidates}
    by_score = mode is Mode.FIRST and strategy is not Strategy.ORDERED
    ranked.sort(key=lambda choice: (choice.tier, choice.after_ms, -choice.score if by_score else 0.0, place[choice.id]))
    return Ranking(strategy, mode, tuple(ranked))


def _tier(one: Candidate, regions: Sequence[str]) -> int:
    return list(regions).index(one.region) if one.region in regions else len(regions)


def _weight(strategy: Strategy, one: Candidate, points: float) -> int:
    if strategy in _BY_OWN_WEIGHT:
        return one.weight
    if strategy in _BY_SCORE:
        return max(LEAST_WEIGHT, round(MOST_WEIGHT * points))
    return 1


_BY_OWN_WEIGHT = {Strategy.WEIGHTED, Strategy.RANDOM}
_BY_SCORE = {Strategy.LEAST_UTILIZED, Strategy.TOKEN_AWARE, Strategy.LOWEST_LATENCY, Strategy.BALANCED}


def _fast(one: Candidate, among: Sequence[Candidate]) -> float:
    """Alike are equal; half as fast gets one turn in sixteen."""
    speed = scores.speed(one, among)
    return 1.0 if speed >= ALIKE else speed**4


def _said(words: str, points: float, one: Candidate) -> str:
    pace = "no answer yet" if one.latency_ms is None else f"an answer takes {one.latency_ms} ms"
    return words.format(points, one, one.position + 1, pace)


def _own(one: Candidate, among: Sequence[Candidate]) -> float:
    return one.weight / sum(other.weight for other in among)


def _rules(output_share: float) -> Mapping[Strategy, _Rule]:
    """How the gate chooses, the score, and the score in words."""
    return {
        Strategy.ORDERED: (Mode.FIRST, lambda one, among: 1 - one.position / max(1, len(among)), "place {2} of the order"),
        Strategy.WEIGHTED: (Mode.TURNS, _own, "weight {1.weight}"),
        Strategy.ROUND_ROBIN: (Mode.TURNS, lambda _, among: 1 / len(among), "its turn among equals"),
        Strategy.RANDOM: (Mode.LOTS, _own, "by lot, weight {1.weight}"),
        Strategy.LEAST_UTILIZED: (Mode.TURNS, lambda one, _: scores.free(one), "{0:.0%} of its fullest limit is free"),
        Strategy.TOKEN_AWARE: (Mode.TURNS, scores.room_for_tokens, "{0:.0%} of the most tokens that any has left"),
        Strategy.LOWEST_LATENCY: (Mode.TURNS, _fast, "{3}"),
        Strategy.LOWEST_COST: (
            Mode.FIRST,
            lambda one, among: scores.cheapness(one, among, output_share),
            "the cheapest costs {0:.0%} of its price",
        ),
        Strategy.BALANCED: (Mode.TURNS, scores.balanced, "{0:.2f} by use, latency, errors and rest"),
    }
