"""Jobs that wait: refused, cancelled, expired, released, swept in again; and submitted while the gate is away."""

import datetime as dt
import uuid
from unittest import mock

import pytest
from django.db import transaction
from django.utils import timezone

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.gate.contract import Refusal, Refused
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import CARETAKER, Job, JobEvent, Lease
from rateguard.jobs.states import TERMINAL, State
from rateguard.jobs.upkeep import recover, sweeping
from rateguard.jobs.upkeep.refuse import refuse
from rateguard.jobs.upkeep.releasing import Releasing
from rateguard.jobs.upkeep.sweeping import Sweep, page_after, queued_between
from tenants.models import LedgerEntry
from tests.line import events_of, has_ended, state_of, wait_for


def after(seconds):
    return timezone.now() + dt.timedelta(seconds=seconds)


@pytest.fixture
def counts():
    return recover.Counts()


# ---- submitted


def test_a_job_waits_in_the_gate_once_its_row_is_committed(line):
    with transaction.atomic():
        line.submit()
        line.settled()
        assert line.gate.inspect().waiting == 0
    wait_for(lambda: line.gate.inspect().waiting == 1)


def test_a_job_of_a_transaction_that_is_rolled_back_never_was(line):
    with transaction.atomic():
        line.submit()
        transaction.set_rollback(True)
    line.settled()
    assert (Job.objects.count(), line.gate.inspect().waiting) == (0, 0)


def test_what_can_never_fit_a_limit_is_refused_at_submit(line):
    line.limit("tokens", 50)
    with pytest.raises(InvalidRequest) as refusal:
        line.submit(max_tokens=60)
    assert refusal.value.code == "exceeds_limit"
    assert Job.objects.count() == 0


# ---- refused


def test_a_waiting_job_that_a_lowered_limit_can_never_take_fails_with_the_limit(line):
    limit = line.limit("tokens", 1_000)
    job = line.submit(max_tokens=500)
    limit.amount = 100
    limit.save()
    line.beat()
    wait_for(lambda: has_ended(job))
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "exceeds_limit")
    assert "tenant acme: 100 tokens per hour" in job.error_message
    assert events_of(job) == ["submitted", "refused"]
    assert LedgerEntry.objects.count() == 0


def test_a_job_that_does_not_fit_the_rest_of_a_budget_fails(line):
    line.budget(20_000)
    line.beat()
    jobs = [line.submit() for _ in range(3)]  # at most 13,000 nano-dollars each
    line.run_granted(nano_usd=13_000)
    wait_for(lambda: all(has_ended(job) for job in jobs))
    assert sorted(state_of(job) for job in jobs) == ["failed", "failed", "succeeded"]
    assert {job.error_code for job in Job.objects.filter(state=State.FAILED)} == {"budget_exhausted"}


def test_a_refusal_of_an_older_number_changes_nothing(line):
    job = line.submit()
    Job.objects.filter(pk=job.pk).update(attempt=3)
    older = [Refused(job.pk, 2, Refusal.EXCEEDS_LIMIT, "l1"), Refused(uuid.uuid4(), 0, Refusal.EXCEEDS_LIMIT, "l1")]
    refuse(older, process_pump())
    assert state_of(job) == State.QUEUED
    refuse([Refused(job.pk, 3, Refusal.EXCEEDS_LIMIT, "l1")], process_pump())
    assert state_of(job) == State.FAILED


# ---- cancelled


@pytest.mark.parametrize("run_at", [None, 60])
def test_a_waiting_job_is_cancelled_at_once_and_costs_nothing(line, run_at):
    job = line.submit(run_at=run_at and after(run_at))
    assert cancel(job, by="ada").state == State.CANCELLED
    line.settled()
    assert line.gate.inspect().waiting == 0
    assert events_of(job)[-1] == "cancelled"
    assert JobEvent.objects.order_by("pk").last().detail == {"by": "ada"}
    assert LedgerEntry.objects.count() == 0


def test_a_cancelled_job_is_not_claimed_although_it_was_granted(line):
    job = line.submit()
    line.beat()
    message = line.next_message()
    cancel(job)
    assert line.claim(message) == []


def test_a_running_job_is_asked_to_stop(line):
    claimed = line.run()
    job = cancel(Job.objects.get(pk=claimed.job))
    assert (job.state, job.cancel_requested) == (State.RUNNING, True)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_ended_job_stays_as_it_is(line, state):
    job = line.submit(run_at=after(60))
    Job.objects.filter(pk=job.pk).update(state=state, finished_at=timezone.now())
    found = cancel(job)
    assert (found.state, found.cancel_requested) == (state, False)
    assert events_of(job) == ["scheduled"]


# ---- expired, released


