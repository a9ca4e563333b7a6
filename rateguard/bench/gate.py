"""`bench gate`: what the gate's decisions cost, by tenants, waiting jobs, limits a path and parked tenants.

Ten nodes a request: global, tenant, team, rolegroup, role, user, run, API key, account, deployment. Each round trip settles what the one
before granted and admits as many. Server time is the time inside the functions (INFO commandstats); the wall is the caller's, over TCP,
with the same client that runs the plain INCR it is compared with. The clock is injected and moves 5 ms a step.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
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
    ScopeRecord,
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
NODES = ("team", "rolegroup", "role", "user", "run", "key")
COLUMNS = {
    "tenants": "tenants",
    "waiting": "waiting",
    "blocked": "blocked",
    "limits": "limits",
    "enqueue_us": "enqueue µs",
    "bytes_per_waiting_job": "bytes a waiting job",
    "batch1_server_us": "1: server µs",
    "batch1_wall_us": "1: wall µs",
    "batch1_incr_ratio": "÷ INCR",
    "batch50_server_us": "50: server µs a job",
    "batch50_wall_us": "50: wall µs a job",
}
"""A row's names in the JSON line, and above its column."""

LAPS = 7
"""Each figure is the median of so many laps."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A room to measure in. blocked: the share of tenants at their limit. each: limits on each of the ten nodes of a path."""

    tenants: int
    waiting: int
    blocked: float = 0.0
    each: int = 1


CASES = tuple(
    Case(tenants, waiting, blocked, each)
    for each in (1, 3)
    for tenants in (10, 10_000)
    for waiting in (10_000, 1_000_000)
    for blocked in (0.0, 0.99)
)
QUICK_CASES = (Case(10, 10_000), Case(200, 10_000), Case(200, 20_000, 0.99))


def run(*, is_quick: bool) -> Report:
    """Measure every case on a server of its own. About ten minutes, quick 10 s."""
    rows: list[dict[str, Any]] = []
    for case in QUICK_CASES if is_quick else CASES:
        with bench_valkey() as server, connect(server.url, 60_000) as client:
            version = server_version(client)
            rows.append(Room(client, case).measure(jobs=2_100 if is_quick else 7_000))
    cells = [tuple({**row, "blocked": f"{row['blocked']:.0%}"}.values()) for row in rows]
    table = Figures("The gate: settle + admit, ten nodes a request", list(COLUMNS.values()), cells)
    return Report("gate", {**_metrics(rows), "rows": rows}, versions(server=version), [table])


