import math
import random

import pytest

from rateguard.engine.histogram import LARGEST_VALUE, bin_of, lower_bound, merge, quantile, upper_bound

LAST_BIN = bin_of(LARGEST_VALUE)


def histogram(values):
    counts = {}
    for value in values:
        counts[bin_of(value)] = counts.get(bin_of(value), 0) + 1
    return counts


def random_values(rng):
    """1 to 60 values whose sizes are spread over all powers of two up to 2**40."""
    return [int(2 ** rng.uniform(0, 40)) - 1 for _ in range(rng.randint(1, 60))]


def test_bins_follow_each_other_without_gap_or_overlap():
    for number in range(LAST_BIN):
        assert lower_bound(number + 1) == upper_bound(number) + 1
        assert bin_of(lower_bound(number)) == bin_of(upper_bound(number)) == number


def test_small_values_are_exact():
    assert [bin_of(value) for value in range(17)] == list(range(17))


def test_a_value_doubles_every_eight_bins():
    assert bin_of(32) - bin_of(16) == bin_of(2**40) - bin_of(2**39) == 8


def test_values_outside_the_range_count_at_its_ends():
    assert bin_of(-5) == 0
    assert bin_of(2**70) == LAST_BIN < 2**15
    assert upper_bound(LAST_BIN) == LARGEST_VALUE


@pytest.mark.parametrize("seed", range(50))
def test_a_quantile_is_within_five_percent_of_the_true_one(seed):
    rng = random.Random(seed)
    values = random_values(rng)
    for q in (0.0, rng.random(), 0.5, 0.95, 1.0):
        true = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
        assert abs(quantile(histogram(values), q) - true) <= 0.05 * true


def test_merged_histograms_are_the_histogram_of_all_values():
    rng = random.Random(3)
    first, second = random_values(rng), random_values(rng)
    assert merge(histogram(first), histogram(second)) == histogram(first + second)


def test_an_empty_histogram_has_no_quantile():
    assert quantile({}, 0.5) is None
    assert quantile({3: 0}, 0.5) is None
