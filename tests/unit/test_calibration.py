"""What answers say of our counts: the mean, the p95 that is reserved, and what they cannot say."""

from hypothesis import given, settings
from hypothesis import strategies as st

from rateguard.engine.tokens.calibration import BINS, ENOUGH, MEMORY, Learned, learn, reserved

ANSWERS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 50_000)), max_size=60)


def test_who_counts_exactly_reserves_exactly():
    known = learn(Learned(), [(100, 100)] * 50)
    assert (known.mean_permille, known.samples, known.reserve_permille) == (1_000, 50, 1_000)


def test_nothing_is_reserved_by_what_too_few_answers_say():
    few = learn(Learned(), [(100, 200)] * (ENOUGH - 1))
    assert (few.reserve_permille, learn(few, [(100, 200)]).reserve_permille > 1_900) == (1_000, True)


def test_what_is_reserved_covers_nineteen_of_twenty_and_not_the_worst():
    known = learn(Learned(), ([(1_000, 1_100)] * 97 + [(1_000, 2_500)] * 3) * 3)
    assert 1_100 <= known.reserve_permille <= 1_155
    assert 1_100 < known.mean_permille < 1_200
    more = learn(Learned(), ([(1_000, 1_100)] * 9 + [(1_000, 2_500)]) * 30)
    assert 2_500 <= more.reserve_permille <= 2_625


def test_the_latest_answers_weigh_most():
    known = learn(learn(Learned(), [(100, 300)] * MEMORY), [(100, 90)] * 4 * MEMORY)
    assert known.reserve_permille <= 945
    assert 900 < known.mean_permille < 945


@settings(max_examples=40)
@given(ANSWERS, ANSWERS)
def test_answers_in_two_rounds_say_what_they_say_in_one(first, second):
    apart, at_once = learn(learn(Learned(), first), second), learn(Learned(), first + second)
    assert apart.samples == at_once.samples
    assert abs(apart.mean_permille - at_once.mean_permille) <= 1
    assert abs(sum(apart.bins) - sum(at_once.bins)) < 0.001


@settings(max_examples=40)
@given(ANSWERS)
def test_a_counter_gone_mad_is_learned_within_bounds_alone(answers):
    known = learn(Learned(), answers)
    assert 500 <= known.mean_permille <= 3_000
    assert 500 <= known.reserve_permille <= 3_000
    assert len(known.bins) == BINS


def test_short_requests_and_answers_without_a_count_say_nothing():
    assert learn(Learned(), [(15, 30), (100, 0), (100, -1)]).samples == 0


def test_a_reservation_is_rounded_up():
    assert [reserved(count, 1_050) for count in (0, 1, 20, 21)] == [0, 2, 21, 23]
