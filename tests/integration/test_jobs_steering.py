"""What people do to jobs that there are: put back in line and moved to another lane, one or many, beside claims and ends."""

import asyncio
import contextlib
import datetime as dt
import threading

import pytest
from django.db import close_old_connections
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.engine.money import Usage
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.clock import database_now
from rateguard.jobs.ends.asking import read_requeue_word, requeue_word
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.line.pump import BATCH, _Gathered, process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Delivery, Job, JobEvent
from rateguard.jobs.states import REQUEUE, SUCCEED, AttemptState, State
from rateguard.jobs.steering import many, wishes
from rateguard.jobs.steering.lane import change_lane
from rateguard.jobs.steering.requeue import requeue
from rateguard.jobs.upkeep import recover
from tenants.models import Limit
from tests.line import assert_books_close, events_of, state_of, wait_for

LATER = dt.timedelta(hours=1)


def code_of(call, *args, **how):
    with pytest.raises(InvalidRequest) as caught:
        call(*args, **how)
    return caught.value.code


def ended(line, count, state=State.FAILED, **columns):
    rows = line.submit_many(count)
    process_pump().flush(10)
    Job.objects.filter(pk__in=[row.pk for row in rows]).update(state=state, finished_at=timezone.now() - dt.timedelta(seconds=1), **columns)
    return rows


def wish(deed, **how):
    return wishes.Wish(wishes.Deed(deed), database_now(), **how)


class TestRequeue:
    def test_a_running_job_is_given_up_and_done_at_its_place_and_both_attempts_are_charged(self, line, station):
        line.provider.control.add_faults(Fault(FaultKind.SLOW_HEADERS, wait_ms=60_000))
        job = line.submit()
        wait_for(lambda: state_of(job) == State.RUNNING and line.provider.control.log())
        place = job.queued_at
        requeue(job, by="user ann")
        wait_for(lambda: state_of(job) == State.SUCCEEDED)
        job.refresh_from_db()
        assert (job.queued_at, job.requeue_requested, job.tries, job.attempts.count()) == (place, False, 0, 2)
        given_up = job.attempts.order_by("number").first()
        assert (given_up.state, given_up.is_estimated, given_up.nano_usd > 0) == (AttemptState.ABANDONED, True, True)
        asked = JobEvent.objects.get(job=job, kind="requeue_requested")
        assert asked.detail == {"by": "user ann"}
        assert [kind for kind in events_of(job) if kind != "limited"] == [
            "submitted", "started", "requeue_requested", "requeued", "started", "succeeded",
        ]  # fmt: skip
        assert_books_close()

    def test_a_holder_that_missed_the_word_sees_it_in_the_row_and_a_later_attempt_is_not_meant(self, line, station):
        line.provider.control.add_faults(Fault(FaultKind.SLOW_HEADERS, wait_ms=60_000))
        job = line.submit()
        wait_for(lambda: state_of(job) == State.RUNNING and line.provider.control.log())
        job.refresh_from_db()
        station.runtime._on_requeue(*read_requeue_word(requeue_word(job.pk, job.attempt + 1)))
        station._loop.submit(asyncio.sleep(0.1)).result(5)
        assert events_of(job)[-1] == "started"
        Job.objects.filter(pk=job.pk).update(requeue_requested=True)
        station.runtime._heartbeat._look_for_wishes()
        wait_for(lambda: state_of(job) == State.SUCCEEDED)
        assert events_of(job).count("requeued") == 1

    def test_a_call_that_has_left_and_may_go_once_is_not_given_up(self, line, station):
        line.provider.control.add_faults(Fault(FaultKind.SLOW_HEADERS, wait_ms=300))
        job = line.submit(delivery=Delivery.AT_MOST_ONCE)
        wait_for(line.provider.control.log)
        Job.objects.filter(pk=job.pk).update(requeue_requested=True)
        station.runtime._heartbeat._look_for_wishes()
        wait_for(lambda: state_of(job) == State.SUCCEEDED)
        assert job.attempts.count() == 1

    def test_a_job_for_later_goes_on_now_and_one_in_line_stays_there(self, line):
        job = line.submit(run_at=timezone.now() + LATER)
        assert requeue(job, by="key rg_1").state == State.QUEUED
        line.settled()
        assert line.gate.inspect().waiting == 1
        assert JobEvent.objects.get(job=job, kind="released").detail == {"by": "key rg_1"}
        requeue(job)
        line.settled()
        assert (line.gate.inspect().waiting, events_of(job)) == (1, ["scheduled", "released"])

    def test_it_is_refused_where_the_job_ended_is_asked_to_end_or_may_never_be_sent_twice(self, line):
        running = Job.objects.get(pk=line.run(delivery=Delivery.AT_MOST_ONCE).job)
        assert code_of(requeue, running) == "at_most_once"
        Job.objects.filter(pk=running.pk).update(delivery=Delivery.AT_LEAST_ONCE)
        cancel(running)
        assert code_of(requeue, running) == "not_requeueable"
        assert code_of(requeue, ended(line, 1)[0]) == "not_requeueable"
        assert "requeue_requested" not in events_of(running)

    def test_it_is_repeated_without_a_second_event_and_an_end_that_came_first_holds(self, line):
        claimed = line.run()
        job = Job.objects.get(pk=claimed.job)
        requeue(job)
        requeue(job)
        assert events_of(job).count("requeue_requested") == 1
        end = Ended(
            job=job.pk, attempt=claimed.attempt, state=AttemptState.SUCCEEDED, transition=SUCCEED, usage=Usage(), nano_usd=1, result="{}"
        )
        assert settle([end])
        job.refresh_from_db()
        assert (job.state, job.requeue_requested) == (State.SUCCEEDED, False)
        assert not settle([end]), "an end is written once"

    def test_where_the_holder_is_dead_the_reaper_puts_it_back(self, line):
        job = Job.objects.get(pk=line.run().job)
        requeue(job)
        counts = recover.Counts()
        recover.abandon(process_pump(), list(job.attempts.select_related("job")), counts)
        line.settled()
        assert (counts.abandoned, state_of(job), events_of(job)[-1]) == (1, State.QUEUED, "requeued")
        assert [claimed.job for claimed in line.claim(line.next_message())] == [job.pk]


