"""`bench doors`: how fast jobs come in, by `POST /api/v1/jobs` and by batches at one web process, and by `.delay()` in one thread.

What others notice while very many come, and how fast a full queue says no, is measured beside it (see `flood`).

PostgreSQL with fsync, Valkey with AOF, prompts of GSM8K, a tenant with a key, limits and a budget that do not bind; nobody works the jobs
off. Each round has its own measure of the machine, taken right beside it: answers to `/healthz` by the same web process, and bare
transactions of one row. Medians of the rounds; ratios hold where absolute values do not.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import redis

from rateguard.bench.batches import batches, jsonl
from rateguard.bench.cpu import cpu_ms
from rateguard.bench.flood import flood, refusals
from rateguard.bench.load import Callers
from rateguard.bench.report import Figures, Report, versions
from rateguard.bench.scene import MODEL, body, django_on, make_tenant, postgres_version, prompts
from rateguard.bench.servers import POSTGRES, bench_valkey, server_version
from rateguard.embedded.postgres import start_postgres
from rateguard.embedded.process import end, free_port

ROUNDS = 3
CONNECTIONS = 8
IN_ONE = 500
"""Jobs in one transaction: by bulk submit (`delay_many`, as `map` does it), and by as many single calls."""
START_S = 60.0

AIMS = {
    "post_jobs_per_s": "≥ 150",
    "post_p99_ms": "≤ 100",
    "delay_per_s": "≥ 300",
    "delay_bulk_per_s": "≥ 2,000",
    "batch_jobs_per_s": "≥ 5,000",
    "web_peak_mb": "≤ 300",
    "flood_health_p99_ms": "≤ 100",
    "flood_get_p99_ms": "≤ 250",
    "refused_p99_ms": "≤ 50",
}

Round = dict[str, float]


def run(*, is_quick: bool = False) -> Report:
    """Run the benchmark in a process of its own (settings are read once a process) and report it."""
    argv = [sys.executable, "-m", "rateguard.bench.doors", *(["--quick"] if is_quick else [])]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    rows = [(name, AIMS.get(name), value) for name, value in found["metrics"].items()]
    return Report("doors", found["metrics"], versions(**found["servers"]), [Figures("Jobs come in", ("metric", "aim", "seen"), rows)])


def measure(*, is_quick: bool) -> dict[str, Any]:
    """All rounds on servers of our own. Returns the metrics and the servers' versions."""
    seconds, calls, rounds = (2.0, 200, 1) if is_quick else (10.0, 1_000, ROUNDS)
    load = os.getloadavg()[0]
    with _site() as (environment, valkey_version):
        tenant = make_tenant("http://127.0.0.1:9")
        with web_process(environment) as (pid, port):
            posts = _posts(pid, port, _secret(tenant), seconds, rounds)
        with web_process(environment) as (pid, port):
            many = batches(pid, port, _secret(tenant), rounds, is_quick=is_quick)
        with web_process(environment) as (pid, port):
            flooded = [flood(pid, port, _secret(tenant), jsonl, is_quick=is_quick)]
        with web_process({**environment, "RATEGUARD_MAX_WAITING_IN_ALL": "1"}) as (_, port):
            flooded = [{**flooded[0], **refusals(port, _secret(tenant), is_quick=is_quick)}]
        delays = [_delays(tenant.name, calls, number) for number in range(rounds + 1)][1:]  # the first warms up
        names = {"server": valkey_version, "postgresql": postgres_version()}
    found = {name: round(statistics.median(one[name] for one in of), 2) for of in (posts, many, flooded, delays) for name in of[0]}
    order = [*AIMS, *(name for name in found if name not in AIMS)]
    return {"metrics": {**{name: found[name] for name in order}, "load": round(load, 1)}, "servers": names}


# ---- the web process


def _posts(pid: int, port: int, secret: str, seconds: float, rounds: int) -> list[Round]:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    bodies = [orjson.dumps({**body(number), "job": {"user": f"user-{number % 50}"}}) for number in range(len(prompts()))]
    callers = Callers(port, "POST", "/api/v1/jobs", headers, lambda number: bodies[number % len(bodies)])
    plain = Callers(port, "GET", "/healthz", {}, lambda _: b"")
    callers.flat_out(CONNECTIONS, 1.0)
    return [_round(pid, callers, plain, seconds) for _ in range(rounds)]


