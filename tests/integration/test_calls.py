"""Synchronous calls on the real line: let in by the gate, ended in the books of jobs, charged by their reservation when all else fails."""

import asyncio
import contextlib
import threading
import time

import pytest
from django.db import connection

from rateguard import wiring
from rateguard.calls import process
from rateguard.calls.call import Call, CallEnded
from rateguard.engine.errors import ErrorKind, InvalidRequest, LimitInTheWay, ProviderError
from rateguard.engine.gate.contract import Settlement
from rateguard.engine.lanes import Lane
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Outcome
from rateguard.jobs.books import gate as books
from rateguard.jobs.line.publisher import Publisher
from rateguard.jobs.line.pump import Pump, process_pump
from rateguard.jobs.models import Attempt
from rateguard.jobs.upkeep import rebuild
from rateguard.jobs.upkeep.compare import compare
from rateguard.jobs.upkeep.recover import Counts, reap
from tenants.models import LedgerEntry, UsageQuarter
from tests.line import MODEL
from tests.simprovider import wait_for

DEAD_MS = 13_000
COST = (7 * 150_000 + 5 * 600_000) // 1000
MOST = (10 * 150_000 + 20 * 600_000) // 1000


def call_of(line, door, **fields):
    """A small call of acme's."""
    wanted = {"input_tokens": 10, "output_tokens": 20, "max_output_tokens": 20, "lane": Lane.NORMAL, **fields}
    who = {name: wanted[name] for name in ("team", "user", "role", "rolegroup") if name in wanted}
    runs = [wanted["run"]] if "run" in wanted else []
    return Call(
        id=door.new_id(),
        tenant_id=line.acme.pk,
        model=MODEL,
        gate_model=wiring.directory().gate_model(MODEL, line.acme.pk, (), 10),
        path=wiring.path_of(line.acme.pk, **who, runs=runs, key=wanted.get("api_key_id")),
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


def enter(line, door, timeout_s=5, **fields):
    """A call that was let in."""
    return door.enter_blocking(call_of(line, door, **fields), timeout_s)


class Entering(threading.Thread):
    """A call that waits in a thread of its own."""

    def __init__(self, line, door):
        super().__init__()
        self._enter = lambda: door.enter_blocking(call, 20)
        call = call_of(line, door)
        self.start()

    def run(self):
        self.result = self._enter()

    def granted(self):
        self.join(10)
        return self.result


def is_empty(line):
    """Whether the gate holds nothing."""
    return line.gate.inspect(()).reservations == 0


def test_a_call_is_let_in_and_its_end_is_an_attempt_with_one_charge(line, door):
    limit = line.limit("requests", 100)
    budget = line.budget(10_000_000)
    granted = enter(line, door, user="ada", labels={"app": "chat"})
    assert (granted.place.id, granted.cost, line.used(budget).reserved) == (line.deployment.pk, MOST, MOST)
    door.sent(granted, time.monotonic())
    door.settle(granted, answer())
    wait_for(lambda: is_empty(line))
    entry = LedgerEntry.objects.get()
    assert (entry.nano_usd, entry.user, entry.labels, Attempt.objects.get().job_id) == (COST, "ada", {"app": "chat"}, None)
    assert (line.used(budget).used, line.used(limit).used) == (COST, 1)
    assert UsageQuarter.objects.get().jobs == 1


@pytest.mark.long
def test_what_was_not_sent_costs_nothing_and_what_failed_is_charged_as_it_may_be_billed(line, door):
    budget = line.budget(10_000_000)
    door.give_back(enter(line, door))
    refused, cut = enter(line, door), enter(line, door)
    door.settle(refused, CallEnded.failed(ProviderError("no", kind=ErrorKind.RATE_LIMITED, status=429), 1, has_left=True))
    door.settle(cut, CallEnded.failed(ProviderError("cut", kind=ErrorKind.NETWORK, may_be_billed=True), 1, has_left=True))
    wait_for(lambda: LedgerEntry.objects.count() == 2 and is_empty(line))
    assert sorted(LedgerEntry.objects.values_list("nano_usd", "is_estimated")) == [(0, False), (MOST, True)]
    assert line.used(budget).used == MOST


@pytest.mark.long
def test_who_finds_no_room_in_time_hears_what_is_in_the_way(line, door):
    line.limit("concurrency", 1, 0)
    granted = enter(line, door)
    with pytest.raises(LimitInTheWay) as refused:
        enter(line, door, timeout_s=0.05)
    assert (refused.value.code, refused.value.scope_kind) == ("no_room_in_time", "tenant")
    late = call_of(line, door)
    with pytest.raises(LimitInTheWay):
        asyncio.run(door.enter(late, 0.05))
    door.give_back(granted)
    line.settled()
    assert (line.gate.inspect(()).waiting, is_empty(line)) == (0, True)


@pytest.mark.long
def test_what_never_fits_is_refused_at_once(line, door):
    line.limit("tokens", 25)
    with pytest.raises(InvalidRequest) as refused:
        enter(line, door)
    assert refused.value.code == "exceeds_limit"
    line.budget(1)
    with pytest.raises(LimitInTheWay) as refused:
        enter(line, door, input_tokens=1, output_tokens=1, max_output_tokens=1)
    assert refused.value.code == "budget_exhausted"


@pytest.mark.long
@pytest.mark.parametrize("is_ours", [True, False], ids=["a limit of ours", "a limit of the provider's"])
def test_a_call_goes_before_the_jobs_of_its_lane(line, door, is_ours):
    (line.limit if is_ours else line.account_limit)("concurrency", 1, 0)
    first = enter(line, door)
    line.submit()
    line.beat()
    line.settled()
    waiting = Entering(line, door)
    wait_for(lambda: line.gate.inspect(()).waiting == 2)
    door.give_back(first)
    assert waiting.granted()
    assert line.messages.empty()


@pytest.mark.long
def test_a_call_of_a_dead_process_is_charged_as_reserved_to_whom_its_path_names(line, door):
    budget = line.budget(10_000_000)
    granted = enter(line, door, user="a|b", team="red", role="r", api_key_id=5)
    line.pass_time(DEAD_MS, "w1")
    counts = Counts()
    reap(line.gate, process_pump(), counts)
    line.settled()
    assert (counts.abandoned, counts.returned, is_empty(line)) == (1, 0, True)
    attempt, entry = Attempt.objects.get(), LedgerEntry.objects.get()
    assert (attempt.state, attempt.error_code, attempt.reservation_id) == ("abandoned", "abandoned", granted.call.id)
    assert (entry.nano_usd, entry.is_estimated, entry.input_tokens, entry.output_tokens) == (MOST, True, 10, 20)
    assert (entry.user, entry.team, entry.role, entry.api_key_id, entry.model, entry.deployment) == ("a|b", "red", "r", 5, MODEL, "sim-1")
    assert line.used(budget).used == MOST
    door.settle(granted, answer())
    wait_for(lambda: Attempt.objects.get().late_usage is not None)
    assert LedgerEntry.objects.count() == 1


@pytest.mark.long
def test_a_call_that_runs_in_a_live_process_is_left_alone(line, door):
    granted = enter(line, door)
    line.pass_time(DEAD_MS, *(holder.id for holder in line.gate.inspect(()).holders))
    counts = Counts()
    reap(line.gate, process_pump(), counts)
    compare(line.gate, process_pump(), counts)
    line.settled()
    assert not counts.has_any()
    assert not list(books.differing(line.gate))
    door.settle(granted, answer())
    wait_for(lambda: is_empty(line))
    assert LedgerEntry.objects.get().nano_usd == COST


@pytest.mark.long
def test_after_a_rebuild_windows_and_budgets_count_what_ran_and_what_had_ended(line, door):
    limit, budget = line.limit("requests", 100), line.budget(10_000_000)
    ended, runs = enter(line, door, user="ada"), enter(line, door)
    door.settle(ended, answer())
    wait_for(LedgerEntry.objects.exists)
    line.settled()
    line.redis.flushall()
    line.gate.clear()
    rebuild.rebuild(line.gate)
    process_pump().kick()
    wait_for(lambda: line.gate.inspect(()).reservations == 1)
    assert (line.used(limit).used, line.used(budget).used) == (2, COST + MOST)
    door.settle(runs, answer())
    wait_for(lambda: is_empty(line))
    assert (line.used(limit).used, line.used(budget).used) == (2, 2 * COST)


@pytest.mark.long
def test_who_waits_while_the_gate_is_lost_waits_in_the_new_one(line, door):
    line.limit("concurrency", 1, 0)
    first = enter(line, door)
    waiting = Entering(line, door)
    wait_for(lambda: line.gate.inspect(()).waiting == 1)
    line.redis.flushall()
    line.gate.clear()
    rebuild.rebuild(line.gate)
    process_pump().kick()
    wait_for(lambda: line.gate.inspect(()).waiting == 1)
    assert line.gate.inspect(()).reservations == 1
    door.give_back(first)
    assert waiting.granted()


@pytest.mark.long
def test_spent_and_reserved_stay_within_the_budget_whoever_races(line, door):
    """Twenty threads of calls, and jobs between them; looked at all the while."""
    budget = line.budget(12 * MOST)
    line.submit_many(10)
    calls = [call_of(line, door) for _ in range(20)]
    over, is_over = [], threading.Event()

    def look():
        while not is_over.is_set():
            use = line.used(budget)
            over.extend([use] if use.used > use.amount else [])

    def work(call):
        with contextlib.suppress(InvalidRequest):
            door.settle(door.enter_blocking(call, 0.5), answer(input_tokens=10, output_tokens=20))
        connection.close()

    threads = [threading.Thread(target=look), *(threading.Thread(target=work, args=[call]) for call in calls)]
    for thread in threads:
        thread.start()
    line.beat()
    for thread in threads[1:]:
        thread.join()
    is_over.set()
    threads[0].join()
    line.settled()
    assert not over
    spent = sum(LedgerEntry.objects.values_list("nano_usd", flat=True))
    assert 0 < spent == line.used(budget).used - line.used(budget).reserved <= 12 * MOST


@pytest.mark.long
def test_a_grant_of_another_processs_step_arrives_by_its_letter(line, door):
    """A process without calls of its own steps for everybody: its pump has no entrance."""
    line.limit("concurrency", 1, 0)
    first = enter(line, door)
    made = process._process()
    assert made.desk.listener.is_ready.wait(5)
    waiting = Entering(line, door)
    wait_for(lambda: line.gate.inspect(()).waiting == 1)
    other = Pump(line.gate, Publisher(), on_refused=lambda *_: None)
    other.start()
    made.desk.entrance._held.drop(first.reservation)
    other.settle([(Settlement(first.reservation, used=False), None)])
    assert waiting.granted()
    other.stop()


@pytest.mark.long
def test_a_workers_own_entrance_is_its_processs_and_shares_its_holder(line, station):
    door = process.process_entrance()
    call = call_of(line, door)
    granted = door.enter_blocking(call, 5)
    (held,) = line.gate.held(0, 10)[1]
    assert (held.holder, held.reservation) == (station.runtime.holder, granted.reservation)
    door.settle(granted, answer())
    wait_for(lambda: is_empty(line))
    assert LedgerEntry.objects.get().nano_usd == COST
    station.stop()
    assert process._of_worker is None
