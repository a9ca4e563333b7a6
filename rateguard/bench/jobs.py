"""`bench jobs`: what a durable, limited, billed job costs, beside a bare Celery no-op on the same machine in the same run.

One worker process on PostgreSQL with fsync, Valkey with AOF, the simulated provider in its own process. Three rounds, interleaved with
rounds of no-ops (prefork at the number of cores, JSON, results ignored, early acknowledgement, no gossip, mingle or events); medians.
CPU is the worker's process and its children, without publishing on either side; the servers' is counted apart.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from rateguard.bench.cpu import cpu_ms, tree_cpu_ms
from rateguard.bench.report import Figures, Report, versions
from rateguard.bench.rows import run as with_rows
from rateguard.bench.scene import KEY, MODEL, body, django_on, make_tenant, postgres_version, quantile
from rateguard.bench.servers import POSTGRES, bench_valkey, server_version
from rateguard.embedded.postgres import PostgresServer, start_postgres
from rateguard.embedded.process import end
from rateguard.embedded.valkey import ValkeyServer
from rateguard.engine.providers.sim.config import ModelPrice
from rateguard.engine.providers.sim.process import SimHandle, start_simprovider

ROUNDS = 3
WARM_UP = 2_000
LIGHT_JOBS = 300
LIGHT_PER_S = 30.0
READY_S = 60.0
DONE_S = 120.0


def run(*, is_quick: bool = False, rows: int = 0) -> Report:
    """Run the benchmark in a process of its own (settings are read once a process) and report it. rows: see rateguard.bench.rows."""
    if rows:
        return with_rows(rows, is_quick=is_quick)
    argv = [sys.executable, "-m", "rateguard.bench.jobs", *(["--quick"] if is_quick else [])]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    lines = [(name, value) for name, value in found["metrics"].items()]
    return Report(
        "jobs", found["metrics"], versions(**found["servers"]), [Figures("A durable, limited, billed job", ("metric", "value"), lines)]
    )


def measure(*, is_quick: bool) -> dict[str, Any]:
    """All rounds on servers of our own. Returns the metrics and the servers' versions."""
    count = 1_000 if is_quick else 5_000
    with _servers() as servers, django_on(servers.environment):
        scene = _Scene(servers)
        ours, noops, light = _rounds(servers, scene, count, 1 if is_quick else ROUNDS)
        names = {"server": _valkey_version(servers), "postgresql": postgres_version()}
    cpu, noop = (statistics.median(found["cpu_ms_per_job"] for found in rounds) for rounds in (ours, noops))
    metrics = {
        "jobs_per_s": round(statistics.median(found["jobs_per_s"] for found in ours), 1),
        "cpu_ms_per_job": round(cpu, 3),
        "server_cpu_ms": round(statistics.median(found["server_cpu_ms"] for found in ours), 3),
        "noop_cpu_ms": round(noop, 3),
        "cpu_ratio_to_noop": round(cpu / noop, 3),
        **light,
    }
    return {"metrics": metrics, "servers": names}


Round = dict[str, float]


def _rounds(servers: _Servers, scene: _Scene, count: int, rounds: int) -> tuple[list[Round], list[Round], Round]:
    """Rounds of jobs and of no-ops by turns, both workers warm; and the light load before them."""
    ours, noops = [], []
    with _worker(servers, ["-A", "rateguard"], {}) as worker, _worker(servers, _NOOP, _PREFORK) as bare:
        scene.run_jobs(worker, WARM_UP)
        light = scene.run_light(LIGHT_JOBS)
        _run_noops(bare, WARM_UP)
        for _ in range(rounds):
            noops.append(_run_noops(bare, count))
            ours.append(scene.run_jobs(worker, count))
    return ours, noops, light


def _valkey_version(servers: _Servers) -> str:
    with redis.Redis.from_url(servers.valkey.url) as client:
        return server_version(client)


_NOOP = ["-A", "rateguard.bench.noop", "-P", "prefork", "-c", str(os.cpu_count() or 2)]
_PREFORK = {"RATEGUARD_WORKER_POOL": "prefork"}


class _Servers:
    def __init__(self, postgres: PostgresServer, valkey: ValkeyServer, provider: SimHandle, state: Path) -> None:
        self.postgres, self.valkey, self.provider, self.state = postgres, valkey, provider, state
        self.environment = {
            "DATABASE_URL": postgres.create_database("bench"),
            "REDIS_URL": valkey.url,
            "RATEGUARD_LOG_LEVEL": "WARNING",
            "RATEGUARD_STATE_DIR": str(state),
            "DJANGO_SETTINGS_MODULE": "rateguard.settings",
        }

    def cpu_ms(self) -> float:
        return tree_cpu_ms(self.postgres.pid) + cpu_ms(self.valkey.pid)


@contextlib.contextmanager
def _servers() -> Iterator[_Servers]:
    with contextlib.ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rateguard-bench-")))
        postgres = start_postgres(fsync=True, settings=POSTGRES)
        stack.callback(postgres.stop)
        valkey = stack.enter_context(bench_valkey())
        latency = {"base_ms": 200, "jitter": 0.2, "per_token_ms": 0}
        provider = start_simprovider(keys=[KEY], prices={MODEL: ModelPrice(150_000, 600_000)}, latency=latency)
        stack.callback(provider.stop)
        yield _Servers(postgres, valkey, provider, state)


