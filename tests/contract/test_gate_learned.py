"""A limit that nobody knows is felt for from below: more while it is full and nobody is refused, less at a refusal."""

from __future__ import annotations

import pytest

from rateguard.engine.gate.contract import Cooldown, LimitReading, Settlement
from rateguard.engine.limits.limit import Metric
from tests.contract.gate_line import deployment, ended, model, requests, window

MOST = 10**6
LIMIT = "a:r"


@pytest.fixture
def learned(line):
    """A deployment whose requests a minute nobody knows: 8 to begin with, never below 1."""
    line.open(requests(LIMIT, MOST, learns_from=8, learns_floor=1, gives_back=False), models=[model("m", deployment(LIMIT))])
    return line


def amount(line) -> int:
    return line.gate.inspect((LIMIT,)).limits[0].amount


def fill(line, **more) -> list:
    """As many as are let through, ended."""
    line.enqueue(*line.jobs(amount(line) + 1 - line.gate.inspect(()).waiting))
    grants = line.admit_all()
    line.step(settle=ended(grants, **more))
    return grants


def test_it_starts_where_it_was_told_to(learned):
    assert len(fill(learned)) == 8


def test_a_full_window_without_a_refusal_raises_it_by_a_step(learned):
    seen = []
    for _ in range(4):
        fill(learned)
        seen.append(amount(learned))
        learned.wait(60_500)

    assert seen == [10, 12, 14, 16]


def test_it_rises_once_a_window_however_many_attempts_end(learned):
    fill(learned)
    learned.wait(1_000)
    fill(learned)

    assert amount(learned) == 10


def test_what_is_not_full_says_nothing(learned):
    learned.enqueue(*learned.jobs(4))
    learned.step(settle=ended(learned.admit_all()))

    assert amount(learned) == 8


def test_a_refusal_leaves_three_quarters_of_it_once_a_window_and_never_less_than_the_floor(learned):
    seen = []
    for _ in range(7):
        grants = fill(learned, cooldown=Cooldown("a1", 1))
        assert grants
        seen.append(amount(learned))
        learned.wait(60_500)

    assert seen == [6, 4, 3, 2, 1, 1, 1]


def test_a_refusal_for_good_says_nothing_of_it(learned):
    learned.enqueue(*learned.jobs(4))
    learned.step(settle=ended(learned.admit_all(), cooldown=Cooldown("a1", 1, "its money is spent")))

    assert amount(learned) == 8


def test_what_was_given_back_unsent_says_nothing(learned):
    learned.enqueue(*learned.jobs(8))
    grants = learned.admit_all()

    learned.step(settle=(Settlement(grants[0].reservation, used=False), Settlement(grants[1].reservation, used=False)))

    assert amount(learned) == 8


def test_a_limit_that_is_told_is_its_ceiling(learned):
    learned.gate.sync((), (LimitReading(LIMIT, told=9),))
    for _ in range(3):
        fill(learned)
        learned.wait(60_500)
        learned.gate.sync((), (LimitReading(LIMIT, told=9),))

    assert amount(learned) == 9


def test_what_was_learned_stays_when_its_beginning_is_edited_and_goes_when_the_limit_is_known(learned):
    fill(learned)
    learned.configure(requests(LIMIT, MOST, learns_from=20, learns_floor=1, gives_back=False))
    assert amount(learned) == 10

    learned.configure(requests(LIMIT, 500, gives_back=False), version=3)
    assert amount(learned) == 500


def test_a_request_larger_than_what_was_learned_goes_alone(line):
    line.open(
        window("a:t", Metric.PROVIDER_TOKENS, MOST, 60_000, learns_from=100, gives_back=False), models=[model("m", deployment("a:t"))]
    )
    small, large, after = line.job(size=50), line.job(size=5_000), line.job(size=50)
    line.enqueue(small, large, after)

    assert [grant.reservation.job for grant in line.admit_all()] == [small.job]
    line.wait(60_500)
    assert [grant.reservation.job for grant in line.admit_all()] == [large.job]
    line.wait(60_500)
    assert [grant.reservation.job for grant in line.admit_all()] == [after.job]
