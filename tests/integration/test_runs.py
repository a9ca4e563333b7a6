"""Runs in the gate: their bounds, and the one switch that stops everything of them."""

import datetime as dt

import pytest
from django.db import transaction
from django.db.models.functions import Now

import rateguard
from rateguard.engine.gate.contract import Refusal, Refused
from rateguard.jobs.controls import runs
from rateguard.jobs.controls.runs import finish_stops, start_run, stop_run
from rateguard.jobs.ends import cancel_many
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.jobs.states import State
from rateguard.jobs.upkeep.refuse import refuse
from rateguard.worker import caretaker
from tenants.models import AuditEntry, LedgerEntry, Run, RunState
from tests.line import assert_books_close, events_of, has_ended, state_of, wait_for


@pytest.fixture
def run_of(line):
    """Starts a run of acme."""

    def run_of(**bounds):
        return start_run(line.acme, **bounds)

    return run_of


def ended(job):
    wait_for(lambda: has_ended(job))
    job.refresh_from_db()
    return job


# ---- bounds


def test_a_cap_of_calls_counts_those_of_runs_inside_it(line, run_of):
    outer = run_of(max_calls=2, name="outer")
    inner = run_of(parent=outer.pk)
    jobs = [line.submit(run=run.pk) for run in (outer, inner, inner)]
    line.settled()
    line.beat()
    line.run_granted()
    wait_for(lambda: all(has_ended(job) for job in jobs))
    failed = Job.objects.get(state=State.FAILED)
    assert (failed.error_code, f"run outer ({outer.pk}): 2 calls" in failed.error_message) == ("budget_exhausted", True)


def test_a_runs_budget_is_never_exceeded_and_leaves_others_alone(line, run_of):
    run = run_of(budget_nano_usd=20_000)
    line.beat()
    jobs = [line.submit(run=run.pk) for _ in range(3)]  # at most 13,000 nano-dollars each
    line.run_granted(nano_usd=13_000)
    wait_for(lambda: all(has_ended(job) for job in jobs))
    assert sorted(state_of(job) for job in jobs) == ["failed", "failed", "succeeded"]
    line.submit()
    assert line.claim(line.next_message())


def test_what_a_run_cost_and_called_is_told_from_the_rows(line, station):
    with rateguard.run(tenant="acme", name="outer") as outer:
        jobs = line.submit_many(3)
        with rateguard.run() as inner:
            jobs += line.submit_many(2)
    for job in jobs:
        ended(job)
    billed = {one.attempt_id: one.nano_usd for one in line.provider.control.bill()}
    assert (outer.calls, inner.calls) == (5, 2)
    assert outer.cost * 10**9 == sum(billed.values()) == sum(job.nano_usd for job in jobs)
    assert inner.cost * 10**9 == sum(job.nano_usd for job in jobs[3:])
    tree = outer.tree()
    assert (tree.spent.calls, len(tree.jobs), tree.runs[0].spent.calls, len(tree.runs[0].jobs)) == (5, 3, 2, 2)
    assert set(LedgerEntry.objects.values_list("run", flat=True)) == {outer.id, inner.id}


def test_a_job_whose_run_is_late_before_it_started_expires(line, run_of, station):
    line.limit("requests", 1)
    run = run_of(deadline=dt.timedelta(milliseconds=700))
    first, second = line.submit(run=run.pk), line.submit(run=run.pk)
    assert {ended(first).state, ended(second).state} == {State.SUCCEEDED, State.EXPIRED}


# ---- stopped


def test_a_stop_cancels_what_waits_in_it_and_inside_it_and_nothing_else(line, run_of, monkeypatch):
    monkeypatch.setattr(cancel_many, "PAGE", 2)
    outer = run_of()
    inner = run_of(parent=outer.pk)
    other = line.submit_many(2)
    mine = line.submit_many(3, run=outer.pk) + line.submit_many(2, run=inner.pk, run_at=inner.created_at + dt.timedelta(hours=1))
    assert stop_run(outer, by="ada")
    line.settled()
    assert {state_of(job) for job in mine} == {State.CANCELLED}
    assert {state_of(job) for job in other} == {State.QUEUED}
    assert {Run.objects.get(pk=run.pk).state for run in (outer, inner)} == {RunState.STOPPED}
    assert line.gate.inspect().waiting == 2
    details = JobEvent.objects.filter(kind="cancelled").values_list("detail", flat=True)
    assert list(details) == [{"by": "ada", "error": "run_stopped"}] * 5
    assert not stop_run(outer, by="grace")
    assert [(entry.by, entry.kind, entry.object_id) for entry in AuditEntry.objects.all()] == [("ada", "run", str(outer.pk))]


def test_what_runs_in_a_stopped_run_is_ended_within_a_second(line, run_of, station):
    line.provider.control.configure(latency={"base_ms": 60_000})
    run = run_of()
    jobs = [line.submit(run=run.pk) for _ in range(3)]
    wait_for(lambda: len(line.provider.control.log()) == 3)
    stop_run(run)
    wait_for(lambda: all(has_ended(job) for job in jobs), 1.5)
    assert {state_of(job) for job in jobs} == {State.CANCELLED}
    assert_books_close()


def test_nothing_of_a_stopped_run_is_granted_any_more(line, run_of, monkeypatch):
    run = run_of()
    line.submit(run=run.pk)
    monkeypatch.setattr(runs, "_end_jobs", lambda *_: 0)  # killed here
    stop_run(run)
    line.beat()
    line.settled()
    assert line.messages.empty()
    line.submit()
    assert len(line.next_message()[0]) == 1