@contextlib.contextmanager
def _worker(servers: _Servers, app: list[str], extra: dict[str, str]) -> Iterator[int]:
    """A Celery worker's process id, ready."""
    log = servers.state / f"worker-{len(list(servers.state.glob('worker-*')))}.log"
    argv = [sys.executable, "-m", "celery", *app[:2], "worker", *app[2:], "--without-gossip", "--without-mingle", "-l", "warning"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env={**os.environ, **servers.environment, **extra}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process.pid
    finally:
        end(process, grace_s=40)


class _Scene:
    """One tenant with a budget, one account with limits that do not bind, one model: every station does its work."""

    def __init__(self, servers: _Servers) -> None:
        self._servers = servers
        self._tenant = make_tenant(servers.provider.base_url)

    def run_jobs(self, worker: int, count: int) -> dict[str, float]:
        """Submit behind a closed door, open it, and measure until the last job has ended."""
        from rateguard.jobs.intake.submit import submit_many  # noqa: PLC0415

        self._close_door(for_ms=6_000)
        opened_at = time.monotonic() + 6.0
        for _ in range(0, count, 1_000):
            submit_many([self._submission(number) for number in range(min(1_000, count))])
        time.sleep(max(0.0, opened_at - time.monotonic() - 0.2))
        cpu, servers, began_at = tree_cpu_ms(worker), self._servers.cpu_ms(), time.monotonic()
        done_at = self._wait_all_ended(began_at)
        return {
            "jobs_per_s": count / (done_at - began_at),
            "cpu_ms_per_job": (tree_cpu_ms(worker) - cpu) / count,
            "server_cpu_ms": (self._servers.cpu_ms() - servers) / count,
        }

    def run_light(self, count: int) -> dict[str, float]:
        """Jobs at a slow, even pace: how long accepting takes, and how long from the commit to the provider's door."""
        from rateguard.jobs.intake.submit import submit  # noqa: PLC0415

        accepts, committed = [], {}
        for number in range(count):
            began_at = time.monotonic()
            job = submit(self._submission(number)).job
            accepts.append((time.monotonic() - began_at) * 1000)
            committed[str(job.pk)] = time.time() * 1000
            time.sleep(1 / LIGHT_PER_S)
        self._wait_all_ended(time.monotonic())
        arrived = {arrival.attempt_id.partition(".")[0]: arrival.arrived_ms for arrival in self._servers.provider.control.log()}
        dispatch = [arrived[job] - at for job, at in committed.items()]
        return {
            "accept_p99_ms": quantile(accepts, 0.99),
            "dispatch_p50_ms": quantile(dispatch, 0.50),
            "dispatch_p99_ms": quantile(dispatch, 0.99),
        }

    def _submission(self, number: int) -> Any:
        from rateguard.engine.providers.base import Endpoint  # noqa: PLC0415
        from rateguard.jobs.intake.submission import Submission  # noqa: PLC0415

        return Submission(tenant=self._tenant, endpoint=Endpoint.CHAT, body=body(number), user=f"user-{number % 50}")

    def _close_door(self, for_ms: int) -> None:
        """A cooldown of the account: jobs wait in the room until it ends, then the worker's timer opens it."""
        import uuid  # noqa: PLC0415

        from rateguard import wiring  # noqa: PLC0415
        from rateguard.engine.gate.contract import Cooldown, ReservationId, Settlement, Step  # noqa: PLC0415

        target = wiring.account_target(next(iter(wiring.directory().places.values())).account_id)
        nobody = Settlement(ReservationId(uuid.uuid4(), 1), used=False, cooldown=Cooldown(target, for_ms))
        wiring.gate().step(Step(uuid.uuid4().hex, 1, settle=(nobody,)))

    def _wait_all_ended(self, began_at: float) -> float:
        from rateguard.jobs.models import Job  # noqa: PLC0415

        while Job.objects.filter(state__in=["queued", "running", "scheduled"]).exists():
            if time.monotonic() - began_at > DONE_S:
                raise TimeoutError(f"jobs still wait after {DONE_S:.0f} s; logs are in {self._servers.state}")
            time.sleep(0.1)
        return time.monotonic()


def _run_noops(worker: int, count: int) -> dict[str, float]:
    """Publish no-ops and measure the worker until the queue is empty and all of them ran."""
    from rateguard.bench.noop import app, noop  # noqa: PLC0415

    before = _noops_done()
    cpu, began_at = tree_cpu_ms(worker), time.monotonic()
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            noop.apply_async(producer=producer)
    while _noops_done() - before < count:
        if time.monotonic() - began_at > DONE_S:
            raise TimeoutError("the no-ops do not end")
        time.sleep(0.2)
    return {"cpu_ms_per_job": (tree_cpu_ms(worker) - cpu) / count}


def _noops_done() -> int:
    """How many no-ops the worker ran, as it says itself."""
    from rateguard.bench.noop import app, noop  # noqa: PLC0415

    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        answers = app.control.inspect(timeout=1.0, limit=1).stats() or {}
        for stats in answers.values():
            return int(stats["total"].get(noop.name, 0))
    raise TimeoutError("the worker of the no-ops does not answer")


if __name__ == "__main__":
    print(json.dumps(measure(is_quick="--quick" in sys.argv)))
