"""The reaper acts on the row. Each branch; the reconciler; and what a job is that its workers die of."""

import dataclasses
import datetime as dt

import pytest
from django.utils import timezone

from rateguard.engine.gate.contract import ReservationId, Sent
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import FAIL, SUCCEED, AttemptState, State
from rateguard.jobs.upkeep import recover
from tenants.models import LedgerEntry
from tests.line import assert_books_close, events_of, state_of, wait_for

USED = Usage(input_tokens=9, output_tokens=11)


@pytest.fixture
def counts():
    return recover.Counts()


@pytest.fixture
def reap(line, counts):
    """A round of the reaper, until the gate knows what it found."""

    def reap():
        recover.reap(line.gate, process_pump(), counts)
        line.settled()
        return counts

    return reap


def sent(line, claimed, holder="w1"):
    process_pump().sent(Sent(ReservationId(claimed.job, claimed.attempt), holder, 0), 0.0)
    process_pump().kick()
    line.settled()


def end(claimed, **fields):
    told = {"state": AttemptState.SUCCEEDED, "transition": SUCCEED, "usage": USED, "nano_usd": 5_000}
    settle([Ended(job=claimed.job, attempt=claimed.attempt, **{**told, **fields})])


# ---- a hint that came too late


def test_an_attempt_that_ended_and_is_granted_anew_is_charged_once(line, reap):
    budget = line.budget(10**9)
    claimed = line.run()
    late_hint = dataclasses.replace(waiting_of(Job.objects.get(pk=claimed.job)), attempt=claimed.attempt - 1)
    end(claimed)
    line.end_in_gate(claimed, 5_000)
    Attempt.objects.update(finished_at=timezone.now() - dt.timedelta(seconds=60))
    process_pump().enqueue([late_hint])
    assert line.claim(line.next_message()) == []
    line.pass_time(6_000, "w1")
    assert reap().settled == 1
    assert (line.used(budget).used, line.used(budget).reserved, line.gate.inspect().waiting) == (5_000, 0, 0)


# ---- nobody claimed the grant


def test_a_grant_that_nobody_claimed_comes_back_with_a_number_that_the_row_refuses(line, reap):
    budget = line.budget(10**9)
    job = line.submit()
    line.beat()
    lost = line.next_message()
    assert line.used(budget).reserved > 0
    assert reap().returned == 0
    line.pass_time(6_000, "w1")
    assert reap().returned == 1
    again = line.next_message()
    assert (again[0][0][1], lost[0][0][1]) == (2, 1)
    assert Job.objects.get().attempt == 1
    assert line.claim(lost) == []
    assert [claimed.attempt for claimed in line.claim(again)] == [2]
    assert line.used(budget).used == line.used(budget).reserved == Attempt.objects.get().reserved_nano_usd
    assert state_of(job) == State.RUNNING


def test_a_grant_whose_job_was_cancelled_gives_everything_back(line, reap):
    budget = line.budget(10**9)
    job = line.submit()
    line.beat()
    line.next_message()
    cancel(job)
    line.pass_time(6_000, "w1")
    reap()
    assert (line.used(budget).used, line.gate.inspect().reservations, line.messages.empty()) == (0, 0, True)


def test_a_grant_that_is_claimed_while_the_reaper_looks_keeps_its_reservation(line, counts):
    budget = line.budget(10**9)
    line.submit()
    line.beat()
    message = line.next_message()
    line.pass_time(6_000, "w1")
    (late,) = line.gate.suspects(10)
    line.claim(message)
    counts.returned += recover.return_grants(process_pump(), [late.reservation])
    line.settled()
    assert (counts.returned, line.used(budget).reserved) == (0, Attempt.objects.get().reserved_nano_usd)


def test_a_claimed_grant_that_nobody_told_the_gate_of_is_given_to_its_live_holder(line, reap):
    claimed = line.run()
    line.pass_time(6_000, "w1")
    assert reap().adopted == 1
    assert reap().adopted == 1
    assert state_of(claimed.job) == State.RUNNING
    assert line.gate.held(0, 10)[1][0].holder == "w1"


def test_a_claimed_grant_of_a_holder_that_died_before_it_sent_is_abandoned(line, reap):
    claimed = line.run()
    line.pass_time(14_000, "w2")
    reap()
    line.pass_time(1_000, "w2")
    assert reap().abandoned == 1
    assert state_of(claimed.job) == State.QUEUED


# ---- the row has ended


def test_an_ended_row_settles_its_reservation_with_its_usage(line, reap):
    budget, limit = line.budget(10**9), line.limit("tokens", 1_000)
    claimed = line.run()
    sent(line, claimed)
    end(claimed)
    line.pass_time(14_000, "w2")
    assert reap().settled == 1
    assert (line.used(budget).used, line.used(budget).reserved) == (5_000, 0)
    assert line.used(limit).used == 20
    assert line.gate.inspect().reservations == 0
    assert_books_close()


