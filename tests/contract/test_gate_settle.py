"""Reserve → settle: what a grant holds, what comes back, and what never fits."""

from __future__ import annotations

import collections
import random

import pytest

from rateguard.engine.gate.contract import Refusal, Settlement, WorkClass
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Level, Metric
from tests.contract.gate_line import budget, deployment, ended, ids, model, node, places, requests, tokens, window

DEAR = deployment(output_pico=1_000_000)
"""1,000 nano-dollars a token of output."""
MODEL, OTHER_MODEL = model("m", deployment()), model("n", deployment())


# ---- budgets


@pytest.mark.parametrize("seed", range(3))
def test_of_500_jobs_on_a_budget_of_exactly_k_exactly_k_are_granted_and_the_rest_refused_when_they_cost_it_all(line, seed):
    rnd, k = random.Random(seed), 137
    line.open(budget("t:b", k * 9_000), scopes=[node("p", "t:b")], models=[model("m", DEAR)])
    line.enqueue(*line.jobs(500, size=10))
    granted, refused, running = [], [], []

    while len(granted) + len(refused) < 500:
        ending = [running.pop(rnd.randrange(len(running))) for _ in range(rnd.randint(0, len(running)))]
        reply = line.step(50, settle=ended(ending, input_tokens=1, output_tokens=9, cost=9_000))
        granted += reply.granted
        running += reply.granted
        refused += reply.refused
        assert line.used("t:b") <= k * 9_000
        line.wait(50)

    assert len(granted) == k
    assert {refusal.reason for refusal in refused} == {Refusal.BUDGET_EXHAUSTED}
    assert {refusal.binding for refusal in refused} == {"t:b"}


def test_a_budget_reserves_the_most_that_the_dearest_deployment_can_cost(line):
    cheap = deployment(name="1", input_pico=500_000, output_pico=1_000_000)
    dear = deployment(name="2", input_pico=500_000, output_pico=3_000_001)
    line.open(budget("t:b", 10**9), scopes=[node("p", "t:b")], models=[model("m", cheap, dear)])
    line.enqueue(line.job(size=11, answer=3))

    (grant,) = line.step(1).granted

    assert grant.cost == 30_501  # (500,000 + 10 × 3,000,001) pico-dollars, rounded up
    assert (line.used("t:b"), line.reserved("t:b")) == (30_501, 30_501)


def test_what_an_attempt_did_not_cost_returns_to_the_budget_and_lets_parked_jobs_in(line):
    line.open(budget("t:b", 20_000), scopes=[node("p", "t:b")], models=[model("m", DEAR)])
    line.enqueue(*line.jobs(3, size=11))
    granted = line.admit_all()
    assert len(granted) == 2

    line.step(settle=ended(granted, input_tokens=1, output_tokens=5, cost=5_000))

    assert (line.used("t:b"), line.reserved("t:b")) == (10_000, 0)
    assert len(line.admit_all()) == 1


def test_money_beyond_the_reservation_is_counted_and_stops_the_budget(line):
    line.open(budget("t:b", 20_000), scopes=[node("p", "t:b")], models=[model("m", DEAR)])
    line.enqueue(*line.jobs(2, size=11))
    (first,) = line.step(1).granted
    line.step(settle=ended([first], input_tokens=1, output_tokens=10, cost=15_000))

    reply = line.step(1)

    assert line.used("t:b") == 15_000
    assert [refusal.reason for refusal in reply.refused] == [Refusal.BUDGET_EXHAUSTED]


# ---- give-back


def test_a_limit_of_ours_gets_back_what_was_not_used_into_the_slice_it_came_from(line):
    line.open(tokens("t:t", 1_000, 60_000, Level.TENANT), scopes=[node("p", "t:t")])
    line.enqueue(*line.jobs(3, size=600))
    granted = line.admit_all()
    assert len(granted) == 1
    line.wait(20_000)

    line.step(settle=ended(granted, input_tokens=100, output_tokens=100))

    assert line.used("t:t") == 200
    assert len(line.admit_all()) == 1
    line.wait(40_250)  # the first attempt's 200 have left the window, 20 s before the second's 600
    assert line.used("t:t") == 600


def test_a_limit_of_ours_reserves_the_estimate_and_a_providers_what_the_provider_counts(line):
    provider = window("a:t", Metric.PROVIDER_TOKENS, 10_000, 60_000, gives_back=False)
    line.open(tokens("t:t", 10_000), provider, scopes=[node("p", "t:t")], models=[model("m", deployment("a:t"))])
    line.enqueue(line.job(size=501, answer=99))

    line.step(1)

    assert line.used("t:t") == 100
    assert line.used("a:t") == 501


