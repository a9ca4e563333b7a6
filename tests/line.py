"""The whole line for tests: tenants, a model, limits, the gate, the simulated provider; and workers, in this process or in their own.

Its fixtures are known in the folders whose conftest.py names them:

`line` is configured and open; its gate has a clock that a test may move, and its grants come to `line.messages`. `station` is a worker's
own runtime in this process, with no Celery between. `live` is a line on the servers' clock whose workers are real processes.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import queue
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Sum

from rateguard import wiring
from rateguard.conf import conf
from rateguard.embedded import process
from rateguard.embedded.valkey import start_valkey
from rateguard.engine.gate.contract import Grant, Holder, LimitUse, ReservationId, Settlement
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.lanes import Lane
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.process import SimHandle
from rateguard.holding.loop import LoopThread
from rateguard.jobs.attempts.claim import Claimed, claim
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.ends.outbox import process_teller
from rateguard.jobs.insight import calibrated, expect
from rateguard.jobs.intake import affordable, hearing
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit, submit_many
from rateguard.jobs.line import pump as pumps
from rateguard.jobs.line.publisher import Entry, Publisher, as_entry
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.jobs.states import SUCCEED, TERMINAL, AttemptState, State
from rateguard.jobs.upkeep import rebuild
from rateguard.worker import runtime
from tenants.models import (
    Budget,
    Deployment,
    LedgerEntry,
    Limit,
    ModelRoute,
    Price,
    ProviderAccount,
    RouteTarget,
    Scope,
    Tenant,
    UsageQuarter,
)
from tests.simprovider import sim, sim_process, wait_for

__all__ = ["Line", "Station", "fragile", "line", "live", "live_at", "own_valkey", "sim", "sim_process", "station", "wait_for"]

PROJECT = Path(__file__).parent.parent
MODEL = "sim-1"
CREDENTIALS = "sk-sim-canary-7f3a9c"
"""The provider account's key; it must never be seen anywhere."""
HOUR_MS = 3_600_000

Message = tuple[list[Entry], int]
"""Entries and their epoch: what a Celery message carries."""


class Clock:
    """The gate's time: this machine's, moved on by what a test wants."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


class HandOver(Publisher):
    """Grants come into a queue of this process instead of Celery's."""

    def __init__(self, take: Callable[[Message], object]) -> None:
        super().__init__()
        self._take = take

    def publish(self, granted: tuple[Grant, ...], epoch: int) -> None:
        """Hand the grants of one reply over as one message."""
        self._take(([as_entry(grant) for grant in granted], epoch))


