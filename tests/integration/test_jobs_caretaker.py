"""The caretaker and its lease; heartbeats; the way of configuration into the gate."""

import datetime as dt
import uuid

import pytest
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import GateUnavailable
from rateguard.engine.gate.contract import Step
from rateguard.engine.lanes import Lane
from rateguard.holding.heartbeat import Heartbeat
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import CARETAKER, Job, Lease
from rateguard.jobs.states import State
from rateguard.worker.caretaker import Caretaker
from tenants.models import ConfigVersion, GateEpoch, ModelRoute
from tests.line import MODEL, state_of, wait_for


@pytest.fixture
def caretaker(line):
    """Makes caretakers; one that was started is stopped at the end."""
    made = []

    def caretaker(holder="w1", period_s=0.02):
        made.append(Caretaker(line.gate, process_pump(), holder, period_s))
        return made[-1]

    yield caretaker
    for one in made:
        one.stop()


# ---- the lease


def test_of_two_caretakers_one_does_the_rounds(caretaker):
    first, second = caretaker("w1"), caretaker("w2")
    assert [first._has_lease(), second._has_lease(), first._has_lease()] == [True, False, True]


def test_a_lease_that_ran_out_is_taken_over_and_its_first_owner_stays_out(caretaker):
    first, second = caretaker("w1"), caretaker("w2")
    first._has_lease()
    Lease.objects.update(expires_at=timezone.now() - dt.timedelta(milliseconds=50))
    assert [second._has_lease(), first._has_lease()] == [True, False]
    assert Lease.objects.get(name=CARETAKER).holder == "w2"


def test_a_caretaker_that_stops_gives_its_lease_up(caretaker):
    first, second = caretaker("w1"), caretaker("w2")
    first.start()
    wait_for(lambda: Lease.objects.filter(holder="w1").exists())
    first.stop()
    assert wait_for(second._has_lease, 1.5)


def away(*_):
    raise GateUnavailable("away")


