"""`bench dashboard`: every page of the dashboard and every list of the admin, with 10,000 jobs and entries and with 1,000,000.

PostgreSQL, Valkey and a web process as in production; 1,000 tenants, 30 days, some jobs waiting. Each page is loaded one time after
another by an operator and, where it differs, by a member of the busiest tenant; both sizes are measured in one run, so that the ratio
(`flatness`) holds where the machine is slow. Statements are counted in this process, on the same database.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import redis

from rateguard.bench.doors import web_process
from rateguard.bench.history import DAYS, TENANTS, add_jobs, add_waiting, make_world
from rateguard.bench.report import Figures, Report, versions
from rateguard.bench.scene import django_on, postgres_version, quantile
from rateguard.bench.servers import POSTGRES, bench_valkey, server_version
from rateguard.embedded.postgres import start_postgres

SMALL, LARGE = 10_000, 1_000_000
WAITING = 500
LOADS = 30
WARM_UP = 3
AIMS = {"worst_p95_ms": "≤ 150", "worst_queries": "≤ 15", "flatness": "≤ 1.5"}
OPERATOR, MEMBER = "operator", "member"


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """An address, who looks at it, and what it is called where the address is another with each size."""

    address: str
    who: str = OPERATOR
    name: str = ""

    def __str__(self) -> str:
        name = self.name or self.address
        return name if self.who == OPERATOR else f"{name} ({self.who})"


def run(*, is_quick: bool = False) -> Report:
    """Run the benchmark in a process of its own (settings are read once a process) and report it."""
    argv = [sys.executable, "-m", "rateguard.bench.dashboard", *(["--quick"] if is_quick else [])]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    tables = [
        Figures(
            "The pages for people", ("metric", "aim", "seen"), [(name, AIMS.get(name), value) for name, value in found["metrics"].items()]
        ),
        Figures("Each page", ("page", "p50 small, ms", "p50, ms", "p95, ms", "ratio", "statements"), found["pages"]),
    ]
    return Report("dashboard", found["metrics"], versions(**found["servers"]), tables)


def measure(*, is_quick: bool) -> dict[str, Any]:
    """Both sizes on servers of our own. Returns the metrics, a row a page and the servers' versions."""
    small, large, loads = (1_000, 20_000, 5) if is_quick else (SMALL, LARGE, LOADS)
    with tempfile.TemporaryDirectory(prefix="rateguard-bench-") as folder, bench_valkey() as valkey:
        postgres = start_postgres(fsync=True, settings={**POSTGRES, "max_wal_size": "4GB"})
        try:
            environment = {
                "DATABASE_URL": postgres.create_database("bench"),
                "REDIS_URL": valkey.url,
                "RATEGUARD_LOG_LEVEL": "WARNING",
                "RATEGUARD_STATE_DIR": folder,
                "ALLOWED_HOSTS": "127.0.0.1,testserver",
                "DJANGO_SETTINGS_MODULE": "rateguard.settings",
            }
            with django_on(environment):
                found = _both_sizes(environment, small, large, loads)
                with redis.Redis.from_url(valkey.url) as client:
                    return {**found, "servers": {"server": server_version(client), "postgresql": postgres_version()}}
        finally:
            postgres.stop()


def _both_sizes(environment: dict[str, str], small: int, large: int, loads: int) -> dict[str, Any]:
    _prepare()
    cookies = {OPERATOR: _session(_operator()), MEMBER: _session(_member())}
    add_jobs(
        1, small, DAYS * small / large
    )  # as many a day as later: a page of the last hours is as full with a short past as with a long one
    before = _all_times(environment, cookies, loads)
    add_jobs(small + 1, large)
    after = _all_times(environment, cookies, loads)
    statements = {str(page): _statements(page, cookies) for page in _pages()}
    rows = [_row(name, before[name], after[name], statements[name]) for name in after]
    metrics = {
        "worst_p95_ms": max(row[3] for row in rows),
        "worst_queries": max(row[5] for row in rows),
        "flatness": max(row[4] for row in rows),
        "jobs": large,
        "tenants": TENANTS,
    }
    return {"metrics": metrics, "pages": rows}


