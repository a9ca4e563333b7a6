"""Synchronous calls on the real line: let in by the gate, settled into the same books as jobs."""

import asyncio
import time

import pytest

from rateguard import wiring
from rateguard.calls import process
from rateguard.calls.call import Call, CallEnded
from rateguard.engine.lanes import Lane
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Outcome
from rateguard.jobs.models import Attempt
from tenants.models import LedgerEntry
from tests.line import MODEL
from tests.simprovider import wait_for


def call_of(line, door, **fields):
    """A small call of acme's."""
    wanted = {"input_tokens": 10, "output_tokens": 20, "max_output_tokens": 20, "lane": Lane.NORMAL, **fields}
    who = {name: wanted[name] for name in ("team", "user", "role", "rolegroup") if name in wanted}
    path = wiring.path_of(line.acme.pk, **who)
    return Call(
        id=door.new_id(),
        tenant_id=line.acme.pk,
        model=MODEL,
        gate_model=wiring.directory().gate_model(MODEL, line.acme.pk, (), 10),
        path=path,
        **wanted,
    )


def answer(**usage):
    """An answered call."""
    now = time.monotonic()
    counted = Usage(**{"input_tokens": 7, "output_tokens": 5, **usage})
    return CallEnded.answered(Outcome(b'{"a": 1}', counted, "stop", "req-9", now, now), 3)


@pytest.fixture
def door(line):
    yield process.process_entrance()
    process.stop()


def test_a_call_is_let_in_and_its_end_is_an_attempt_with_one_charge(line, door):
    granted = door.enter_blocking(call_of(line, door, user="ada", team="red", labels={"app": "chat"}, cost_center="cc"), 5)
    assert granted.place.id == line.deployment.pk
    door.sent(granted, time.monotonic())
    door.settle(granted, answer())
    wait_for(LedgerEntry.objects.exists)
    attempt, entry = Attempt.objects.get(), LedgerEntry.objects.get()
    assert (attempt.job_id, attempt.state, attempt.reservation_id) == (None, "succeeded", granted.call.id)
    assert (entry.user, entry.team, entry.labels, entry.cost_center, entry.job_id) == ("ada", "red", {"app": "chat"}, "cc", None)
    assert entry.nano_usd == (7 * 150_000 + 5 * 600_000) // 1000
    wait_for(lambda: line.gate.inspect(()).reservations == 0)


def test_async(line, door):
    call = call_of(line, door)

    async def go():
        granted = await door.enter(call, 5)
        door.give_back(granted)

    asyncio.run(go())
    line.settled()
    assert line.gate.inspect(()).reservations == 0
    assert not Attempt.objects.exists()