def test_a_caretaker_outlives_a_gate_that_is_away(caretaker, line, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(line.gate, "epoch", away)
        caretaker().start()
        wait_for(Lease.objects.exists)
    job = line.submit(run_at=timezone.now() + dt.timedelta(seconds=60))
    Job.objects.update(run_at=timezone.now() - dt.timedelta(seconds=1))
    wait_for(lambda: state_of(job) == State.QUEUED)


# ---- rounds


def test_a_round_rebuilds_an_emptied_gate(caretaker, line):
    line.submit()
    line.settled()
    line.gate.clear()
    epoch = GateEpoch.current()
    one = caretaker()
    one._has_lease()
    one.round()
    assert (line.gate.epoch(), GateEpoch.current(), line.gate.inspect().waiting) == (epoch + 1, epoch + 1, 1)
    one.round()
    assert GateEpoch.current() == epoch + 1


def test_a_round_expires_releases_and_sweeps(caretaker, line):
    soon = timezone.now() + dt.timedelta(seconds=60)
    late, due, lost = line.submit(run_at=soon, deadline=soon + dt.timedelta(seconds=1)), line.submit(run_at=soon), line.submit(run_at=soon)
    past = timezone.now() - dt.timedelta(seconds=1)
    Job.objects.filter(pk=late.pk).update(deadline_at=past)
    Job.objects.filter(pk=due.pk).update(run_at=past)
    Job.objects.filter(pk=lost.pk).update(state=State.QUEUED)
    one = caretaker()
    one._has_lease()
    one.round()
    line.settled()
    assert [state_of(job) for job in (late, due, lost)] == [State.EXPIRED, State.QUEUED, State.QUEUED]
    assert line.gate.inspect().waiting == 2


# ---- configuration


def test_a_changed_limit_acts_at_its_commit(line):
    limit = line.limit("requests", 1)
    jobs = [line.submit() for _ in range(3)]
    line.beat()
    line.claim(line.next_message())
    line.settled()
    assert line.messages.empty()
    limit.amount = 3
    limit.save()
    process_pump().kick()
    granted = line.claim(line.next_message())
    while len(granted) < 2:
        granted += line.claim(line.next_message())
    assert {state_of(job) for job in jobs} == {State.RUNNING}


def test_an_edit_keeps_what_is_used_and_a_deleted_limit_is_gone(line):
    limit = line.limit("requests", 5)
    line.run()
    limit.amount = 9
    limit.save()
    assert (line.used(limit).used, line.used(limit).amount) == (1, 9)
    name = f"l{limit.pk}"
    limit.delete()
    assert name not in {use.id for use in line.gate.inspect().limits}


def test_a_push_that_was_lost_is_made_good_by_the_caretaker(caretaker, line, monkeypatch):
    limit = line.limit("requests", 5)
    one = caretaker()
    one._has_lease()
    with monkeypatch.context() as patch:
        patch.setattr(line.gate, "configure", away)
        limit.amount = 7
        limit.save()
    assert line.used(limit).amount == 5
    one.round()
    assert line.used(limit).amount == 7


def test_a_process_hears_of_a_new_version_from_the_gates_replies(line, monkeypatch):
    assert wiring.directory().places[line.deployment.pk].price.input_pico == 150_000
    with monkeypatch.context() as other_process:
        other_process.setattr(wiring, "note_version", lambda _: None)
        line.price.input_pico = 1
        line.price.save()
    assert wiring.directory().places[line.deployment.pk].price.input_pico == 150_000
    process_pump().kick()
    line.settled()
    assert wait_for(lambda: wiring.directory().places[line.deployment.pk].price.input_pico == 1)


def test_a_change_that_is_rolled_back_is_not_pushed(line):
    limit = line.limit("requests", 5)
    version = ConfigVersion.current()
    from django.db import transaction

    with transaction.atomic():
        limit.amount = 9
        limit.save()
        transaction.set_rollback(True)
    assert (line.used(limit).amount, ConfigVersion.current()) == (5, version)


# ---- heartbeat


@pytest.fixture
def heartbeat(line):
    made = []

    def heartbeat(slots=3, period_s=0.02, **ears):
        made.append(Heartbeat(line.gate, "w1", slots, tuple(Lane), period_s))
        for name, ear in ears.items():
            setattr(made[-1], name, ear)
        made[-1].start()
        return made[-1]

    yield heartbeat
    for one in made:
        one.stop()


def holders(line):
    return {holder.id: holder.slots for holder in line.gate.inspect().holders}


def test_a_heartbeat_names_the_holder_and_its_slots_until_it_leaves(line, heartbeat):
    one = heartbeat(slots=3)
    wait_for(lambda: holders(line) == {"w1": 3})
    one.take_no_more()
    wait_for(lambda: holders(line) == {"w1": 0})
    one.stop()
    assert holders(line) == {}


def test_a_heartbeat_outlives_a_gate_that_is_away(line, heartbeat, monkeypatch):
    beats = []
    with monkeypatch.context() as patch:
        patch.setattr(line.gate, "beat", away)
        heartbeat(on_beat=lambda: beats.append(1))
        line.settled()
    wait_for(lambda: beats)


def test_a_heartbeat_finds_what_is_to_be_cancelled(line, heartbeat):
    claimed = line.run("w1")
    line.run("w2")
    heard = []
    heartbeat(on_cancel=heard.append)
    cancel(Job.objects.get(pk=claimed.job))
    wait_for(lambda: heard)
    assert set(heard) == {claimed.job}


def test_who_only_asks_keeps_nobody_waiting(line):
    """A step with nothing in it, as the caretaker's, grants nothing."""
    line.submit()
    line.beat()
    line.next_message()
    assert line.gate.step(Step(uuid.uuid4().hex, 1)).granted == ()


def test_the_jobs_of_a_disabled_model_wait_until_it_is_enabled(line):
    route = ModelRoute.objects.get(name=MODEL)
    job = line.submit()
    route.is_enabled = False
    route.save()
    line.beat()
    line.settled()
    assert line.messages.empty()
    assert state_of(job) == State.QUEUED
    route.is_enabled = True
    route.save()
    process_pump().kick()
    entries, _ = line.next_message()
    assert [entry[0] for entry in entries] == [job.pk.hex]


def test_the_jobs_of_a_deleted_model_are_granted_no_more(line):
    job = line.submit()
    ModelRoute.objects.get(name=MODEL).delete()
    line.beat()
    line.settled()
    assert line.messages.empty()
    assert state_of(job) == State.QUEUED