class Line:
    """A configured line. `gate` decides by `clock` where there is one, else by the server's time."""

    def __init__(self, url: str, provider: SimHandle, clock: Clock | None) -> None:
        self.clock = clock or Clock()
        self.provider = provider
        settings = GateSettings(conf().send_by_ms, conf().dead_after_ms, conf().unsent_per_worker)
        self.gate = RedisGate(connect(url, 5_000), settings, conf().partition, clock)
        self.redis = connect(url, 5_000)
        self.messages: queue.Queue[Message] = queue.Queue()

    def set_up(self) -> None:
        """A provider account, its one deployment, the model and the tenant `acme`; the gate is built and open."""
        self.account = ProviderAccount.objects.create(name="sim", provider="sim", base_url=self.provider.base_url, credentials=CREDENTIALS)
        self.deployment = Deployment.objects.create(account=self.account, name="sim-1", upstream_model=MODEL)
        self.price = Price.objects.create(
            provider="sim", model=MODEL, valid_from="2020-01-01T00:00Z", input_pico=150_000, output_pico=600_000
        )
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=MODEL), deployment=self.deployment)
        self.acme = self.tenant("acme")
        rebuild.rebuild(self.gate)

    # ---- rows

    def tenant(self, name: str, weight: int = 1) -> Tenant:
        """A tenant with a scope of its own."""
        made = Tenant.objects.create(name=name, weight=weight)
        Scope.objects.create(kind="tenant", tenant=made)
        return made

    def budget(self, nano_usd: int, tenant: Tenant | None = None) -> Budget:
        """A budget of a tenant, acme by default."""
        return Budget.objects.create(scope=Scope.objects.get(tenant=tenant or self.acme), amount=nano_usd)

    def limit(self, metric: str, amount: int, window_ms: int = HOUR_MS, tenant: Tenant | None = None) -> Limit:
        """A limit of ours on a tenant, acme by default; window_ms 0 for concurrency."""
        return Limit.objects.create(scope=Scope.objects.get(tenant=tenant or self.acme), metric=metric, amount=amount, **_kind(window_ms))

    def account_limit(self, metric: str, amount: int, window_ms: int = HOUR_MS, *, is_enforced: bool = True) -> Limit:
        """A limit of the provider on the account; the simulated provider keeps it too."""
        if metric != "concurrency":
            self.provider.control.configure(limits={CREDENTIALS: [LimitRule(metric, amount, window_ms, enforce=is_enforced)]})
        return Limit.objects.create(account=self.account, metric=metric, amount=amount, **_kind(window_ms))

    def submission(self, tenant: Tenant | None = None, *, text: str = "hello", max_tokens: int = 20, **fields: Any) -> Submission:
        """One small chat."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens}
        return Submission(tenant=tenant or self.acme, endpoint=Endpoint.CHAT, body=body, **fields)

    def submit(self, tenant: Tenant | None = None, **fields: Any) -> Job:
        """Submit one small chat."""
        return submit(self.submission(tenant, **fields)).job

    def submit_many(self, count: int, tenant: Tenant | None = None, **fields: Any) -> list[Job]:
        """Submit many small chats."""
        return submit_many([self.submission(tenant, text=f"hello {number}", **fields) for number in range(count)])

    # ---- the gate

    def beat(self, holder: str = "w1", slots: int = 100) -> str:
        """A worker lives, and room for its slots is asked for."""
        self.gate.beat(Holder(holder, slots, tuple(Lane)))
        process_pump().kick()
        return holder

    def pass_time(self, ms: int, *alive: str) -> None:
        """The gate's time goes on, the gate is asked all the while, and these holders beat."""
        for _ in range(0, ms, 1_000):
            self.clock.ahead_ms += 1_000
            self.gate.suspects(0)
            for holder in alive:
                self.gate.beat(Holder(holder, 100, tuple(Lane)))

    def next_message(self) -> Message:
        """The next message that a worker would get."""
        return self.messages.get(timeout=10)

    def used(self, row: Limit | Budget) -> LimitUse:
        """What the gate says of a limit or budget."""
        name = f"{'l' if isinstance(row, Limit) else 'b'}{row.pk}"
        return next(use for use in self.gate.inspect((name,)).limits if use.id == name)

    def settled(self) -> None:
        """Until everything that this process told the gate is there."""
        assert process_pump().flush(10)

    # ---- steps

    def claim(self, message: Message, holder: str = "w1") -> list[Claimed]:
        """Claim the entries of a message."""
        entries, epoch = message
        return claim(entries, epoch, holder, {self.deployment.pk: self.deployment.name})

    def run(self, holder: str = "w1", **fields: Any) -> Claimed:
        """A job that is submitted, granted and claimed: it runs, though nobody has sent it."""
        self.submit(**fields)
        self.beat(holder)
        (claimed,) = self.claim(self.next_message(), holder)
        return claimed

    def run_granted(self, nano_usd: int = 100) -> None:
        """Claim and end what is granted by now, at this cost."""
        for claimed in self.claim(self.next_message()):
            usage = Usage(input_tokens=1, output_tokens=1)
            end = Ended(
                job=claimed.job, attempt=claimed.attempt, state=AttemptState.SUCCEEDED, transition=SUCCEED, usage=usage, nano_usd=nano_usd
            )
            settle([end])
            self.end_in_gate(claimed, nano_usd)

    def end_in_gate(self, claimed: Claimed, nano_usd: int) -> None:
        """Settle an attempt's reservation at this cost."""
        end = Settlement(ReservationId(claimed.job, claimed.attempt), used=True, input_tokens=1, output_tokens=1, cost=nano_usd)
        process_pump().settle([(end, None)])
        self.settled()

    def close(self) -> None:
        """End this process's line to the gate."""
        process_pump().stop()
        process_pump.cache_clear()


def _kind(window_ms: int) -> dict[str, Any]:
    return {"kind": "window" if window_ms else "concurrency", "window_ms": window_ms}


# ---- what the rows say


def states() -> collections.Counter[str]:
    """How many jobs are in each state."""
    return collections.Counter(Job.objects.values_list("state", flat=True))


def state_of(job: Job | uuid.UUID) -> State:
    """A job's state now."""
    return State(Job.objects.values_list("state", flat=True).get(pk=getattr(job, "pk", job)))


def events_of(job: Job | uuid.UUID) -> list[str]:
    """A job's events in order."""
    return list(JobEvent.objects.filter(job=getattr(job, "pk", job)).order_by("pk").values_list("kind", flat=True))