@pytest.mark.parametrize("run_at", [None, 50])
def test_a_job_whose_deadline_passed_expires_and_leaves_the_gate(line, counts, run_at):
    late = line.submit(deadline=after(60), run_at=run_at and after(run_at))
    early = line.submit(deadline=after(60))
    Job.objects.filter(pk=late.pk).update(deadline_at=after(-0.05))
    recover.expire(process_pump(), counts)
    line.settled()
    assert (state_of(late), state_of(early), counts.expired) == (State.EXPIRED, State.QUEUED, 1)
    assert Job.objects.get(pk=late.pk).error_code == "deadline_passed"
    assert line.gate.inspect().waiting == 1


def test_a_running_job_does_not_expire(line, counts):
    claimed = line.run(deadline=after(60))
    Job.objects.update(deadline_at=after(-1))
    recover.expire(process_pump(), counts)
    assert state_of(claimed.job) == State.RUNNING


def test_a_scheduled_job_waits_for_its_time(line, counts):
    job = line.submit(run_at=after(60))
    counts.released += Releasing().release(process_pump())
    assert (state_of(job), counts.released) == (State.SCHEDULED, 0)
    Job.objects.update(run_at=after(-0.05))
    counts.released += Releasing().release(process_pump())
    line.settled()
    assert (state_of(job), counts.released, line.gate.inspect().waiting) == (State.QUEUED, 1, 1)
    assert events_of(job) == ["scheduled", "released"]


def test_a_released_job_takes_its_place_now_and_a_retried_one_keeps_its_own(line, counts):
    first, retried = line.submit(run_at=after(60)), line.submit(run_at=after(60))
    an_hour_ago = after(-3_600)
    Job.objects.update(run_at=after(-1), queued_at=an_hour_ago)
    Job.objects.filter(pk=retried.pk).update(attempt=1)
    counts.released += Releasing().release(process_pump())
    assert Job.objects.get(pk=first.pk).queued_at > an_hour_ago
    assert Job.objects.get(pk=retried.pk).queued_at == an_hour_ago


# ---- swept in


def test_a_row_whose_hint_was_lost_is_found_by_the_sweep_of_new_rows(line):
    job = line.submit(run_at=after(60))
    Job.objects.update(state=State.QUEUED, run_at=None, queued_at=after(0))
    process_pump().enqueue(queued_between(after(-15), after(1)))
    line.settled()
    assert line.gate.inspect().waiting == 1
    line.beat()
    assert line.claim(line.next_message())[0].job == job.pk


def test_the_sweep_of_all_rows_goes_page_by_page_and_begins_again(line, monkeypatch):
    monkeypatch.setattr(sweeping, "PAGE", 2)
    line.submit_many(5, run_at=after(60))
    Job.objects.update(state=State.QUEUED, run_at=None, queued_at=after(-3_600))
    place, waiting = None, []
    for _ in range(3):
        page, place = page_after(place)
        process_pump().enqueue(page)
        line.settled()
        waiting.append(line.gate.inspect().waiting)
    assert (waiting, place) == ([2, 4, 5], None)


def test_sweeping_what_waits_already_changes_nothing(line):
    line.submit_many(3)
    for _ in range(2):
        process_pump().enqueue(queued_between(after(-15), after(1)))
        process_pump().enqueue(page_after(None)[0])
    line.settled()
    assert line.gate.inspect().waiting == 3
    line.beat()
    assert len(line.claim(line.next_message())) == 3


def test_what_ended_between_a_sweeps_look_and_its_word_goes_out_with_the_next_sweep(line):
    job = line.submit()
    line.settled()
    Lease.objects.create(name=CARETAKER, holder="w", expires_at=after(60))
    sweep, read_before = Sweep("w"), [waiting_of(job)]
    cancel(job)
    with mock.patch.object(sweeping, "page_after", return_value=(read_before, None)):
        sweep.go_on(process_pump())
    line.settled()
    assert line.gate.inspect().waiting == 1
    sweep.go_on(process_pump())
    line.settled()
    assert line.gate.inspect().waiting == 0


def test_what_waits_as_it_was_brought_in_stays(line):
    line.submit_many(3)
    Lease.objects.create(name=CARETAKER, holder="w", expires_at=after(60))
    sweep = Sweep("w")
    for _ in range(3):
        sweep.go_on(process_pump())
    line.settled()
    assert line.gate.inspect().waiting == 3


def test_a_granted_job_is_not_granted_again_by_a_sweep(line):
    line.submit()
    line.beat()
    message = line.next_message()
    process_pump().enqueue(queued_between(after(-15), after(1)))
    line.settled()
    assert line.messages.empty()
    assert line.gate.inspect().waiting == 0
    assert len(line.claim(message)) == 1
