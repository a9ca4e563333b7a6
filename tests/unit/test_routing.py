"""Routing: what each strategy asks first, and how turns and lots fall."""

from __future__ import annotations

import collections
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rateguard.engine.routing import scores
from rateguard.engine.routing.contract import Candidate, Mode, Strategy
from rateguard.engine.routing.strategies import rank
from rateguard.engine.routing.turns import lot, next_turn

A, B, C = (Candidate(name, place) for place, name in enumerate("abc"))


def with_(one: Candidate, **known) -> Candidate:
    return Candidate(**{name: getattr(one, name) for name in Candidate.__slots__} | known)


def ids(strategy: Strategy, *candidates: Candidate, **options) -> list[str]:
    return [choice.id for choice in rank(strategy, candidates, **options).choices]


def weights(strategy: Strategy, *candidates: Candidate) -> dict[str, int]:
    return {choice.id: choice.weight for choice in rank(strategy, candidates).choices}


def test_the_fixed_order_is_kept_whatever_is_known():
    assert ids(Strategy.ORDERED, with_(B, input_pico=1), with_(A, input_pico=9, failed_permille=900)) == ["a", "b"]
    assert rank(Strategy.ORDERED, [A, B]).mode is Mode.FIRST


def test_weights_are_shares_of_the_turns():
    ranking = rank(Strategy.WEIGHTED, [with_(A, weight=3), with_(B, weight=1)])
    assert ranking.mode is Mode.TURNS
    assert [(choice.weight, choice.score) for choice in ranking.choices] == [(3, 0.75), (1, 0.25)]


def test_the_cheapest_goes_first_by_what_the_models_work_costs():
    short, long = with_(A, input_pico=100, output_pico=4_000), with_(B, input_pico=300, output_pico=900)
    assert ids(Strategy.LOWEST_COST, short, long, output_share=0.01) == ["a", "b"]
    assert ids(Strategy.LOWEST_COST, short, long, output_share=0.5) == ["b", "a"]


def test_the_fast_share_the_turns_and_the_slow_are_tried_now_and_then():
    fast, alike, slow, new = with_(A, latency_ms=100), with_(B, latency_ms=105), with_(C, latency_ms=1_000), Candidate("new", 3)
    assert weights(Strategy.LOWEST_LATENCY, fast, alike, slow, new) == {"a": 1_000, "b": 1_000, "c": 10, "new": 1_000}


def test_what_is_free_and_what_tokens_are_left_weigh():
    assert weights(Strategy.LEAST_UTILIZED, with_(A, in_use_permille=900), with_(B, in_use_permille=400)) == {"a": 100, "b": 600}
    assert weights(Strategy.TOKEN_AWARE, with_(A, tokens_left=500), with_(B, tokens_left=2_000), C) == {"a": 250, "b": 1_000, "c": 1_000}


def test_a_balanced_score_is_the_sum_of_its_parts():
    known = with_(A, in_use_permille=500, latency_ms=200, failed_permille=100, used_ago_ms=30_000)
    best = with_(B, latency_ms=100)
    assert scores.balanced(known, [known, best]) == pytest.approx(0.40 * 0.5 + 0.35 * 0.5 + 0.15 * 0.9 + 0.10 * 0.5)
    assert scores.balanced(best, [known, best]) == pytest.approx(1.0)


@pytest.mark.parametrize("strategy", Strategy)
def test_preferred_regions_are_a_tier_of_their_own(strategy: Strategy):
    found = rank(strategy, [with_(A, region="us"), with_(B, region="eu"), C], regions=("eu", "us"))
    assert [(choice.id, choice.tier) for choice in found.choices] == [("b", 0), ("a", 1), ("c", 2)]


@pytest.mark.parametrize("strategy", Strategy)
def test_all_are_ranked_once_and_overflow_comes_last_in_its_tier(strategy: Strategy):
    found = ids(strategy, with_(A, after_ms=5_000, weight=900), B, C)
    assert sorted(found) == ["a", "b", "c"]
    assert found[-1] == "a"


@pytest.mark.parametrize("strategy", Strategy)
def test_nothing_known_at_all_is_ranked(strategy: Strategy):
    assert ids(strategy, A) == ["a"]
    assert rank(strategy, []).choices == ()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_turns_fall_by_weight_and_evenly(shares: list[int]):
    paid_up, weighted = {}, [(str(number), share) for number, share in enumerate(shares)]

    turns = [next_turn(paid_up, weighted) for _ in range(sum(shares))]

    assert collections.Counter(turns) == dict(weighted)
    assert not any(paid_up.values())


def test_turns_of_a_heavy_one_do_not_come_in_a_row():
    paid_up: dict[str, int] = {}
    assert "".join(next_turn(paid_up, [("a", 5), ("b", 1), ("c", 1)]) for _ in range(7)) == "aabacaa"


def test_lots_fall_by_weight_and_the_same_id_has_the_same_lot():
    chosen = [uuid.UUID(int=number * 7_919).bytes for number in range(4_000)]
    found = collections.Counter(lot(one, [("a", 3), ("b", 1)]) for one in chosen)
    assert found["a"] / 4_000 == pytest.approx(0.75, abs=0.03)
    assert lot(chosen[5], [("a", 3), ("b", 1)]) == lot(chosen[5], [("a", 3), ("b", 1)])
