"""What the caretaker does beside jobs: events, pauses and runs that are over. And how rows act on the work that waits."""

import datetime as dt
import uuid
from collections import Counter

import pytest
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.money import NANO
from rateguard.jobs.line.pump import process_pump
from rateguard.worker import caretaker as caretakers
from rateguard.worker.caretaker import Caretaker
from tenants.models import Budget, GateEvent, Limit, Pause, Run, Scope
from tenants.notation import budget_fields
from tests.line import HOUR_MS, wait_for


@pytest.fixture
def caretaker(line):
    made = Caretaker(line.gate, process_pump(), "w1", 0.02)
    assert made._has_lease()
    return made


def granted(line):
    """The jobs that were granted by now."""
    line.settled()
    messages = [line.next_message() for _ in range(line.messages.qsize())]
    return {uuid.UUID(job) for entries, _ in messages for job, *_ in entries}


def test_a_budget_that_reaches_a_threshold_is_an_event_once(line, caretaker):
    every = Scope.objects.create(tenant=line.acme, kind="user", name="*")
    budget = Budget.objects.create(scope=every, **budget_fields("$1/day tell at 1%, 100%"))
    line.end_in_gate(line.run(user="ann"), nano_usd=NANO // 101)
    caretaker.round()
    assert not GateEvent.objects.exists()
    line.end_in_gate(line.run(user="bob"), nano_usd=NANO // 99)
    for _ in range(2):
        caretaker.round()
    event = GateEvent.objects.get()
    assert (event.kind, event.tenant, event.subject, event.value) == ("threshold", line.acme, f"b{budget.pk}@user:bob", 1)
    assert event.period is not None


def test_a_pause_that_is_over_is_lifted_and_its_work_goes_on(line, caretaker):
    pause = Pause.objects.create(target_kind="tenant", target=str(line.acme.pk), until=timezone.now() + dt.timedelta(minutes=1))
    job = line.submit()
    line.beat()
    caretaker.round()
    assert (granted(line), Pause.objects.count()) == (set(), 1)
    Pause.objects.filter(pk=pause.pk).update(until=timezone.now() - dt.timedelta(seconds=1))
    caretaker.round()
    assert wait_for(line.messages.qsize)
    assert (granted(line), Pause.objects.count()) == ({job.pk}, 0)


def test_a_run_that_ended_long_ago_leaves_the_gate(line, caretaker, monkeypatch):
    monkeypatch.setattr(caretakers, "TIDY_EVERY", 1)
    run = Run.objects.create(tenant=line.acme, max_calls=1)
    path = wiring.path_of(line.acme.pk, runs=[run.pk])
    assert line.gate.limits_of(path) == (f"rc{run.pk.hex}",)
    Run.objects.filter(pk=run.pk).update(state="stopped", stopped_at=timezone.now() - dt.timedelta(hours=25))
    caretaker.round()
    assert line.gate.limits_of(path) is None
    caretaker.round()
    assert line.gate.limits_of(path) is None


def test_a_default_holds_for_each_user_by_himself_and_yields_to_his_own(line):
    every, bob = (Scope.objects.create(tenant=line.acme, kind="user", name=name) for name in ("*", "bob"))
    Limit.objects.create(scope=every, metric="requests", amount=1, window_ms=HOUR_MS)
    Limit.objects.create(scope=bob, metric="requests", amount=2, window_ms=HOUR_MS)
    jobs = [line.submit(user=user) for user in ("ann", "ann", "bob", "bob", "bob", "eve")]
    line.beat()
    assert wait_for(line.messages.qsize)
    gone = granted(line)
    by_user = Counter(job.user for job in jobs if job.pk in gone)
    assert by_user == {"ann": 1, "bob": 2, "eve": 1}


def test_a_new_limit_on_a_node_with_waiting_jobs_acts_on_the_next_grant(line):
    jobs = [line.submit(user="ann") for _ in range(3)]
    line.settled()
    ann = Scope.objects.create(tenant=line.acme, kind="user", name="ann")
    limit = Limit.objects.create(scope=ann, metric="requests", amount=1, window_ms=HOUR_MS)
    line.beat()
    first = granted(line)
    assert len(first) == 1
    limit.amount = 2
    limit.save()
    line.beat()
    second = granted(line)
    assert len(second) == 1
    limit.delete()
    line.beat()
    assert first | second | granted(line) == {job.pk for job in jobs}
