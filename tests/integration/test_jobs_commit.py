"""Group commit: many ends at a time, however long the database is away, and one bad end holds up no other."""

import threading

import pytest
from django.db import OperationalError

from rateguard import wiring
from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Outcome
from rateguard.engine.retry import RetrySettings
from rateguard.holding import commit
from rateguard.holding.commit import GroupCommit
from rateguard.holding.database import DatabaseThread
from rateguard.holding.loop import LoopThread
from rateguard.jobs.attempts.outcome import failed, succeeded
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import State
from tenants.models import LedgerEntry
from tests.line import assert_books_close, events_of, process_pump, state_of, states, wait_for


class AwayDatabase(DatabaseThread):
    """The database's thread, whose database can be away."""

    def __init__(self):
        super().__init__()
        self.is_back = threading.Event()
        self.is_back.set()
        self.failures = 0
        self.batches = []

    async def run(self, function, *args):
        if not self.is_back.is_set():
            self.failures += 1
            raise OperationalError("the database is away")
        if function is commit._write:
            self.batches.append(len(args[0]))
        return await super().run(function, *args)


@pytest.fixture
def database():
    thread = AwayDatabase()
    yield thread
    thread.close()


@pytest.fixture
def add(line, database):
    """Hands ends over on a loop, all at once."""
    loop = LoopThread()
    loop.start()
    group = GroupCommit(database, process_pump(), 0.005)

    def add(*finished):
        loop.call(lambda: [group.add(one) for one in finished])

    add.group = group
    yield add
    database.is_back.set()

    async def drain():
        await group.drain()

    loop.submit(drain()).result(10)
    loop.stop(5)


def good(line, claimed, usage=None):
    usage = usage or Usage(input_tokens=5, output_tokens=7)
    place = wiring.directory().places[line.deployment.pk]
    return succeeded(claimed, place, Outcome(b'{"choices": []}', usage, "stop", "", 0.0, 0.0), 10)


def bad(line, claimed, kind=ErrorKind.SERVER, **more):
    place = wiring.directory().places[line.deployment.pk]
    return failed(claimed, place, ProviderError("no", kind=kind, **more), 10, has_left=True, chance=0.0, settings=RetrySettings())


def test_ends_that_come_together_commit_together(line, add, database):
    line.submit_many(40)
    line.beat()
    claimed = []
    while len(claimed) < 40:
        claimed += line.claim(line.next_message())
    add(*(good(line, one) for one in claimed))
    wait_for(lambda: states() == {State.SUCCEEDED: 40})
    assert database.batches == [40]
    assert_books_close()


def test_the_gate_hears_of_an_end_only_after_its_commit(line, add, database):
    budget = line.budget(10**9)
    claimed = line.run()
    database.is_back.clear()
    add(good(line, claimed))
    wait_for(lambda: database.failures >= 2)
    line.settled()
    assert line.used(budget).reserved == claimed.cost
    database.is_back.set()
    assert wait_for(lambda: line.used(budget).reserved == 0)
    assert state_of(claimed.job) == State.SUCCEEDED


def test_while_the_database_is_away_ends_wait_and_nothing_is_lost(line, add, database):
    first, second = line.run(), line.run()
    database.is_back.clear()
    add(good(line, first))
    wait_for(lambda: database.failures >= 2)
    add(good(line, second))
    assert states() == {State.RUNNING: 2}
    database.is_back.set()
    wait_for(lambda: states() == {State.SUCCEEDED: 2})
    assert_books_close()


def test_a_worker_whose_ends_fill_its_memory_claims_nothing(line, add, database, monkeypatch):
    monkeypatch.setattr(commit, "MOST_WAITING", 2)
    claimed = [line.run() for _ in range(2)]
    database.is_back.clear()
    add(good(line, claimed[0]))
    wait_for(lambda: database.failures)
    assert not add.group.is_full
    add(good(line, claimed[1]))
    wait_for(lambda: add.group.is_full)
    database.is_back.set()
    wait_for(lambda: not add.group.is_full)


@pytest.mark.parametrize("tokens", [2**62, 2**70, -1], ids=["more money than fits", "more than JSON holds", "negative"])
def test_an_end_that_cannot_be_written_fails_its_job_and_holds_up_no_other(line, add, tokens):
    budget = line.budget(10**9)
    poison, *others = [line.run() for _ in range(4)]
    add(good(line, poison, Usage(input_tokens=tokens)), *(good(line, one) for one in others))
    wait_for(lambda: states() == {State.SUCCEEDED: 3, State.FAILED: 1})
    job = Job.objects.get(pk=poison.job)
    assert (job.state, job.error_code) == (State.FAILED, "unwritable")
    entry = LedgerEntry.objects.get(job_id=poison.job)
    assert (entry.nano_usd, entry.is_estimated) == (poison.cost, True)
    assert wait_for(lambda: line.gate.inspect().reservations == 0)
    assert line.used(budget).used == sum(LedgerEntry.objects.values_list("nano_usd", flat=True))
    assert_books_close()


def test_what_goes_back_waits_again_only_after_its_cooldown_is_known(line, add):
    claimed = line.run()
    add(bad(line, claimed, ErrorKind.RATE_LIMITED, retry_after_ms=60_000, cools="account"))
    wait_for(lambda: line.gate.inspect().waiting == 1)
    line.beat()
    line.settled()
    assert (line.messages.empty(), state_of(claimed.job)) == (True, State.QUEUED)
    assert [one.target for one in line.gate.inspect().cooling] == [f"a{line.account.pk}"]
    line.pass_time(61_000, "w1")
    line.beat()
    assert [one.attempt for one in line.claim(line.next_message())] == [2]


@pytest.mark.parametrize("kind", [ErrorKind.SERVER, ErrorKind.RATE_LIMITED])
def test_a_job_that_was_to_be_cancelled_is_not_tried_again(line, add, kind):
    claimed = line.run()
    Job.objects.update(cancel_requested=True)
    add(bad(line, claimed, kind))
    wait_for(lambda: state_of(claimed.job) == State.CANCELLED)
    assert events_of(claimed.job)[-1] == "cancelled"
    line.settled()
    assert line.gate.inspect().waiting == 0


def test_a_fenced_end_neither_waits_again_nor_changes_the_row(line, add):
    claimed = line.run()
    add(good(line, claimed))
    wait_for(lambda: state_of(claimed.job) == State.SUCCEEDED)
    add(bad(line, claimed, ErrorKind.RATE_LIMITED))
    wait_for(lambda: not add.group._waiting)
    line.settled()
    assert (Attempt.objects.count(), LedgerEntry.objects.count(), line.gate.inspect().waiting) == (1, 1, 0)
