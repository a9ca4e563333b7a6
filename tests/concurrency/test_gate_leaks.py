"""A worker dies at any point: soon afterwards the gate holds what runs by the rows and nothing else, and counts what the rows count."""

import pytest

from rateguard.jobs.models import Attempt, Job, Lease
from rateguard.jobs.states import AttemptState, State
from tenants.models import LedgerEntry
from tests.concurrency.run import assert_nothing_is_held, wait_until_done
from tests.line import assert_books_close, states, wait_for

HASTE = {"RATEGUARD_HEARTBEAT_MS": "300", "RATEGUARD_DEAD_AFTER_MS": "2000", "RATEGUARD_SEND_BY_MS": "1500"}
"""Death is noticed sooner; the suite's time is short."""
KILLED = -9
JOBS = 60
CLAIMED_THERE = {"claimed", "sent", "answered"}
"""Points at which an attempt dies under way: it is charged as reserved and made once more."""


@pytest.fixture
def measured(live):
    """A line whose every kind of limit counts what the jobs take."""
    line = live.line
    line.provider.control.configure(latency={"base_ms": 100, "jitter": 0.5})
    line.places = line.limit("concurrency", 20, 0)
    line.tokens = line.limit("tokens", 10**6)
    line.money = line.budget(10**9)
    return line


def assert_the_gate_counts_what_the_rows_do(line):
    assert_nothing_is_held(line)
    charged = LedgerEntry.objects.values_list("input_tokens", "output_tokens", "nano_usd")
    assert line.used(line.places).used == 0
    assert line.used(line.money).used == sum(money for *_, money in charged)
    assert line.used(line.tokens).used >= sum(input_tokens + output_tokens for input_tokens, output_tokens, _ in charged)


@pytest.mark.long
@pytest.mark.parametrize("point", ["granted", "delivered", "claimed", "sent", "answered", "committed", "settled"])
def test_a_worker_that_dies_leaves_nothing_behind(live, measured, point):
    victim = live.mortal(point, 2, **HASTE)
    measured.submit_many(JOBS)
    assert victim.running.wait(60) == KILLED
    live.start_worker(**HASTE)
    wait_for(lambda: states() == {State.SUCCEEDED: JOBS}, 60)

    assert_the_gate_counts_what_the_rows_do(measured)
    again = Attempt.objects.filter(state=AttemptState.ABANDONED).count()
    assert Attempt.objects.count() == JOBS + again
    assert again >= (point in CLAIMED_THERE)
    assert_books_close()


@pytest.mark.long
def test_who_dies_while_he_buries_another_leaves_nothing_behind(live, measured):
    """The rows say that the attempts are abandoned, and the gate was not told."""
    measured.provider.control.configure(latency={"base_ms": 60_000})
    first = live.worker(**HASTE)
    measured.submit_many(10)
    wait_for(lambda: Job.objects.filter(state=State.RUNNING).count() == 10, 30)
    first.kill()
    measured.provider.control.configure(latency={"base_ms": 50})
    second = live.mortal("reaping", 1, **HASTE)
    assert second.running.wait(60) == KILLED
    assert Attempt.objects.filter(state=AttemptState.ABANDONED).count() == 10
    live.start_worker(**HASTE)
    wait_for(lambda: states() == {State.SUCCEEDED: 10}, 60)

    assert_the_gate_counts_what_the_rows_do(measured)
    assert Attempt.objects.count() == 20
    assert_books_close()


@pytest.mark.long
def test_who_dies_before_a_rebuild_is_done_leaves_it_to_the_next(live, measured):
    victim = live.mortal("rebuilding", 1, **HASTE)
    victim.wait_for("ready.")
    measured.submit_many(JOBS)
    wait_until_done(5)
    measured.redis.flushall()
    assert victim.running.wait(60) == KILLED
    assert measured.gate.epoch() is None
    live.start_worker(**HASTE)
    wait_for(lambda: states() == {State.SUCCEEDED: JOBS}, 60)

    assert_nothing_is_held(measured)
    assert measured.used(measured.money).used == sum(LedgerEntry.objects.values_list("nano_usd", flat=True))
    assert_books_close()


@pytest.mark.long
def test_a_run_without_faults_needs_no_repair(live, measured):
    """All reservations are compared with their rows many times meanwhile: every 1.5 s."""
    for _ in range(2):
        live.start_worker(RATEGUARD_CARETAKER_PERIOD_MS="50")
    for name in ("one", "two"):
        live.caller(measured.acme, 400, threads=3, name=name)
    wait_for(lambda: states() == {State.SUCCEEDED: 800}, 120)

    assert_the_gate_counts_what_the_rows_do(measured)
    assert Lease.objects.get().repaired == 0
    assert Attempt.objects.count() == 800
    assert_books_close()