class TestLane:
    def test_a_waiting_job_moves_with_its_place_in_rows_and_gate(self, line):
        first, second = line.submit(lane=Lane.LOW), line.submit(lane=Lane.HIGH)
        line.settled()
        moved = change_lane(first, Lane.HIGH, by="user ann")
        line.settled()
        assert (moved.lane, moved.state, moved.queued_at, line.gate.inspect().waiting) == (Lane.HIGH, State.QUEUED, first.queued_at, 2)
        assert JobEvent.objects.get(kind="lane_changed").detail == {"from": "low", "to": "high", "by": "user ann"}
        line.beat(slots=1)
        (claimed,) = line.claim(line.next_message())
        assert claimed.job == first.pk, "it came first, and goes first on its new lane"
        assert state_of(second) == State.QUEUED

    def test_the_same_lane_again_changes_nothing_and_a_job_for_later_takes_it_along(self, line):
        job = line.submit(run_at=timezone.now() + LATER)
        change_lane(job, Lane.LOW)
        change_lane(job, Lane.LOW)
        assert (job.lane, job.state, events_of(job)) == (Lane.LOW, State.SCHEDULED, ["scheduled", "lane_changed_ahead"])

    def test_nothing_comes_into_the_gate_before_all_that_left_is_out(self, line):
        job = waiting_of(line.submit())
        gathered = _Gathered(withdraw=[job] * (BATCH + 1), enqueue=[job])
        calls = [(len(one.withdraw), len(one.enqueue)) for one in (gathered.take(), gathered.take())]
        assert calls == [(BATCH, 0), (1, 1)]

    def test_what_was_granted_meanwhile_runs_once_and_what_runs_keeps_its_lane(self, line):
        job = line.submit(lane=Lane.LOW)
        line.beat()
        message = line.next_message()
        change_lane(job, Lane.HIGH)
        line.settled()
        assert line.gate.inspect().waiting == 0, "a grant is on its way: it does not wait beside it"
        (claimed,) = line.claim(message)
        assert (claimed.job, code_of(change_lane, job, Lane.LOW)) == (job.pk, "not_waiting")

    def test_a_limit_that_keeps_a_part_for_higher_lanes_refuses_what_cannot_fit(self, line):
        job = line.submit(lane=Lane.HIGH)
        limit = line.limit("tokens", job.input_tokens + job.output_tokens)
        Limit.objects.filter(pk=limit.pk).update(reserve_permille=500, reserve_lane=Lane.HIGH)
        wiring.forget_directory()
        assert code_of(change_lane, job, Lane.BACKGROUND) == "exceeds_limit"
        assert (state_of(job), Job.objects.get().lane) == (State.QUEUED, Lane.HIGH)


