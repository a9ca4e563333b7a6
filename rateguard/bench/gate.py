"""`bench gate`: what the gate's decisions cost the Redis server, by tenants, waiting jobs, limits a path and parked tenants.

Server wall time inside the scripts (INFO commandstats), divided by the jobs granted; the clock is injected and moves 5 ms a step.
Each granted job is claimed in the step after its grant and settled in the one after that, in the same round trip that admits others.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import redis

from rateguard.bench.report import Figures, Report, versions
from rateguard.bench.servers import ScriptTime, bench_valkey, server_version, used_memory
from rateguard.engine.gate.contract import (
    Configuration,
    DeploymentRecord,
    Grant,
    Holder,
    ModelRecord,
    PathRecord,
    Sent,
    Settlement,
    Step,
    StepReply,
    Waiting,
)
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Level, LimitRecord, Metric

START_MS, STEP_MS, BEAT_MS = 1_790_000_000_000, 5, 3_000
PLENTY = 1_000_000_000
COLUMNS = {
    "tenants": "tenants",
    "parked_share": "parked",
    "models": "models",
    "waiting": "waiting",
    "limits_a_job": "limits a job",
    "enqueue_us": "enqueue µs",
    "bytes_a_waiting_job": "bytes a waiting job",
    "batch_1_us": "µs, batch 1",
    "batch_50_us": "µs, batch 50",
}
"""A row's names in the JSON line, and above its column."""

LAPS = 5
"""Each figure is the least of so many laps: other work on the machine only adds."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A room to measure in. parked: shares of tenants, rising. scopes: how many nodes of a path carry limits, `each` of them."""

    tenants: int
    waiting: int
    parked: tuple[float, ...] = (0.0,)
    scopes: int = 1
    each: int = 3
    models: int = 1


CASES = (
    Case(10, 10_000),
    Case(10, 1_000_000),
    Case(1_000, 100_000, (0.0, 0.5), each=1),
    Case(1_000, 100_000, (0.5,), scopes=7),
    Case(10, 10_000, models=20),
    Case(10_000, 1_000_000, (0.0, 0.5, 0.95)),
)
QUICK_CASES = (Case(10, 10_000), Case(1_000, 20_000, (0.0, 0.5)))


def run(*, is_quick: bool) -> Report:
    """Measure every case on a server of its own. About a minute, quick 5 s."""
    rows: list[dict[str, Any]] = []
    for case in QUICK_CASES if is_quick else CASES:
        with bench_valkey() as server, connect(server.url, 60_000) as client:
            version = server_version(client)
            rows += Room(client, case).measure(jobs=1_000 if is_quick else 5_000)
    cells = [tuple({**row, "parked_share": f"{row['parked_share']:.0%}"}.values()) for row in rows]
    table = Figures("The gate: server µs a job for grant, claim and settle together", list(COLUMNS.values()), cells)
    return Report("gate", {"rows": rows}, versions(server=version), [table])