def _all_times(environment: dict[str, str], cookies: dict[str, str], loads: int) -> dict[str, list[float]]:
    """The times of every page, from a web process that has seen nothing before."""
    with web_process(environment) as (_, port):
        return {str(page): _times(port, page, cookies, loads) for page in _pages()}


def _row(name: str, before: Sequence[float], after: Sequence[float], statements: int) -> tuple[str, float, float, float, float, int]:
    was, now = statistics.median(before), statistics.median(after)
    return name, round(was, 1), round(now, 1), quantile(list(after), 0.95), round(now / was, 2), statements


# ---- the world


def _prepare() -> None:
    from rateguard import wiring  # noqa: PLC0415 - Django is ready by now
    from rateguard.jobs.line.pump import process_pump  # noqa: PLC0415 - as above
    from rateguard.jobs.upkeep.rebuild import rebuild  # noqa: PLC0415 - as above

    make_world()
    rebuild(wiring.gate())
    add_waiting(WAITING)
    process_pump().flush(30.0)


def _operator() -> Any:
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - as above

    return get_user_model().objects.create_superuser("operator")


def _member() -> Any:
    """An owner of the busiest tenant."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - as above

    from tenants.models import Member, MemberRole, Tenant  # noqa: PLC0415 - as above

    user = get_user_model().objects.create_user("member")
    Member.objects.create(user=user, tenant=Tenant.objects.order_by("pk")[0], role=MemberRole.OWNER)
    return user


def _session(user: Any) -> str:
    """The cookie of somebody who signed in."""
    from django.conf import settings  # noqa: PLC0415 - as above
    from django.test import Client  # noqa: PLC0415 - as above

    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def _pages() -> Iterator[Page]:
    """Every page with every filter that has its own way through the data."""
    from django.urls import reverse  # noqa: PLC0415 - as above

    from rateguard.jobs.models import Job  # noqa: PLC0415 - as above

    now, tenants, jobs = (reverse(f"dashboard:{name}") for name in ("now", "tenants", "jobs"))
    tenant = reverse("dashboard:tenant", args=["tenant-0001"])
    for who in (OPERATOR, MEMBER):
        yield Page(now, who)
        yield from (Page(f"{tenants}{query}", who) for query in ("", "?sort=cost"))
        yield from (Page(f"{tenant}{query}", who) for query in ("", "?span=30d", "?span=30d&by=deployment", "?span=30d&by=user"))
        yield from (Page(f"{jobs}{query}", who) for query in _job_filters())
        done = Job.objects.filter(tenant__name="tenant-0001", state="succeeded")[0]
        yield Page(reverse("dashboard:job", args=[done.pk]), who, "a job's page")
    for model in ("job", "attempt", "jobevent"):
        yield Page(reverse(f"admin:rateguard_jobs_{model}_changelist"))
    for model in ("ledgerentry", "limit", "budget", "tenant", "apikey", "deployment"):
        yield Page(reverse(f"admin:rateguard_tenants_{model}_changelist"))


def _job_filters() -> tuple[str, ...]:
    return (
        "",
        "?state=failed",
        "?model=model-3",
        "?tenant=tenant-0001",
        "?user=user-7",
        "?label=feature%3Df-2",
        "?state=queued",
        "?lane=high",
    )


# ---- measuring


def _times(port: int, page: Page, cookies: dict[str, str], loads: int) -> list[float]:
    """Milliseconds of each load, the first few left out. Raises AssertionError for a page that is not there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took = []
    for _ in range(loads + WARM_UP):
        began_at = time.perf_counter()
        connection.request("GET", page.address, headers={"Cookie": cookies[page.who]})
        response = connection.getresponse()
        response.read()
        took.append((time.perf_counter() - began_at) * 1000)
        if response.status != 200:
            raise AssertionError(f"{page}: {response.status}")
    connection.close()
    return took[WARM_UP:]


def _statements(page: Page, cookies: dict[str, str]) -> int:
    from django.db import connection  # noqa: PLC0415 - as above
    from django.test import Client  # noqa: PLC0415 - as above
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415 - as above

    client = Client(headers={"cookie": cookies[page.who]})
    client.get(page.address)
    with CaptureQueriesContext(connection) as seen:
        client.get(page.address)
    return len(seen)


if __name__ == "__main__":
    print(json.dumps(measure(is_quick="--quick" in sys.argv)))