def has_ended(job: Job | uuid.UUID) -> bool:
    """Whether a job is in a terminal state."""
    return state_of(job) in TERMINAL


def all_ended() -> bool:
    """Whether every job is in a terminal state."""
    return set(states()) <= TERMINAL


def assert_books_close() -> None:
    """Each attempt ended with exactly one charge of its own figures; ledger = attempts = rollups = jobs."""
    attempts = {(a.reservation_id, a.number): (a.nano_usd, a.input_tokens, a.output_tokens) for a in Attempt.objects.all()}
    charges = [((e.reservation_id, e.attempt), (e.nano_usd, e.input_tokens, e.output_tokens)) for e in LedgerEntry.objects.all()]
    assert not Attempt.objects.filter(state=State.RUNNING).exists()
    assert len(charges) == len(attempts)
    assert dict(charges) == attempts
    for tenant in Tenant.objects.all():
        spent = LedgerEntry.objects.filter(tenant=tenant).aggregate(Sum("nano_usd"))["nano_usd__sum"]
        assert UsageQuarter.objects.filter(tenant=tenant).aggregate(Sum("nano_usd"))["nano_usd__sum"] == spent
        assert Job.objects.filter(tenant=tenant).aggregate(Sum("nano_usd"))["nano_usd__sum"] in {spent, spent or 0}


# ---- a worker in this process


class Station:
    """A worker's own runtime on a loop in a thread; what is granted is executed at once."""

    def __init__(self) -> None:
        self._loop = LoopThread()
        self._loop.start()
        self.runtime: runtime.Runtime = self._loop.submit(_made()).result(10)
        self.heard: queue.Queue[Message] = queue.Queue()
        self.to_lose = 0
        self._is_stopped = False

    def deliver(self, message: Message) -> None:
        """A message comes from the pump: it is heard, or one of those that get lost."""
        if self.to_lose:
            self.to_lose -= 1
            return
        self.heard.put(message)
        self.receive(message)

    def receive(self, message: Message) -> None:
        """Execute a message, as the Celery task would."""
        self._loop.submit(self.runtime.executor.execute(*message))

    def start(self) -> None:
        """Open everything."""
        self._loop.submit(self.runtime.start()).result(10)

    def drain(self) -> None:
        """Begin to leave: claim nothing more. Returns at once."""
        self._loop.submit(self.runtime.drain())

    def leave(self) -> None:
        """Drain and stop, as at SIGTERM."""
        self._loop.submit(self.runtime.drain()).result(40)
        self.stop()

    def stop(self) -> None:
        """Stop without waiting for calls under way; stopping twice is harmless."""
        if not self._is_stopped:
            self._is_stopped = True
            self._loop.submit(self.runtime.stop()).result(30)
            self._loop.stop(5)


async def _made() -> runtime.Runtime:
    return runtime.Runtime(conf().worker_slots)


# ---- workers and callers in processes of their own


@dataclasses.dataclass
class Child:
    """A process of the line and its log."""

    running: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, text: str, within_s: float = 30) -> None:
        """Until it has printed the text."""
        wait_for(lambda: self.running.poll() is not None or text in self.log.read_text(errors="replace"), within_s)
        assert text in self.log.read_text(errors="replace"), process.last_lines(self.log, 40)

    def kill(self) -> None:
        """As a crash would."""
        process.kill(self.running)

    def end(self, grace_s: float = 45) -> int:
        """SIGTERM; its exit code, negative where it had to be killed."""
        return process.end(self.running, grace_s=grace_s)

    def finish(self, within_s: float = 60) -> None:
        """Until it has ended by itself, and well."""
        assert self.running.wait(within_s) == 0, process.last_lines(self.log, 40)


