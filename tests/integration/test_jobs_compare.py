"""All reservations are compared with their rows: what differs is mended and counted, and without faults nothing differs."""

import datetime as dt

import pytest
from django.db.models import F

from rateguard.engine.gate.contract import ReservationId, Sent, Settlement
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt, Job, Lease
from rateguard.jobs.states import SUCCEED, AttemptState, State
from rateguard.jobs.upkeep import compare as comparing
from rateguard.jobs.upkeep import recover
from rateguard.worker import caretaker
from rateguard.worker.caretaker import Caretaker
from tests.line import assert_books_close, state_of, wait_for


@pytest.fixture
def compare(line):
    """Compare until the gate knows what was found; what was counted."""

    def compare():
        counts = recover.Counts()
        comparing.compare(line.gate, process_pump(), counts)
        line.settled()
        return counts

    return compare


@pytest.fixture
def run(line):
    """A job that runs, as the gate knows too."""

    def run(**fields):
        claimed = line.run(**fields)
        process_pump().sent(Sent(ReservationId(claimed.job, claimed.attempt), "w1", 0), 0.0)
        process_pump().kick()
        line.settled()
        return claimed

    return run


def end(claimed, seconds_ago=60):
    usage = Usage(input_tokens=9, output_tokens=11)
    settle([Ended(job=claimed.job, attempt=claimed.attempt, state=AttemptState.SUCCEEDED, transition=SUCCEED, usage=usage, nano_usd=5_000)])
    Attempt.objects.filter(reservation_id=claimed.job).update(finished_at=F("finished_at") - dt.timedelta(seconds=seconds_ago))


def test_what_a_live_holder_ended_without_telling_is_settled(line, run, compare):
    budget = line.budget(10**9)
    claimed, _ = run(), run()
    end(claimed)
    found = compare()
    assert (found.settled, found.repaired, line.gate.inspect().reservations) == (1, 1, 1)
    assert line.used(budget).used == 5_000 + Attempt.objects.get(state=AttemptState.RUNNING).reserved_nano_usd


def test_what_ended_a_moment_ago_is_on_its_way(line, run, compare):
    end(run(), seconds_ago=0)
    assert not compare().has_any()
    assert line.gate.inspect().reservations == 1


def test_a_reservation_that_was_lost_while_its_attempt_runs_comes_back(line, run, compare):
    budget = line.budget(10**9)
    claimed = run(user="ada")
    lost = ReservationId(claimed.job, claimed.attempt)
    process_pump().settle([(Settlement(lost, used=False), None)])
    line.settled()
    assert line.used(budget).reserved == 0
    found = compare()
    assert (found.restored, found.repaired) == (1, 1)
    assert [(one.reservation, one.holder) for one in line.gate.held(0, 10)[1]] == [(lost, "w1")]
    assert line.used(budget).reserved == claimed.cost
    assert not compare().has_any()


def test_work_of_a_dead_holder_whose_reservation_was_lost_is_not_lost(line, run, compare):
    claimed = run()
    process_pump().settle([(Settlement(ReservationId(claimed.job, claimed.attempt), used=False), None)])
    line.settled()
    compare()
    line.pass_time(14_000, "w2")
    recover.reap(line.gate, process_pump(), recover.Counts())
    assert (state_of(claimed.job), Job.objects.get().abandoned) == (State.QUEUED, 1)


def test_an_attempt_that_ends_while_the_gate_is_read_is_not_brought_back(line, run, compare, monkeypatch):
    claimed = run()
    held = line.gate.held

    def read_late(cursor, most):
        end(claimed)
        line.end_in_gate(claimed, 5_000)
        return held(cursor, most)

    monkeypatch.setattr(line.gate, "held", read_late)
    assert not compare().has_any()
    assert line.gate.inspect().reservations == 0


def test_every_page_is_compared(line, run, compare, monkeypatch):
    monkeypatch.setattr(comparing, "PAGE", 2)
    claimed = [run() for _ in range(5)]
    assert not compare().has_any()
    for one in claimed:
        end(one)
    assert compare().repaired == 5


def test_the_caretaker_adds_what_was_mended_to_the_leases_row(line, run, monkeypatch):
    monkeypatch.setattr(caretaker, "COMPARE_EVERY", 1)
    one = Caretaker(line.gate, process_pump(), "w1", 1.0)
    one._has_lease()
    for _ in range(2):
        end(run())
        one.round()
        line.settled()
    assert Lease.objects.get().repaired == 2


def test_in_a_run_without_faults_nothing_differs(line, station, monkeypatch):
    monkeypatch.setattr(caretaker, "COMPARE_EVERY", 1)
    line.provider.control.configure(latency={"base_ms": 50})
    line.budget(10**12)
    line.limit("concurrency", 20, 0)
    for _ in range(3):
        line.submit_many(60, user="ada")
    wait_for(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 180, 30)
    wait_for(lambda: line.gate.inspect().reservations == 0)
    rounds = station.runtime._caretaker._rounds
    wait_for(lambda: station.runtime._caretaker._rounds > rounds + 2)
    assert rounds > 3
    assert Lease.objects.get().repaired == 0
    assert_books_close()
