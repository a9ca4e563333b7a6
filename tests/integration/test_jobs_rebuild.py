"""A gate that lost its data is rebuilt from the rows: nothing is lost, and no limit or budget is exceeded by it."""

import datetime as dt
import uuid

import pytest

from rateguard.engine.errors import GateEpochLost
from rateguard.engine.gate.contract import ReservationId, Sent, Step
from rateguard.engine.money import Usage
from rateguard.jobs import rebuild
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.pump import process_pump
from rateguard.jobs.settle import Ended, settle
from rateguard.jobs.states import FAIL, SUCCEED, AttemptState, State
from tenants.models import GateEpoch, LedgerEntry
from tests.line import state_of

MINUTE_MS = 60_000


def end(claimed, *, input_tokens=5, output_tokens=7, **fields):
    told = {"state": AttemptState.SUCCEEDED, "transition": SUCCEED, "nano_usd": 5_000}
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    settle([Ended(job=claimed.job, attempt=claimed.attempt, usage=usage, latency_ms=10, **{**told, **fields})])


@pytest.fixture
def lose(line):
    """The server loses everything; then the gate is rebuilt."""

    def lose():
        line.settled()
        line.redis.flushall()
        assert rebuild.is_lost(line.gate)
        rebuild.rebuild(line.gate)
        assert not rebuild.is_lost(line.gate)

    return lose


def test_waiting_rows_wait_again_in_their_order(line, lose):
    jobs = line.submit_many(5)
    for number, job in enumerate(jobs):
        Job.objects.filter(pk=job.pk).update(queued_at=job.queued_at + dt.timedelta(milliseconds=number))
    lose()
    assert line.gate.inspect().waiting == 5
    line.beat()
    assert [entry[0] for entry in line.next_message()[0]] == [job.pk.hex for job in jobs]


def test_a_window_keeps_what_ended_attempts_used_of_it(line, lose):
    ours, requests = line.limit("tokens", 1_000, MINUTE_MS), line.limit("requests", 10, MINUTE_MS)
    theirs = line.account_limit("tokens", 1_000, MINUTE_MS)
    claimed = line.run()
    end(claimed)
    lose()
    assert (line.used(ours).used, line.used(requests).used) == (12, 1)
    assert line.used(theirs).used == claimed.input_tokens + claimed.max_output_tokens


def test_a_window_forgets_what_has_left_it(line, lose):
    limit = line.limit("requests", 10, MINUTE_MS)
    end(line.run())
    lose()
    assert line.used(limit).used == 1
    line.clock.ahead_ms += 62_000
    line.submit()
    line.settled()
    assert line.used(limit).used == 0


def test_budgets_come_back_from_the_ledger(line, lose):
    other = line.tenant("other")
    mine, theirs = line.budget(10**9), line.budget(10**9, other)
    end(line.run(), nano_usd=700)
    end(line.run(), nano_usd=0, state=AttemptState.FAILED, transition=FAIL)
    end(line.run(tenant=other), nano_usd=30)
    lose()
    assert [(line.used(one).used, line.used(one).reserved) for one in (mine, theirs)] == [(700, 0), (30, 0)]


def test_running_rows_have_their_reservations_again(line, lose):
    budget, places = line.budget(10**9), line.limit("concurrency", 3, 0)
    theirs = line.account_limit("tokens", 1_000, MINUTE_MS)
    claimed = line.run()
    lose()
    held = line.gate.held(0, 10)[1]
    assert [(one.reservation, one.holder) for one in held] == [(ReservationId(claimed.job, 1), "w1")]
    assert (line.used(budget).used, line.used(budget).reserved, line.used(places).used) == (claimed.cost, claimed.cost, 1)
    assert line.used(theirs).used == claimed.input_tokens + claimed.max_output_tokens


def test_a_rebuilt_reservation_settles_as_if_nothing_had_happened(line, lose):
    budget = line.budget(10**9)
    claimed = line.run()
    lose()
    line.end_in_gate(claimed, nano_usd=900)
    assert (line.used(budget).used, line.used(budget).reserved, line.gate.inspect().reservations) == (900, 0, 0)


def test_a_holder_that_died_with_the_data_is_found_dead_afterwards(line, lose):
    claimed = line.run()
    lose()
    line.pass_time(14_000)
    assert {(one.reservation.job, one.is_alive) for one in line.gate.suspects(10)} == {(claimed.job, False)}


def test_a_claim_under_the_old_epoch_takes_nothing_and_the_job_is_granted_anew(line, lose):
    job = line.submit()
    line.beat()
    old = line.next_message()
    lose()
    assert line.claim(old) == []
    line.beat()
    (claimed,) = line.claim(line.next_message())
    assert (claimed.job, state_of(job), Attempt.objects.count()) == (job.pk, State.RUNNING, 1)


def test_a_claim_that_came_before_the_rebuild_is_counted_by_it(line, lose):
    limit = line.limit("requests", 1)
    first = line.run()
    second = line.submit()
    lose()
    line.beat()
    line.settled()
    assert (line.messages.empty(), state_of(second), line.used(limit).used) == (True, State.QUEUED, 1)
    assert state_of(first.job) == State.RUNNING


def test_a_budget_that_was_spent_is_spent_after_the_rebuild(line, lose):
    line.budget(14_000)
    end(line.run(), nano_usd=13_000)
    lose()
    line.beat()
    job = line.submit()
    line.settled()
    assert state_of(job) == State.FAILED
    assert LedgerEntry.objects.count() == 1


def test_an_emptied_gate_decides_nothing_until_it_is_rebuilt(line):
    line.redis.flushall()
    with pytest.raises(GateEpochLost):
        line.gate.step(Step(uuid.uuid4().hex, 1, want=10))
    assert line.gate.epoch() is None


def test_a_gate_of_an_older_epoch_is_lost(line):
    """An old copy of the data came back (a replica that was behind, a restored file)."""
    GateEpoch.increase()
    assert rebuild.is_lost(line.gate)


def test_of_two_who_rebuild_the_second_finds_it_done(line, lose):
    lose()
    epoch = GateEpoch.current()
    rebuild.rebuild(line.gate)
    assert (GateEpoch.current(), line.gate.epoch()) == (epoch, epoch)


def test_what_was_said_while_the_gate_was_lost_is_said_afterwards(line):
    line.redis.flushall()
    job = line.submit()
    rebuild.rebuild(line.gate)
    line.settled()
    assert line.gate.inspect().waiting == 1
    line.beat()
    assert line.claim(line.next_message())[0].job == job.pk


def test_a_lost_report_of_sending_and_a_doubled_one_change_nothing_after_a_rebuild(line, lose):
    limit = line.limit("requests", 5)
    claimed = line.run()
    lose()
    for _ in range(2):
        process_pump().sent(Sent(ReservationId(claimed.job, 1), "w1", 0), 0.0)
        process_pump().kick()
        line.settled()
    assert (line.used(limit).used, line.gate.inspect().reservations) == (1, 1)
