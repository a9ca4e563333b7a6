"""Prices that depend on the request: tiers, long contexts, terms, audio, what stays long in a cache, searches."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from rateguard.engine.money import LongContext, Price, Rates, Usage, cost_nano_usd, most_nano_usd

PLAIN = Price(2_000_000, 200_000, 2_500_000, 10_000_000)


def rates(kind=Rates, **more):
    pico = st.integers(0, 200_000_000)
    parts = st.none() | pico
    names = ("input_pico", "cached_input_pico", "cache_write_pico", "output_pico")
    further = ("cache_write_long_pico", "audio_input_pico", "audio_output_pico")
    return st.builds(kind, **dict.fromkeys(names, pico), **dict.fromkeys(further, parts), **more)


TIERS = ("priority", "flex", "batch")
tiers = st.lists(st.sampled_from(TIERS), unique=True).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), rates()) for name in names))
)
longs = rates(LongContext, tiers=tiers, above_input_tokens=st.integers(0, 300_000))
prices = rates(
    Price,
    tiers=tiers,
    long_contexts=st.lists(longs, max_size=2).map(lambda found: tuple(sorted(found, key=lambda one: -one.above_input_tokens))),
    terms=st.lists(st.sampled_from(("us", "fast")), unique=True).flatmap(
        lambda names: st.tuples(*(st.tuples(st.just(name), st.integers(1, 3_000)) for name in names))
    ),
    search_nano_usd=st.integers(0, 50_000_000),
)


@st.composite
def usages(draw, most_input=400_000, most_output=200_000):
    tokens = [draw(st.integers(0, most_input // 3)) for _ in range(3)]
    output = draw(st.integers(0, most_output))
    return Usage(
        *tokens,
        output,
        cache_write_long_tokens=draw(st.integers(0, tokens[2])),
        audio_input_tokens=draw(st.integers(0, tokens[0])),
        audio_output_tokens=draw(st.integers(0, output)),
        tier=draw(st.sampled_from(("", *TIERS))),
        terms=tuple(draw(st.sets(st.sampled_from(("us", "fast"))))),
        searches=draw(st.integers(0, 3)),
    )


@settings(max_examples=30)
@given(prices, usages(), st.integers(0, 1_000), st.integers(0, 1_000))
def test_no_usage_within_what_was_reserved_costs_more(price, usage, spare_input, spare_output):
    most = most_nano_usd(
        price,
        usage.all_input_tokens + spare_input,
        usage.output_tokens + spare_output,
        usage.tier,
        terms=usage.terms,
        searches=usage.searches,
    )
    assert cost_nano_usd(price, usage) <= most


@settings(max_examples=30)
@given(prices, usages())
def test_what_was_asked_at_priority_and_answered_at_another_tier_stays_within_what_was_reserved(price, usage):
    most = most_nano_usd(price, usage.all_input_tokens, usage.output_tokens, "priority", terms=usage.terms, searches=usage.searches)
    assert cost_nano_usd(price, usage) <= most


@settings(max_examples=30)
@given(rates(Price), usages())
def test_tokens_of_one_price_cost_the_same_in_whatever_parts_they_are_told(price, usage):
    flat = dataclasses.replace(
        price, cache_write_long_pico=price.cache_write_pico, audio_input_pico=None, audio_output_pico=price.output_pico
    )
    plain = Price(price.input_pico, price.cached_input_pico, price.cache_write_pico, price.output_pico)
    assert cost_nano_usd(flat, usage) == cost_nano_usd(plain, usage)


@settings(max_examples=30)
@given(prices)
def test_a_price_is_a_value_that_can_be_a_key(price):
    assert {price: 1}[dataclasses.replace(price)] == 1


def test_each_part_has_its_own_price_and_the_rest_that_of_its_whole():
    price = dataclasses.replace(PLAIN, cache_write_long_pico=4_000_000, audio_input_pico=32_000_000, audio_output_pico=64_000_000)
    usage = Usage(
        100, 0, 10, 20, reasoning_tokens=5, cache_write_long_tokens=4, audio_input_tokens=30, audio_output_tokens=7,
    )  # fmt: skip
    pico = 70 * 2_000_000 + 30 * 32_000_000 + 6 * 2_500_000 + 4 * 4_000_000 + 13 * 10_000_000 + 7 * 64_000_000
    assert cost_nano_usd(price, usage) == pico // 1_000


def test_a_part_that_is_said_to_be_more_than_its_whole_costs_as_the_whole():
    price = dataclasses.replace(PLAIN, audio_input_pico=1)
    assert cost_nano_usd(price, Usage(input_tokens=10, audio_input_tokens=1_000)) == cost_nano_usd(Price(1), Usage(input_tokens=10))


def test_above_the_threshold_all_tokens_of_a_request_take_the_higher_price_however_they_were_read():
    price = dataclasses.replace(PLAIN, long_contexts=(LongContext(4_000_000, 400_000, 5_000_000, 15_000_000, above_input_tokens=200),))
    assert cost_nano_usd(price, Usage(100, 100, 0, 10)) == 200_000 + 20_000 + 100_000
    assert cost_nano_usd(price, Usage(100, 101, 0, 10)) == 400_000 + 40_400 + 150_000


def test_a_long_request_at_a_tier_takes_the_long_price_of_that_tier():
    long = LongContext(4_000_000, tiers=(("batch", Rates(3_000_000)),), above_input_tokens=10)
    price = Price(2_000_000, tiers=(("batch", Rates(1_000_000)),), long_contexts=(long,))
    found = [cost_nano_usd(price, Usage(tokens, tier=tier)) for tokens in (10, 11) for tier in ("", "batch", "flex")]
    assert found == [20_000, 10_000, 20_000, 44_000, 33_000, 44_000]


def test_terms_multiply_the_price_of_tokens_once_rounded_and_not_that_of_searches():
    price = Price(input_pico=455, terms=(("us", 1_100), ("fast", 2_000)), search_nano_usd=10_000_000)
    assert cost_nano_usd(price, Usage(1, terms=("us",))) == 1  # 500.5 pico-dollars
    assert cost_nano_usd(price, Usage(1, terms=("us", "fast"))) == 1  # 1001
    assert cost_nano_usd(price, Usage(1, terms=("nobody knows it",))) == 0
    assert cost_nano_usd(price, Usage(1, terms=("fast",), searches=2)) == 20_000_001


def test_terms_that_are_asked_for_are_reserved():
    price = Price(100_000, output_pico=0, terms=(("us", 1_100), ("cheap", 500)))
    assert [most_nano_usd(price, 10, 0, terms=terms) for terms in ((), ("us",), ("cheap",))] == [1_000, 1_100, 1_000]


def test_priority_is_reserved_only_where_it_is_asked_for():
    price = Price(100_000, output_pico=0, tiers=(("priority", Rates(250_000)), ("flex", Rates(50_000))))
    assert [most_nano_usd(price, 10, 0, tier) for tier in ("", "flex", "priority")] == [1_000, 1_000, 2_500]


def test_a_long_price_is_reserved_only_where_the_input_is_long():
    price = dataclasses.replace(PLAIN, long_contexts=(LongContext(9_000_000, above_input_tokens=100),))
    assert [most_nano_usd(price, tokens, 0) for tokens in (100, 101)] == [250_000, 909_000]


def test_a_reservation_thinks_of_the_dearest_way_to_read_and_to_write():
    price = dataclasses.replace(PLAIN, cache_write_long_pico=4_000_000, audio_output_pico=64_000_000)
    assert most_nano_usd(price, 1, 0) == 4_000
    assert most_nano_usd(price, 0, 1) == 64_000