class Room:
    """A gate filled for one case, and the caller that drives it."""

    def __init__(self, client: redis.Redis, case: Case) -> None:
        self._client, self._case = client, case
        self._now_ms = START_MS
        self._gate = RedisGate(client, GateSettings(unsent_per_worker=PLENTY), "bench", lambda: self._now_ms)
        self._numbers = itertools.count(1)
        self._ids = itertools.count(1)
        self._unsent: tuple[Grant, ...] = ()
        self._running: tuple[Grant, ...] = ()
        self._left = 0
        self._configure()

    def measure(self, jobs: int) -> list[dict[str, Any]]:
        """Fill the room, then a row for each share of parked tenants; `jobs`: how many to grant for a figure of batches of 50."""
        before, time = used_memory(self._client), ScriptTime(self._client)
        self._fill(self._case.waiting)
        enqueue_us = time.lap_us() / self._case.waiting
        bytes_a_job = (used_memory(self._client) - before) / self._case.waiting
        rows = []
        for share in self._case.parked:
            self._park(share)
            alone, batched = self._least_us(1, jobs // 10), self._least_us(50, jobs)
            counts = (self._case.tenants, share, self._case.models, self._case.waiting, len(self._path_limits(0)) + 6)
            rows.append(dict(zip(COLUMNS, (*counts, round(enqueue_us, 1), round(bytes_a_job), alone, batched), strict=True)))
        return rows

    # ---- records

    def _configure(self) -> None:
        shared = [f"{owner}:{number}" for owner in ("a1", "d1") for number in range(3)]
        deployment = DeploymentRecord("1", tuple(shared), ("a1", "d1"), 150_000, 600_000)
        names = [*shared, *dict.fromkeys(itertools.chain.from_iterable(map(self._path_limits, range(self._case.tenants))))]
        paths = tuple(PathRecord(f"p{t}", str(t), 1 + t % 3, self._path_limits(t)) for t in range(self._case.tenants))
        models = tuple(ModelRecord(f"m{number}", "x", (deployment,)) for number in range(self._case.models))
        self._gate.clear()
        self._gate.configure(Configuration(1, tuple(map(_limit, names)), paths, models))
        self._gate.open(1)
        self._beat()

    def _path_limits(self, tenant: int) -> tuple[str, ...]:
        """Limits on the tenant and on further nodes below it; where there are seven nodes, the seventh is the global one."""
        owners = ["t", "team", "rolegroup", "role", "user", "key"][: self._case.scopes]
        own = tuple(f"{owner}{tenant}:{number}" for owner in owners for number in range(self._case.each))
        return own + (tuple(f"global:{number}" for number in range(3)) if self._case.scopes > 6 else ())

    def _beat(self) -> None:
        self._gate.beat(Holder("w", PLENTY, tuple(Lane)))

    # ---- work

    def _jobs(self, count: int) -> Iterator[Waiting]:
        for number in itertools.islice(self._ids, count):
            lane = Lane.NORMAL if number % 10 else Lane.LOW
            yield Waiting(
                uuid.UUID(int=number << 64),
                f"m{number // 7 % self._case.models}",
                f"p{number % self._case.tenants}",
                lane,
                300 + number % 700,
                120,
                400,
                number,
            )

    def _fill(self, count: int) -> None:
        jobs = self._jobs(count)
        while batch := tuple(itertools.islice(jobs, 500)):
            self._step(enqueue=batch)
        self._left += count

    def _step(self, want: int = 0, **parts: Any) -> StepReply:
        self._now_ms += STEP_MS
        if self._now_ms % BEAT_MS < STEP_MS:
            self._beat()
        return self._gate.step(Step("bench", next(self._numbers), want, **parts))

    def _work(self, want: int) -> int:
        """One round trip of a busy system; returns the jobs granted."""
        sent = tuple(Sent(grant.reservation, "w", 2) for grant in self._unsent)
        settled = tuple(Settlement(g.reservation, True, g.input_tokens, 100, g.cost // 2) for g in self._running)
        reply = self._step(want, sent=sent, settle=settled)
        self._unsent, self._running = reply.granted, self._unsent
        self._left -= len(reply.granted)
        return len(reply.granted)

    def _least_us(self, batch: int, jobs: int) -> float:
        return round(min(self._lap_us(batch, jobs // LAPS) for _ in range(LAPS)), 1)

    def _lap_us(self, batch: int, jobs: int) -> float:
        """Server µs a job, with the room filled up again beforehand."""
        if self._left < self._case.waiting:
            self._fill(self._case.waiting - self._left)
        for _ in range(3):
            self._work(batch)
        time, granted = ScriptTime(self._client), 0
        while granted < jobs:
            granted += self._work(batch)
        return time.lap_us() / granted

    def _park(self, share: float) -> None:
        """Close a share of the tenants by a limit of one request an hour, and let each be tried once."""
        closed = range(int(self._case.tenants * share))
        for start in range(0, len(closed), 1_000):
            limits = tuple(_limit(f"t{tenant}:0", 1) for tenant in closed[start : start + 1_000])
            self._gate.configure(Configuration(1, limits))
        tried: collections.Counter[str] = collections.Counter()
        while tried["steps"] < 2 * len(closed) // 50:
            self._work(50)
            tried["steps"] += 1


def _limit(name: str, amount: int = PLENTY) -> LimitRecord:
    """Requests, tokens and places, as a scope has them; `name` ends in its number."""
    metric = (Metric.REQUESTS, Metric.TOKENS, Metric.CONCURRENCY)[int(name[-1])]
    level = Level.SHARED if name[0] in "adg" else Level.TENANT if name[1].isdigit() else Level.LEAF
    if metric == Metric.CONCURRENCY:
        return LimitRecord(name, Kind.CONCURRENCY, metric, amount, level)
    window_ms = 3_600_000 if amount == 1 else 60_000
    return LimitRecord(name, Kind.WINDOW, metric, amount, level, window_ms=window_ms, guard_ms=500 if name[0] in "ad" else 0)