def test_a_stop_that_was_cut_off_is_finished_by_the_caretaker(line, run_of, monkeypatch):
    outer = run_of()
    inner = run_of(parent=outer.pk)
    running = line.run(run=outer.pk)
    waiting = line.submit_many(3, run=inner.pk)
    with monkeypatch.context() as killed:
        killed.setattr(runs, "_end_jobs", lambda *_: 0)
        stop_run(outer)
    assert {state_of(job) for job in waiting} == {State.QUEUED}
    monkeypatch.setattr(caretaker, "STOPS_EVERY", 1)
    one = caretaker.Caretaker(line.gate, process_pump(), "w1", 1.0)
    one._has_lease()
    one.round()
    assert {state_of(job) for job in waiting} == {State.CANCELLED}
    assert Job.objects.get(pk=running.job).cancel_requested
    assert events_of(waiting[0])[-1] == "cancelled"


def test_a_run_that_began_inside_a_stopped_one_is_stopped_and_its_jobs_are_ended(line, run_of):
    outer = run_of()
    inner = run_of(parent=outer.pk)
    job = line.submit(run=inner.pk)
    Run.objects.filter(pk=outer.pk).update(state=RunState.STOPPED, stopped_at=Now())
    assert finish_stops(process_pump()) == 1
    assert (Run.objects.get(pk=inner.pk).state, state_of(job)) == (RunState.STOPPED, State.CANCELLED)
    assert finish_stops(process_pump()) == 0


def test_a_job_that_came_in_beside_the_stop_is_found(line, run_of):
    run = run_of()
    job = line.submit()
    stop_run(run)
    Job.objects.filter(pk=job.pk).update(run=run.pk)
    assert finish_stops(process_pump()) == 1
    assert state_of(job) == State.CANCELLED


def test_a_job_that_is_retried_in_a_stopped_run_does_not_run_again(line, run_of):
    run = run_of()
    claimed = line.run(run=run.pk)
    Job.objects.filter(pk=claimed.job).update(state=State.QUEUED)  # orphaned in the very moment
    stop_run(run)
    assert state_of(claimed.job) == State.CANCELLED


def test_a_stop_in_a_transaction_that_is_rolled_back_stops_nothing(line, run_of):
    run = run_of()
    job = line.submit(run=run.pk)
    with transaction.atomic():
        stop_run(run)
        transaction.set_rollback(True)
    assert (Run.objects.get().state, state_of(job)) == (RunState.OPEN, State.QUEUED)
    line.beat()
    assert line.claim(line.next_message())


def test_the_block_stops_its_run(line):
    with rateguard.run(tenant="acme") as run:
        job = line.submit()
    assert run.stop()
    assert state_of(job) == State.CANCELLED
    assert not run.stop()


def test_a_cancelled_job_of_a_run_frees_its_place_in_it(line, run_of):
    run = run_of(max_calls=1)
    cancel(line.submit(run=run.pk))
    line.beat()
    line.submit(run=run.pk)
    assert line.claim(line.next_message())


# ---- the gate was not told


def test_a_run_that_the_gate_was_not_told_of_is_told_and_its_jobs_wait_again(line, monkeypatch):
    from rateguard import wiring

    with monkeypatch.context() as lost:
        lost.setattr(wiring, "_push_runs", lambda _: False)
        run = start_run(line.acme)
    assert line.gate.limits_of(f"{line.acme.pk}|run:{run.pk.hex}") is None
    job = line.submit(run=run.pk)
    line.beat()
    assert line.claim(line.next_message())[0].job == job.pk


def test_a_run_that_has_no_row_fails_its_jobs(line, run_of):
    run = run_of()
    job = line.submit(run=run.pk, run_at=run.created_at + dt.timedelta(hours=1))
    Run.objects.all().delete()
    Job.objects.filter(pk=job.pk).update(state=State.QUEUED, run_at=None)
    refuse([Refused(job.pk, 0, Refusal.NOT_CONFIGURED, f"{line.acme.pk}|run:{run.pk.hex}")], process_pump())
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "unknown_run")
    assert str(run.pk) in job.error_message


def test_a_job_that_the_gate_never_knows_is_not_brought_back_without_end(line, monkeypatch):
    job = line.submit()
    brought = []
    pump = process_pump()
    monkeypatch.setattr(pump, "enqueue", brought.extend)
    for _ in range(10):
        refuse([Refused(job.pk, 0, Refusal.NOT_CONFIGURED, str(line.acme.pk))], pump)
    assert ([one.job for one in brought], state_of(job)) == ([job.pk] * 3, State.QUEUED)


def test_too_many_nodes_fails_the_job_and_says_what_to_do(line):
    job = line.submit(user="ada")
    refuse([Refused(job.pk, 0, Refusal.TOO_MANY_NODES, str(line.acme.pk))], process_pump())
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "too_many_nodes")
    assert "100,000" in job.error_message


def test_a_call_that_never_left_is_none(line, run_of):
    run = run_of()
    claimed = line.run(run=run.pk)
    assert rateguard.run(id=run.pk).calls == 1
    Attempt.objects.filter(reservation_id=claimed.job).update(state="failed", error_code="connect")
    assert rateguard.run(id=run.pk).calls == 0
