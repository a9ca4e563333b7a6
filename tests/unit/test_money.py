import random

import pytest

from rateguard.engine.money import MAX_BUDGET_NANO_USD, Price, Usage, cost_nano_usd, format_usd, most_nano_usd

CASES = 2_000


def random_cases():
    """Prices up to 200 dollars per million tokens, usages up to two million tokens a bucket; zeros are frequent."""
    rng = random.Random(20)

    def number(most):
        return rng.choice([0, 1, rng.randrange(most), rng.randrange(most)])

    for _ in range(CASES):
        yield Price(*(number(200_000_000) for _ in range(4))), Usage(*(number(2_000_000) for _ in range(4)))


def exact_pico(price: Price, usage: Usage) -> int:
    pairs = (
        (usage.input_tokens, price.input_pico),
        (usage.cached_tokens, price.cached_input_pico),
        (usage.cache_write_tokens, price.cache_write_pico),
        (usage.output_tokens, price.output_pico),
    )
    return sum(tokens * pico for tokens, pico in pairs)


def test_a_cost_is_rounded_once_and_half_up():
    distances = [1_000 * cost_nano_usd(price, usage) - exact_pico(price, usage) for price, usage in random_cases()]
    assert all(-500 < distance <= 500 for distance in distances)
    assert len(set(distances)) > CASES / 10


@pytest.mark.parametrize(("pico", "nano"), [(499, 0), (500, 1), (501, 1), (1_499, 1), (1_500, 2)])
def test_half_a_nano_dollar_rounds_up(pico, nano):
    assert cost_nano_usd(Price(input_pico=pico), Usage(input_tokens=1)) == nano


def test_each_bucket_of_tokens_has_its_own_price():
    price = Price(input_pico=2_500_000, cached_input_pico=250_000, cache_write_pico=3_125_000, output_pico=15_000_000)
    usage = Usage(input_tokens=1_000, cached_tokens=100, cache_write_tokens=10, output_tokens=1)
    assert cost_nano_usd(price, usage) == 2_500_000 + 25_000 + 31_250 + 15_000


def test_reasoning_is_inside_the_output_and_costs_nothing_more():
    price = Price(output_pico=15_000_000)
    assert cost_nano_usd(price, Usage(output_tokens=10, reasoning_tokens=10)) == cost_nano_usd(price, Usage(output_tokens=10))


def test_no_usage_within_the_reserved_tokens_costs_more_than_the_reservation():
    for price, usage in random_cases():
        assert cost_nano_usd(price, usage) <= most_nano_usd(price, usage.all_input_tokens, usage.output_tokens)


def test_the_largest_budget_is_exact_in_a_double():
    assert int(float(MAX_BUDGET_NANO_USD)) == MAX_BUDGET_NANO_USD < 2**53


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "$0.00"), (1, "$0.000000001"), (1_500_000_000, "$1.50"), (-12_000_000, "-$0.012"), (1_234_567_000_000_000, "$1,234,567.00")],
)
def test_money_is_written_with_cents_and_with_more_digits_only_where_there_are_any(nano, text):
    assert format_usd(nano) == text


@pytest.mark.parametrize(("pico", "nano"), [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (2_000, 2)])
def test_a_reservation_is_rounded_up_and_to_no_more_than_it_must(pico, nano):
    assert most_nano_usd(Price(input_pico=pico), 1, 0) == most_nano_usd(Price(output_pico=pico), 0, 1) == nano


def test_what_is_not_said_to_have_been_used_costs_nothing():
    assert cost_nano_usd(Price(10**6, 10**6, 10**6, 10**6), Usage()) == 0
    assert cost_nano_usd(Price(), Usage(10**6, 10**6, 10**6, 10**6)) == 0