# ---- the holder died


@pytest.fixture
def dead(line):
    """A job that its holder sent, whose holder then died."""

    def dead(**fields):
        claimed = line.run("w1", **fields)
        sent(line, claimed)
        line.pass_time(14_000, "w2")
        return claimed

    return dead


def test_while_the_holder_lives_its_work_is_its_own(line, reap):
    claimed = line.run()
    sent(line, claimed)
    line.pass_time(30_000, "w1")
    assert not reap().has_any()
    assert state_of(claimed.job) == State.RUNNING


def test_work_of_a_dead_holder_is_charged_as_reserved_marked_estimated_and_waits_again(line, dead, reap):
    budget = line.budget(10**9)
    claimed = dead()
    queued_at = Job.objects.get().queued_at
    assert reap().abandoned == 1
    attempt, entry, job = Attempt.objects.get(), LedgerEntry.objects.get(), Job.objects.get()
    assert (attempt.state, attempt.is_estimated, attempt.error_code) == (AttemptState.ABANDONED, True, "abandoned")
    assert (entry.nano_usd, entry.is_estimated) == (claimed.cost, True)
    assert (entry.input_tokens, entry.output_tokens) == (claimed.input_tokens, claimed.max_output_tokens)
    assert (job.state, job.abandoned, job.tries, job.queued_at) == (State.QUEUED, 1, 0, queued_at)
    assert events_of(job) == ["submitted", "started", "orphaned"]
    assert line.used(budget).used - line.used(budget).reserved == claimed.cost
    assert [again.attempt for again in line.claim(line.next_message(), "w2")] == [2]


def test_reaping_twice_charges_once(dead, reap):
    dead()
    reap()
    reap()
    assert LedgerEntry.objects.count() == 1


def test_a_late_end_of_an_abandoned_attempt_changes_nothing(dead, reap):
    claimed = dead()
    reap()
    end(claimed)
    assert (state_of(claimed.job), LedgerEntry.objects.get().nano_usd) == (State.QUEUED, claimed.cost)
    assert Attempt.objects.get().late_usage["nano_usd"] == 5_000


def test_a_job_whose_workers_die_of_it_fails_as_poison_at_the_third(line, dead, reap):
    claimed = dead()
    for number in range(2, 4):
        reap()
        assert state_of(claimed.job) == State.QUEUED
        (again,) = line.claim(line.next_message(), f"x{number}")
        sent(line, again, f"x{number}")
        line.pass_time(14_000, "w2")
    reap()
    job = Job.objects.get()
    assert (job.state, job.error_code, job.abandoned) == (State.FAILED, "poison", 3)
    assert LedgerEntry.objects.count() == 3
    assert_books_close()


def test_what_may_be_sent_at_most_once_fails_with_its_holder(dead, reap):
    claimed = dead(delivery="at_most_once")
    reap()
    job = Job.objects.get(pk=claimed.job)
    assert (job.state, job.error_code) == (State.FAILED, "abandoned")


def test_what_was_to_be_cancelled_is_cancelled_with_its_holder(dead, reap):
    claimed = dead()
    cancel(Job.objects.get(pk=claimed.job))
    reap()
    assert state_of(claimed.job) == State.CANCELLED
    assert_books_close()


def test_a_job_that_somebody_cancels_in_the_moment_of_its_death_does_not_run_again(line, dead, counts):
    claimed = dead()
    attempts = list(Attempt.objects.select_related("job"))
    cancel(Job.objects.get(pk=claimed.job))
    recover.abandon(process_pump(), attempts, counts)
    assert (state_of(claimed.job), events_of(claimed.job)[-2:]) == (State.CANCELLED, ["orphaned", "cancelled"])


def test_a_failed_attempt_of_a_dead_holder_is_settled_as_it_ended(line, dead, reap):
    budget = line.budget(10**9)
    claimed = dead()
    end(claimed, state=AttemptState.FAILED, transition=FAIL, usage=Usage(), nano_usd=0, error_code="server")
    assert reap().settled == 1
    assert line.used(budget).used == 0


# ---- an end that cannot be written


def test_an_attempt_that_is_given_up_fails_its_job_charged_as_reserved(line):
    budget = line.budget(10**9)
    claimed = line.run()
    sent(line, claimed)
    recover.give_up(process_pump(), list(Attempt.objects.all()))
    line.settled()
    job = Job.objects.get()
    assert (job.state, job.error_code, LedgerEntry.objects.get().nano_usd) == (State.FAILED, "unwritable", claimed.cost)
    assert wait_for(lambda: line.gate.inspect().reservations == 0)
    assert (line.used(budget).used, line.used(budget).reserved) == (claimed.cost, 0)