def test_a_providers_limit_gives_nothing_back(line):
    provider = window("a:t", Metric.PROVIDER_TOKENS, 10_000, 60_000, gives_back=False)
    line.open(provider, requests("a:r", 10, gives_back=False), models=[model("m", deployment("a:t", "a:r"))])
    line.enqueue(line.job(size=501))
    granted = line.step(1).granted

    line.step(settle=ended(granted, input_tokens=1, output_tokens=1))

    assert line.used("a:t") == 501
    assert line.used("a:r") == 1


def test_an_attempt_that_was_never_sent_counts_nowhere(line):
    provider = window("a:t", Metric.PROVIDER_TOKENS, 10_000, 60_000, gives_back=False)
    line.open(
        provider, tokens("t:t", 1_000), places("t:c", 5), budget("t:b", 10**9), scopes=[node("p", "t:t", "t:c", "t:b")],
        models=[model("m", deployment("a:t", output_pico=1_000))],
    )  # fmt: skip
    line.enqueue(*line.jobs(3, size=100))
    granted = line.step(3).granted

    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in granted))

    inspection = line.gate.inspect()
    assert len(granted) == 3
    assert {use.id: use.used for use in inspection.limits} == {"a:t": 0, "t:t": 0, "t:c": 0, "t:b": 0}
    assert inspection.reservations == inspection.unsent == 0


def test_an_overrun_of_tokens_is_counted_and_nothing_is_granted_until_the_window_is_under_again(line):
    line.open(tokens("t:t", 1_000, 60_000, Level.TENANT), scopes=[node("p", "t:t")])
    line.enqueue(*line.jobs(5, size=100))
    granted = line.step(1).granted
    line.wait(1_000)
    line.step(settle=ended(granted, input_tokens=1, output_tokens=2_499))
    assert line.used("t:t") == 2_500

    reply = line.step(5)

    assert reply.granted == ()
    assert reply.next_ready_ms > reply.now_ms + 58_000
    line.go_to(reply.next_ready_ms)
    assert len(line.admit_all()) == 4


def test_an_input_larger_than_estimated_is_counted_on_a_limit_that_gives_nothing_back(line):
    provider = window("a:t", Metric.PROVIDER_TOKENS, 10_000, 60_000, gives_back=False)
    line.open(provider, models=[model("m", deployment("a:t"))])
    line.enqueue(line.job(size=501))
    granted = line.step(1).granted

    line.step(settle=ended(granted, input_tokens=51, output_tokens=1))

    assert line.used("a:t") == 551


def test_a_place_is_free_again_when_its_attempt_ends(line):
    line.open(places("t:c", 2, Level.TENANT), scopes=[node("p", "t:c")])
    jobs = line.enqueue(*line.jobs(4))
    granted = line.admit_all()
    assert len(granted) == 2

    reply = line.step(4, settle=ended(granted[:1]))

    assert ids(reply) == [jobs[2].job]


# ---- never


@pytest.mark.parametrize("level", list(Level))
def test_a_need_above_a_limit_itself_is_refused_and_others_go_on(line, level):
    line.open(tokens("l:t", 1_000, level=level), scopes=[node("p", "l:t")])
    large, small = line.enqueue(line.job(size=1_001), line.job(size=500))

    reply = line.step(2)

    assert ids(reply) == [small.job]
    assert [(refusal.job, refusal.attempt, refusal.reason, refusal.binding) for refusal in reply.refused] == [
        (large.job, 0, Refusal.EXCEEDS_LIMIT, "l:t")
    ]


@pytest.mark.parametrize("level", list(Level))
def test_a_need_above_a_limit_is_refused_at_once_although_others_wait_behind_it(line, level):
    line.open(tokens("l:t", 1_000, level=level), scopes=[node("p", "l:t")], models=[MODEL, OTHER_MODEL])
    line.enqueue(*line.jobs(2, size=900))
    line.admit_all()
    large = line.job("p|user:q", size=1_001, to="n", lane=Lane.LOW)

    assert [refusal.job for refusal in line.step(9, enqueue=(large,)).refused] == [large.job]


def test_a_need_above_the_limits_of_every_deployment_is_refused_and_above_one_only_waits_for_the_other(line):
    small, large = deployment("1:t", name="1"), deployment("2:t", name="2")
    line.open(tokens("1:t", 100), tokens("2:t", 1_000), models=[model("m", small, large)])
    huge, middle, waits = line.enqueue(line.job(size=1_001), line.job(size=900), line.job(size=900))

    reply = line.step(3)

    assert [refusal.job for refusal in reply.refused] == [huge.job]
    assert [(grant.reservation.job, grant.deployment) for grant in reply.granted] == [(middle.job, "2")]
    assert line.gate.inspect().waiting == 1
    assert waits.job not in ids(reply)