class Live:
    """A line whose workers and callers are processes. `url`: its Redis-protocol server."""

    def __init__(self, line: Line, url: str, env: dict[str, str], logs: Path) -> None:
        self.line = line
        self.url = url
        self._env = {**env, "REDIS_URL": url, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default"}
        self._logs = logs
        self.children: list[Child] = []

    def start_worker(self, *arguments: str, **environment: str) -> Child:
        """A `celery worker`, not yet ready."""
        command = ["celery", "-A", "rateguard", "worker", "-l", "INFO", *arguments]
        return self._start(command, environment)

    def worker(self, *arguments: str, **environment: str) -> Child:
        """A `celery worker` that is ready."""
        started = self.start_worker(*arguments, **environment)
        started.wait_for("ready.")
        return started

    def mortal(self, point: str, times: int, **environment: str) -> Child:
        """A `celery worker` that dies as by kill -9 when it passes a point the so many-eth time (see tests/concurrency/mortal.py)."""
        return self._start(["tests.concurrency.mortal", point, str(times)], environment)

    def caller(self, tenant: Tenant, count: int, *, threads: int = 1, max_tokens: int = 20, name: str = "caller") -> Child:
        """A process that submits as a web process does: one job a call."""
        told = {"tenant": tenant.pk, "count": count, "threads": threads, "max_tokens": max_tokens, "model": MODEL, "name": name}
        return self._start(["tests.concurrency.caller", json.dumps(told)], {})

    def _start(self, module: list[str], environment: dict[str, str]) -> Child:
        log = self._logs / f"{len(self.children)}.log"
        with log.open("wb") as output:
            running = process.launch([sys.executable, "-m", *module], output=output, env={**self._env, **environment}, cwd=PROJECT)
        self.children.append(Child(running, log))
        return self.children[-1]

    def close(self) -> None:
        """End all of them now."""
        for child in self.children:
            child.running.send_signal(signal.SIGCONT) if child.running.poll() is None else None
            child.kill()


# ---- fixtures


class OwnValkey:
    """A Valkey of one test, which keeps its port and its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = start_valkey(folder)
        self.url = self.server.url

    def start_again(self) -> None:
        """Start it on the same port and data."""
        self.server = start_valkey(self._folder, self.server.port)

    def close(self) -> None:
        """End it, whatever it does."""
        self.server.kill()


@contextlib.contextmanager
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what the process knew of an earlier test's rows and gate."""
    wiring.forget_directory()
    monkeypatch.setattr(wiring, "_known_version", 0)
    expect.forget()
    calibrated.forget()
    affordable.forget()
    hearing.forget()
    process_pump.cache_clear()
    process_teller.cache_clear()
    yield
    process_teller().stop()
    process_teller.cache_clear()
    wiring.forget_directory()


@pytest.fixture
def line(transactional_db, redis_url, sim, monkeypatch) -> Iterator[Line]:
    """A line without workers, on a clock that the test may move."""
    made = Line(redis_url, sim, Clock())
    monkeypatch.setattr(wiring, "gate", lambda: made.gate)
    monkeypatch.setattr(pumps, "Publisher", lambda: HandOver(made.messages.put))
    with fresh_process(monkeypatch):
        made.set_up()
        yield made
        made.close()


@pytest.fixture
def station(line, settings, monkeypatch) -> Iterator[Station]:
    """The line's worker, in this process: a round of its caretaker each 50 ms, retries without a wait."""
    settings.RATEGUARD = {"CARETAKER_PERIOD_MS": 50, "RETRY_BASE_MS": 1, **settings.RATEGUARD}
    stations: list[Station] = []
    hand_over = HandOver(lambda message: stations[0].deliver(message))  # noqa: PLW0108 - there is no station yet
    monkeypatch.setattr(runtime, "Publisher", lambda: hand_over)
    monkeypatch.setattr(pumps, "Publisher", lambda: hand_over)
    stations.append(Station())
    stations[0].start()
    yield stations[0]
    line.close()
    stations[0].stop()


@contextlib.contextmanager
def live_at(url: str, env: dict[str, str], sim: SimHandle, monkeypatch: pytest.MonkeyPatch, logs: Path) -> Iterator[Live]:
    """A line on the servers' clock whose processes find Redis at this URL."""
    made = Live(Line(url, sim, None), url, env, logs)
    monkeypatch.setattr(wiring, "gate", lambda: made.line.gate)
    with fresh_process(monkeypatch):
        made.line.set_up()
        yield made
        made.line.close()
        made.close()


@pytest.fixture
def live(child_env, redis_url, sim, monkeypatch, tmp_path) -> Iterator[Live]:
    """A line on the servers' clock, for processes."""
    with live_at(redis_url, child_env, sim, monkeypatch, tmp_path) as made:
        yield made


@pytest.fixture
def own_valkey(tmp_path) -> Iterator[OwnValkey]:
    """A server that a test may kill, freeze and start again."""
    server = OwnValkey(tmp_path / "valkey")
    yield server
    server.close()


@pytest.fixture
def fragile(child_env, own_valkey, sim, settings, monkeypatch, tmp_path) -> Iterator[Live]:
    """A line on `own_valkey`. Submit by `caller`: this process's Celery knows the session's server."""
    settings.REDIS_URL = own_valkey.url
    with live_at(own_valkey.url, child_env, sim, monkeypatch, tmp_path) as made:
        yield made
