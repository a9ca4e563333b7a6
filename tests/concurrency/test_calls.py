"""Processes make synchronous calls, and die: each call has one charge, within what was reserved for it."""

import json
import time

import pytest

from rateguard.jobs.models import Attempt
from tenants.models import LedgerEntry
from tests.line import MODEL, wait_for

HASTE = {"RATEGUARD_HEARTBEAT_MS": "300", "RATEGUARD_DEAD_AFTER_MS": "2000"}
MOST = (10 * 150_000 + 20 * 600_000) // 1000


def start(live, count, *, threads=1, stays=0, patience_s=30):
    """A process that makes so many calls, and then holds some."""
    told = {"tenant": live.line.acme.pk, "model": MODEL, "count": count, "threads": threads, "stays": stays, "patience_s": patience_s}
    return live._start(["tests.concurrency.calls", json.dumps(told)], HASTE)


@pytest.mark.long
def test_the_calls_of_a_killed_process_are_charged_within_the_bound(live):
    line, stays = live.line, 20
    budget = line.budget(10**9)
    live.worker(**HASTE)
    victim = start(live, 5, stays=stays)
    victim.wait_for(f"holding {stays}")
    wait_for(lambda: LedgerEntry.objects.count() == 5)
    victim.kill()
    killed_at = time.monotonic()
    wait_for(lambda: Attempt.objects.filter(state="abandoned").count() == stays, 20)
    assert time.monotonic() - killed_at <= 10
    wait_for(lambda: line.gate.inspect(()).reservations == 0)
    assert sorted(LedgerEntry.objects.values_list("nano_usd", "is_estimated")) == [(MOST, False)] * 5 + [(MOST, True)] * stays
    assert (line.used(budget).used, line.used(budget).reserved) == ((5 + stays) * MOST, 0)


@pytest.mark.long
def test_processes_that_share_a_limit_let_each_others_calls_in(live):
    """None of them runs jobs; a worker keeps the gate. What one process's step grants to another's call arrives there."""
    line, each = live.line, 60
    line.limit("concurrency", 3, 0)
    live.worker(**HASTE)
    made = [start(live, each, threads=12) for _ in range(3)]
    for process in made:
        process.finish(90)
    assert LedgerEntry.objects.count() == Attempt.objects.count() == 3 * each
    assert line.gate.inspect(()).reservations == 0
    for process in made:
        assert f"let in {each} in" in process.log.read_text()


@pytest.mark.long
def test_calls_of_several_processes_keep_to_a_window(live):
    line = live.line
    limit = line.limit("requests", 40, 3_600_000)
    live.worker(**HASTE)
    made = [start(live, 30, threads=6, patience_s=2) for _ in range(2)]
    for process in made:
        process.finish(90)
    assert LedgerEntry.objects.count() == 40
    assert line.used(limit).used == 40
