"""What a provider tells of its limits corrects what the gate grants: less where less is left, never more than people set."""

from __future__ import annotations

import pytest

from rateguard.engine.gate.contract import Cooldown, LimitReading, Refusal
from rateguard.engine.limits.limit import Level, Metric
from rateguard.engine.limits.told import TOLD_FOR_MS
from tests.contract.gate_line import START_MS, bucket, deployment, ended, model, requests, sent, window

LIMIT = "a:r"


@pytest.fixture
def told(line):
    """An account with 10 requests a minute, and what an answer tells of it."""
    line.open(requests(LIMIT, 10, guard_ms=500, gives_back=False), models=[model("m", deployment(LIMIT))])

    def tell(grants, **figures) -> None:
        line.step(settle=ended(grants, readings=(LimitReading(LIMIT, **figures),)))

    return tell


def grant(line, count: int) -> list:
    line.enqueue(*line.jobs(count))
    return line.admit_all()


def use(line):
    return line.gate.inspect((LIMIT,)).limits[0]


def test_where_less_is_left_than_we_count_others_have_used_it_and_nobody_gets_it(line, told):
    first = grant(line, 3)

    told(first[:1], told=10, remaining=2, reset_ms=20_000)

    assert (use(line).used, use(line).foreign) == (8, 5)
    assert len(grant(line, 10)) == 2


def test_what_others_used_leaves_when_the_provider_says_so(line, told):
    told(grant(line, 1), told=10, remaining=0, reset_ms=20_000)
    line.enqueue(*line.jobs(10))
    reply = line.step(10)
    assert (reply.granted, reply.next_ready_ms) == ((), START_MS + 20_000)

    line.go_to(START_MS + 19_999)
    assert line.step(10).granted == ()
    line.go_to(START_MS + 20_000)
    assert len(line.step(10).granted) == 9


def test_where_no_reset_is_told_it_leaves_after_a_window(line, told):
    told(grant(line, 1), told=10, remaining=0)

    assert line.next_ms(LIMIT) == 60_000


def test_where_more_is_left_than_we_count_nothing_is_loosened(line, told):
    told(grant(line, 8), told=1_000, remaining=999)

    assert (use(line).used, use(line).amount, use(line).foreign) == (8, 10, 0)
    assert len(grant(line, 10)) == 2


def test_requests_that_the_provider_has_not_counted_yet_do_not_count_twice(line, told):
    """Of nine under way it has counted four: six are left there, and five of ours are still to come."""
    told(grant(line, 9)[:1], told=10, remaining=6)

    assert (use(line).used, use(line).foreign) == (9, 0)


def test_the_newest_answer_says_anew_what_others_use(line, told):
    grants = grant(line, 3)
    told(grants[:1], told=10, remaining=1, reset_ms=60_000)
    assert use(line).foreign == 6
    line.wait(100)

    told(grants[1:2], told=10, remaining=5, reset_ms=60_000)

    assert use(line).foreign == 2


def test_an_answer_that_comes_late_or_out_of_order_changes_nothing(line, told):
    grants = grant(line, 3)
    line.wait(500)
    told(grants[:1], told=10, remaining=5, ago_ms=10)

    told(grants[1:2], told=4, remaining=0, ago_ms=400)

    assert (use(line).foreign, use(line).amount) == (2, 10)


def test_how_much_is_left_counts_only_while_it_is_known_what_was_ours_then(line, told):
    """What has left the window since was counted there, and nobody knows any more how much: longer ago than the guard it says nothing."""
    grants = grant(line, 2)
    line.wait(60_000)

    told(grants[:1], told=10, remaining=0, ago_ms=501)
    assert use(line).foreign == 0
    told(grants[1:], told=10, remaining=0, ago_ms=500)
    assert use(line).foreign == 8


def test_a_smaller_limit_lowers_what_is_granted_for_as_long_as_it_is_told(line, told):
    told(grant(line, 1), told=4)
    assert use(line).amount == 4
    assert len(grant(line, 10)) == 3

    line.wait(TOLD_FOR_MS)
    assert use(line).amount == 10
    assert len(line.admit_all()) == 7


def test_what_never_fits_the_limit_that_is_told_is_refused(line):
    line.open(window("a:t", Metric.PROVIDER_TOKENS, 1_000, 60_000), models=[model("m", deployment("a:t"))])
    line.gate.sync((), (LimitReading("a:t", told=500),))
    job = line.job(size=600)

    reply = line.step(1, enqueue=(job,))

    assert [(one.reason, one.binding) for one in reply.refused] == [(Refusal.EXCEEDS_LIMIT, "a:t")]


def test_a_bucket_that_a_provider_tells_smaller_flows_slower_and_what_is_missing_stays_missing(line):
    line.open(bucket(LIMIT, 600, 60_000, Level.SHARED, Metric.REQUESTS), models=[model("m", deployment(LIMIT))])
    grant(line, 90)

    line.gate.sync((), (LimitReading(LIMIT, told=60),))

    assert use(line).amount == 60
    assert 90 <= use(line).used <= 91  # rounded up
    line.wait(30_000)  # one a second now
    assert 60 <= use(line).used <= 61


def test_what_others_took_from_a_bucket_is_missing_until_the_provider_s_reset(line):
    line.open(bucket(LIMIT, 60, 60_000, Level.SHARED, Metric.REQUESTS), models=[model("m", deployment(LIMIT))])
    first = grant(line, 10)

    line.step(settle=ended(first[:1], readings=(LimitReading(LIMIT, told=60, remaining=0, reset_ms=5_000),)))

    assert (use(line).foreign, line.next_ms(LIMIT)) == (50, 1_000)
    line.wait(5_000)
    assert (use(line).used, len(grant(line, 100))) == (5, 55)


def test_a_reading_of_a_limit_that_is_gone_or_counts_no_time_changes_nothing(line, told):
    line.gate.sync((), (LimitReading("gone", told=1, remaining=0),))

    assert use(line).amount == 10


def test_an_edit_keeps_what_was_told(line, told):
    told(grant(line, 1), told=10, remaining=4, reset_ms=60_000)

    line.configure(requests(LIMIT, 20, guard_ms=500, gives_back=False))

    assert (use(line).foreign, use(line).amount) == (5, 10)


def test_a_reading_counts_although_its_attempt_is_gone_already(line, told):
    first = grant(line, 1)
    line.step(settle=ended(first))

    told(first, told=10, remaining=4)

    assert use(line).foreign == 5


def test_others_that_left_let_go_on_what_waited(line, told):
    first = grant(line, 2)
    told(first[:1], told=10, remaining=0)
    line.enqueue(*line.jobs(4))
    assert line.admit_all() == []

    line.wait(50)
    reply = line.step(10, settle=ended(first[1:], readings=(LimitReading(LIMIT, told=10, remaining=8),)))

    assert len(reply.granted) == 4


def test_a_person_lifts_a_cooldown(line, told):
    first = grant(line, 2)
    line.step(sent=sent(first), settle=ended(first, cooldown=Cooldown("a1", 3_600_000, "its money is spent")))
    line.enqueue(line.job())
    assert line.step(1).granted == ()

    line.gate.sync(("a1",), ())

    assert line.gate.inspect(()).cooling == ()
    assert len(line.step(1).granted) == 1