def _metrics(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The five figures that are held against their aims, all with one limit on each node."""
    few, many = min(row["tenants"] for row in rows), max(row["tenants"] for row in rows)
    single = [row for row in rows if row["limits"] == len(NODES) + 4]
    light = [row for row in single if not row["blocked"]]
    small = {row["tenants"]: row for row in reversed(light)}
    heavy = max((row for row in single if row["blocked"] and row["tenants"] == many), key=lambda row: row["waiting"])
    full = max((row for row in light if row["tenants"] == few), key=lambda row: row["waiting"])
    return {
        "batch1_incr_ratio": small[few]["batch1_incr_ratio"],
        "batch50_jobs_per_s": round(1e6 / small[few]["batch50_wall_us"]),
        "batch50_jobs_per_s_10k_tenants": round(1e6 / small[many]["batch50_wall_us"]),
        "flatness": round(heavy["batch50_server_us"] / small[many]["batch50_server_us"], 2),
        "bytes_per_waiting_job": full["bytes_per_waiting_job"],
    }


class Room:
    """A gate filled for one case, and the caller that drives it."""

    def __init__(self, client: redis.Redis, case: Case) -> None:
        self._client, self._case = client, case
        self._now_ms = START_MS
        self._gate = RedisGate(client, GateSettings(unsent_per_worker=PLENTY), "bench", lambda: self._now_ms)
        self._numbers = itertools.count(1)
        self._ids = itertools.count(1)
        self._granted: tuple[Grant, ...] = ()
        self._open = range(case.tenants)
        self._configure()

    def measure(self, jobs: int) -> dict[str, Any]:
        """Fill the room, block its share of tenants, measure. `jobs`: how many to grant for a figure of batches of 50."""
        before, spent = used_memory(self._client), ScriptTime(self._client)
        self._fill(self._case.waiting)
        enqueue_us = spent.lap_us() / self._case.waiting
        bytes_a_job = (used_memory(self._client) - before) / self._case.waiting
        self._block(self._case.blocked)
        alone, ratio = self._against_incr(jobs // 10)
        batched = self._lap(50, jobs)
        counts = (self._case.tenants, self._case.waiting, self._case.blocked, (len(NODES) + 4) * self._case.each)
        figures = (round(enqueue_us, 1), round(bytes_a_job), *alone, ratio, *batched)
        return dict(zip(COLUMNS, (*counts, *figures), strict=True))

    # ---- records

    def _configure(self) -> None:
        shared = [f"{owner}:{number}" for owner in ("a1", "d1") for number in range(self._case.each)]
        deployment = DeploymentRecord("1", tuple(shared), ("a1", "d1"), 150_000, 600_000)
        above = tuple(f"global:{number}" for number in range(self._case.each))
        names = [*shared, *above, *itertools.chain.from_iterable(map(self._names, range(self._case.tenants)))]
        scopes = (ScopeRecord("", above), *itertools.chain.from_iterable(map(self._scopes, range(self._case.tenants))))
        self._gate.clear()
        self._gate.configure(Configuration(1, tuple(map(_limit, names)), scopes, (ModelRecord("m", "x", (deployment,)),)))
        self._gate.open(1)
        self._beat()

    def _names(self, tenant: int) -> list[str]:
        return [f"{owner}{tenant}:{number}" for owner in ("t", *NODES) for number in range(self._case.each)]

    def _scopes(self, tenant: int) -> Iterator[ScopeRecord]:
        """A tenant and the nodes below him, each with limits of its own."""
        names = self._names(tenant)
        yield ScopeRecord(str(tenant), tuple(name for name in names if name.startswith(f"t{tenant}:")), 1 + tenant % 3)
        for kind in NODES:
            yield ScopeRecord(f"{tenant}|{kind}:1", tuple(name for name in names if name.startswith(f"{kind}{tenant}:")))

    def _beat(self) -> None:
        self._gate.beat(Holder("w", PLENTY, tuple(Lane)))

    # ---- work

    def _jobs(self, count: int) -> Iterator[Waiting]:
        for number in itertools.islice(self._ids, count):
            lane = Lane.NORMAL if number % 10 else Lane.LOW
            path = f"{self._open[number % len(self._open)]}|" + "|".join(f"{kind}:1" for kind in NODES)
            yield Waiting(uuid.UUID(int=number << 64), "m", path, lane, 300 + number % 700, 120, 400, number)

    def _fill(self, count: int) -> None:
        jobs = self._jobs(count)
        while batch := tuple(itertools.islice(jobs, 500)):
            self._step(enqueue=batch)

    def _step(self, want: int = 0, **parts: Any) -> StepReply:
        self._now_ms += STEP_MS
        if self._now_ms % BEAT_MS < STEP_MS:
            self._beat()
        return self._gate.step(Step("bench", next(self._numbers), want, **parts))

    def _work(self, want: int) -> int:
        """One round trip of a busy system; returns the jobs granted."""
        settled = tuple(Settlement(g.reservation, True, g.input_tokens, 100, g.cost // 2) for g in self._granted)
        reply = self._step(want, settle=settled)
        self._granted = reply.granted
        return len(reply.granted)

    def _lap(self, batch: int, jobs: int) -> tuple[float, float]:
        """(server µs, wall µs) a job."""
        laps = [self._lap_us(batch, jobs // LAPS) for _ in range(LAPS)]
        return _median(lap[0] for lap in laps), _median(lap[1] for lap in laps)

    def _against_incr(self, jobs: int) -> tuple[tuple[float, float], float]:
        """The same for single jobs, and their wall over that of plain INCRs on the same client, lap by lap in turn."""
        laps = []
        for _ in range(3 * LAPS):
            alone = self._lap_us(1, jobs // LAPS)
            laps.append((*alone, alone[1] / _wall_us(lambda: self._client.incr("plain"), jobs // LAPS)))
        server, wall, ratio = (_median((lap[place] for lap in laps), 2) for place in range(3))
        return (round(server, 1), round(wall, 1)), ratio

    def _lap_us(self, batch: int, jobs: int) -> tuple[float, float]:
        """(server µs, wall µs) a job over so many, which come in beforehand: the room stays as full as it was."""
        self._fill(jobs)
        for _ in range(3):
            self._work(batch)
        spent, began, granted = ScriptTime(self._client), time.perf_counter(), 0
        while granted < jobs - 3 * batch:
            granted += self._work(batch)
        wall = (time.perf_counter() - began) * 1e6 / granted
        return spent.lap_us() / granted, wall

    def _block(self, share: float) -> None:
        """Close a share of the tenants by a limit of one request an hour, and let each be tried."""
        closed = int(self._case.tenants * share)
        for start in range(0, closed, 1_000):
            limits = tuple(_limit(f"t{tenant}:0", 1) for tenant in range(start, min(start + 1_000, closed)))
            self._gate.configure(Configuration(1, limits))
        self._open = range(closed, self._case.tenants)
        for _ in range(2 * closed // 50):
            self._fill(50)
            self._work(50)


def _median(figures: Iterable[float], digits: int = 1) -> float:
    return round(statistics.median(figures), digits)


def _wall_us(call: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) * 1e6 / count


def _limit(name: str, amount: int = PLENTY) -> LimitRecord:
    """Requests, tokens and places, as a scope has them; `name` ends in its number."""
    metric = (Metric.REQUESTS, Metric.TOKENS, Metric.CONCURRENCY)[int(name[-1])]
    level = Level.SHARED if name[0] in "adg" else Level.TENANT if name[1].isdigit() else Level.LEAF
    if metric == Metric.CONCURRENCY:
        return LimitRecord(name, Kind.CONCURRENCY, metric, amount, level)
    window_ms = 3_600_000 if amount == 1 else 60_000
    return LimitRecord(name, Kind.WINDOW, metric, amount, level, window_ms=window_ms, guard_ms=500 if name[0] in "ad" else 0)