def _round(pid: int, callers: Callers, plain: Callers, seconds: float) -> Round:
    before_ms = cpu_ms(pid)
    flat_out = callers.flat_out(CONNECTIONS, seconds)
    cpu = (cpu_ms(pid) - before_ms) / len(flat_out.took_ms)
    healthz_per_s = plain.flat_out(CONNECTIONS, 1.0).per_s
    paced = callers.paced(flat_out.per_s / 2, seconds)
    return {
        "post_jobs_per_s": flat_out.per_s,
        "post_p99_ms": paced.quantile_ms(0.99),
        "post_p50_ms": paced.quantile_ms(0.50),
        "post_cpu_ms": cpu,
        "healthz_per_s": healthz_per_s,
        "post_ratio_to_healthz": healthz_per_s / flat_out.per_s,
    }


@contextlib.contextmanager
def web_process(environment: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """A web process that answers: its id and its port."""
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "rateguard.asgi:application", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(argv, env={**os.environ, **environment}, start_new_session=True)
    try:
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError("the web process does not start")
            time.sleep(0.05)
        yield process.pid, port
    finally:
        end(process, grace_s=20)


# ---- `.delay()`


def _delays(tenant: str, calls: int, number: int) -> Round:
    from django.db import transaction  # noqa: PLC0415 - Django is ready by now

    from rateguard import complete  # noqa: PLC0415 - as above

    known = prompts()

    def call(at: int) -> None:
        complete.delay(known[at % len(known)], model=MODEL, tenant=tenant, user=f"user-{at % 50}", max_tokens=64)

    began_at, cpu = time.perf_counter(), time.process_time()
    for at in range(calls):
        call(number * calls + at)
    single_s, single_cpu = time.perf_counter() - began_at, time.process_time() - cpu
    commits_per_s = _commits_per_s(calls)
    began_at, cpu = time.perf_counter(), time.process_time()
    with transaction.atomic():
        for at in range(IN_ONE):
            call(at)
    together_s, together_cpu = time.perf_counter() - began_at, time.process_time() - cpu
    began_at = time.perf_counter()
    complete.delay_many(known[:IN_ONE], model=MODEL, tenant=tenant, max_tokens=64)
    bulk_s = time.perf_counter() - began_at
    return {
        "delay_per_s": calls / single_s,
        "delay_bulk_per_s": len(known[:IN_ONE]) / bulk_s,
        "delay_in_transaction_per_s": IN_ONE / together_s,
        "delay_cpu_ms": single_cpu * 1000 / calls,
        "delay_in_transaction_cpu_ms": together_cpu * 1000 / IN_ONE,
        "commit_per_s": commits_per_s,
        "delay_ratio_to_commit": commits_per_s / (calls / single_s),
    }


def _commits_per_s(count: int) -> float:
    """Transactions that insert a row of this size and do nothing else."""
    from django.db import connection, transaction  # noqa: PLC0415 - Django is ready by now

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_commit (id bigserial PRIMARY KEY, body text)")
        began_at = time.perf_counter()
        for _ in range(count):
            with transaction.atomic():
                cursor.execute("INSERT INTO bench_commit (body) VALUES (%s)", ["x" * 500])
        return count / (time.perf_counter() - began_at)


# ---- the site


@contextlib.contextmanager
def _site() -> Iterator[tuple[dict[str, str], str]]:
    """Servers and Django on them: the environment of a web process there, and the server's version."""
    with contextlib.ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="rateguard-bench-"))
        postgres = start_postgres(fsync=True, settings=POSTGRES)
        stack.callback(postgres.stop)
        valkey = stack.enter_context(bench_valkey())
        environment = {
            "DATABASE_URL": postgres.create_database("bench"),
            "REDIS_URL": valkey.url,
            "RATEGUARD_LOG_LEVEL": "ERROR",
            "RATEGUARD_STATE_DIR": str(Path(state)),
            "DJANGO_SETTINGS_MODULE": "rateguard.settings",
        }
        stack.enter_context(django_on(environment))
        with redis.Redis.from_url(valkey.url) as client:
            version = server_version(client)
        yield environment, version


def _secret(tenant: Any) -> str:
    from tenants.keys import issue_key  # noqa: PLC0415 - Django is ready by now

    return issue_key(tenant, secrets.token_hex(4))[1]


if __name__ == "__main__":
    print(json.dumps(measure(is_quick="--quick" in sys.argv)))