class TestMany:
    def test_a_preview_says_what_is_moved_what_is_not_and_why_and_changes_nothing(self, line):
        failed = ended(line, 3, fingerprint="f" * 16)
        ended(line, 2, State.SUCCEEDED)
        ended(line, 1, is_stored=False, request="")
        line.submit()
        found = wishes.choose(Job.objects.all(), wish("retry"))
        assert set(found.ids) == {job.pk for job in failed}
        assert (dict(found.states), dict(found.models), dict(found.fingerprints)) == ({"failed": 3}, {"sim-1": 3}, {"f" * 16: 3})
        assert dict(found.others) == {"succeeded": 2, "not_stored": 1, "waiting": 1}
        assert not JobEvent.objects.filter(kind="resubmitted").exists()

    def test_one_go_is_bounded_tells_what_is_left_and_a_second_one_does_it(self, line, monkeypatch):
        monkeypatch.setattr(wishes, "AT_ONCE", 2)
        ended(line, 5)
        told = []
        for _ in range(4):
            choice, done = many.do_to(Job.objects.all(), wish("retry"), by="user ann")
            told.append((len(choice.ids), done.moved, choice.left))
        assert told == [(2, 2, 3), (2, 2, 1), (1, 1, 0), (0, 0, 0)]
        line.settled()
        assert (line.gate.inspect().waiting, JobEvent.objects.filter(kind="resubmitted", detail__by="user ann").count()) == (5, 5)

    def test_a_retry_of_many_is_judged_one_by_one(self, line):
        jobs = ended(line, 4, tries=3, nano_usd=7)
        Job.objects.filter(pk=jobs[0].pk).update(model="gone")
        line.acme.max_waiting = 2
        line.acme.save()
        _, done = many.do_to(Job.objects.all(), wish("retry"), by="user ann")
        assert (done.moved, done.refused.jobs) == (2, {"unknown_model": 1, "queue_full": 1})
        again = Job.objects.filter(state=State.QUEUED)
        assert {(job.tries, job.nano_usd, job.error_code, job.finished_at) for job in again} == {(0, 7, "", None)}

    def test_what_was_counted_anew_is_written_in_as_many_statements_as_it_differs_not_one_a_job(self, line, django_assert_max_num_queries):
        jobs = ended(line, 30)
        expected = jobs[0].output_tokens
        Job.objects.update(output_tokens=expected + 5)
        Job.objects.filter(pk=jobs[0].pk).update(input_tokens=1_000)
        with django_assert_max_num_queries(30):
            _, done = many.do_to(Job.objects.all(), wish("retry"), by="user ann")
        assert done.moved == 30
        assert set(Job.objects.values_list("input_tokens", "output_tokens")) == {(jobs[0].input_tokens, expected)}

    @pytest.mark.parametrize(("deed", "kind"), [("requeue", "released"), ("lane", "lane_changed_ahead"), ("cancel", "cancelled")])
    def test_each_deed_does_what_it_does_to_one_and_a_repeated_one_nothing(self, line, deed, kind):
        jobs = [line.submit(run_at=timezone.now() + LATER, lane=lane) for lane in (Lane.LOW, Lane.NORMAL)]
        line.submit(line.tenant("globex"), run_at=timezone.now() + LATER)
        mine = Job.objects.filter(tenant=line.acme)
        _, done = many.do_to(mine, wish(deed, lane=Lane.HIGH), by="user ann")
        _, again = many.do_to(mine, wish(deed, lane=Lane.HIGH), by="user ann")
        assert (done.moved, again.touched, again.meanwhile) == (2, 0, 0)
        assert set(JobEvent.objects.filter(kind=kind, detail__by="user ann").values_list("job", flat=True)) == {job.pk for job in jobs}


class TestRaces:
    @pytest.mark.parametrize("deed", ["cancel", "requeue", "lane", "retry"])
    def test_of_a_deed_and_an_end_exactly_one_moves_the_job_first_and_the_books_close(self, line, deed):
        claimed = alone(line)
        job = Job.objects.get(pk=claimed.job)
        end = Ended(job=job.pk, attempt=claimed.attempt, state=AttemptState.ABANDONED, transition=REQUEUE, usage=Usage(), nano_usd=5)
        deeds = {"cancel": cancel, "requeue": requeue, "retry": retry, "lane": lambda one: change_lane(one, Lane.HIGH)}
        together(lambda: settle([end]), lambda: settle([end]), lambda: quietly(deeds[deed], Job.objects.get(pk=job.pk)))
        recover.wait_again([job.pk], process_pump())
        line.settled()
        job.refresh_from_db()
        events = events_of(job)
        assert events.count("requeued") == 1
        assert (job.state == State.CANCELLED) == (deed == "cancel")
        assert line.gate.inspect().waiting == (0 if deed == "cancel" else 1)
        assert (job.lane == Lane.HIGH) == ("lane_changed" in events)
        assert_books_close()

    def test_many_who_change_a_lane_and_cancel_at_once_leave_rows_and_gate_alike(self, line):
        jobs = line.submit_many(30)
        rows = Job.objects.filter(pk__in=[job.pk for job in jobs])
        lanes = [lambda lane=lane: many.do_to(rows, wish("lane", lane=lane), by="x") for lane in (Lane.LOW, Lane.HIGH)]
        together(*lanes, lambda: many.do_to(rows, wish("cancel"), by="x"))
        line.settled()
        assert (set(rows.values_list("state", flat=True)), line.gate.inspect().waiting) == ({State.CANCELLED}, 0)


def alone(line):
    """A running job whose reservation holds the one slot that there is: nothing else is granted."""
    claimed = line.run()
    line.beat(slots=1)
    return claimed


def quietly(call, job):
    with contextlib.suppress(InvalidRequest):
        call(job)


def together(*calls):
    """All at once, each on a connection of its own."""
    barrier, wrong = threading.Barrier(len(calls)), []

    def run(call):
        try:
            barrier.wait(10)
            call()
        except Exception as error:  # noqa: BLE001 - told below
            wrong.append(error)
        finally:
            close_old_connections()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not wrong