@pytest.mark.parametrize("level", list(Level))
def test_a_need_above_a_limit_that_was_lowered_is_refused_at_the_next_step(line, level):
    line.open(tokens("l:t", 1_000, level=level), scopes=[node("p", "l:t")])
    jobs = line.enqueue(*line.jobs(2, size=800))
    assert len(line.admit_all()) == 1

    line.configure(tokens("l:t", 700, level=level))

    assert [(refusal.job, refusal.reason) for refusal in line.step(5).refused] == [(jobs[1].job, Refusal.EXCEEDS_LIMIT)]


def test_work_for_a_path_or_a_model_that_is_not_configured_is_refused_by_name(line):
    line.open()
    nowhere, unknown = line.job("nowhere"), line.job(to="unknown")

    first = line.step(1, enqueue=(nowhere, unknown))

    assert [(refusal.job, refusal.reason, refusal.binding) for refusal in first.refused] == [
        (nowhere.job, Refusal.NOT_CONFIGURED, "nowhere"),
        (unknown.job, Refusal.NOT_CONFIGURED, "unknown"),
    ]


# ---- edits


@pytest.mark.parametrize("level", list(Level))
def test_a_raised_limit_keeps_what_is_used_and_acts_on_the_next_step(line, level):
    line.open(requests("l:r", 2, level=level), scopes=[node("p", "l:r")])
    line.enqueue(*line.jobs(9))
    assert len(line.admit_all()) == 2

    line.configure(requests("l:r", 5, level=level))

    assert line.used("l:r") == 2
    assert len(line.admit_all()) == 3


def test_a_window_of_another_length_keeps_what_was_used_within_it(line):
    line.open(requests("l:r", 10, 600_000), scopes=[node("p", "l:r")])
    line.enqueue(*line.jobs(30))
    line.step(4)
    line.wait(100_000)
    line.step(6)

    line.configure(requests("l:r", 10, 60_000))

    assert line.used("l:r") == 6
    assert len(line.admit_all()) == 4


def test_a_shortened_window_is_not_over_although_its_old_slices_were_coarse(line):
    line.open(requests("l:r", 10, 3_600_000), scopes=[node("p", "l:r")])
    line.enqueue(*line.jobs(30))
    line.clock.now_ms += 14_000 - line.clock.now_ms % 15_000 + 15_000  # near the end of an old slice, which is 15 s long
    line.wait(0)
    started_ms = line.clock.now_ms
    line.step(10)

    line.configure(requests("l:r", 10, 60_000))

    line.go_to(started_ms + 59_000)
    assert line.admit_all() == []
    line.go_to(started_ms + 76_000)
    assert len(line.admit_all()) == 10


def test_writing_a_paced_limit_again_gives_no_second_burst(line):
    record = requests("l:r", 100, 100_000, burst_permille=100)
    line.open(record, scopes=[node("p", "l:r")])
    line.enqueue(*line.jobs(100))
    first = len(line.admit_all())
    assert first in (10, 11)

    line.configure(record)

    assert line.admit_all() == []


def test_a_limit_taken_from_a_path_lets_its_parked_jobs_go(line):
    line.open(places("t:c", 1, Level.TENANT), budget("t:b", 10_000), scopes=[node("p", "t:c"), node("q", "t:b")], models=[model("m", DEAR)])
    jobs = line.enqueue(*line.jobs(3), *line.jobs(3, "q", size=6))
    assert len(line.admit_all()) == 3

    line.configure(scopes=(node("p"), node("q")))

    again = line.step(10, enqueue=jobs).granted
    assert collections.Counter(grant.reservation.job for grant in again) == dict.fromkeys([job.job for job in jobs[1:3]] + [jobs[5].job], 1)
    assert line.gate.inspect().waiting == 0


def test_a_limit_that_is_forgotten_lets_its_parked_jobs_go(line):
    line.open(places("t:c", 1, Level.TENANT), budget("t:b", 10_000), scopes=[node("p", "t:c"), node("q", "t:b")], models=[model("m", DEAR)])
    line.enqueue(*line.jobs(3), *line.jobs(3, "q", size=6))
    assert len(line.admit_all()) == 3

    line.configure(forget_limits=("t:c", "t:b"))

    assert len(line.admit_all()) == 3
    assert line.gate.inspect().limits == ()


def test_a_weight_that_is_edited_acts_on_waiting_jobs(line):
    line.open(scopes=[node("p"), node("q")])
    line.enqueue(*line.jobs(300, "p", size=10), *line.jobs(300, "q", size=10))
    line.step(20)

    line.configure(scopes=(node("p", weight=4), node("q")))

    first = line.step(200, enqueue=())
    on_p = sum(1 for grant in first.granted if grant.reservation.job.int <= 300)
    assert on_p == pytest.approx(160, abs=3)


def test_a_sync_call_is_not_bound_by_slots(line):
    line.open(slots=0)
    call, _ = line.enqueue(line.job(work_class=WorkClass.SYNC), line.job())

    assert ids(line.step(2)) == [call.job]
