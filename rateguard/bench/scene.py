"""What the benchmarks of the line share: Django on a database of their own, one tenant whose limits do not bind, prompts."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MODEL = "bench-model"
KEY = "sk-bench"
"""The provider account's."""


@contextlib.contextmanager
def django_on(environment: Mapping[str, str]) -> Iterator[None]:
    """Django with this environment, its tables made. Settings are read once, so a benchmark is a process of its own."""
    os.environ.update(environment)
    import django  # noqa: PLC0415 - after the environment is set

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    try:
        yield
    finally:
        for connection in connections.all():
            connection.close()
            close_pool = getattr(connection, "close_pool", None)
            if close_pool is not None:
                close_pool()


def make_tenant(provider_url: str) -> Any:
    """One tenant with a budget, one account with limits that do not bind, one model: every station does its work."""
    from rateguard import wiring  # noqa: PLC0415 - Django is ready by now
    from rateguard.jobs.upkeep.rebuild import rebuild  # noqa: PLC0415
    from tenants import models  # noqa: PLC0415

    tenant = models.Tenant.objects.create(name="bench")
    scope = models.Scope.objects.create(kind="tenant", tenant=tenant)
    models.Budget.objects.create(scope=scope, amount=10**15)
    models.Limit.objects.create(scope=scope, metric="requests", kind="window", amount=10_000_000, window_ms=60_000)
    account = models.ProviderAccount.objects.create(name="bench", provider="sim", base_url=provider_url, credentials=KEY)
    for metric in ("requests", "tokens"):
        models.Limit.objects.create(account=account, metric=metric, kind="window", amount=4_000_000_000, window_ms=60_000)
    deployment = models.Deployment.objects.create(account=account, name=MODEL, upstream_model=MODEL)
    route = models.ModelRoute.objects.create(name=MODEL)
    models.RouteTarget.objects.create(route=route, deployment=deployment)
    models.Price.objects.create(provider="sim", model=MODEL, valid_from="2020-01-01T00:00Z", input_pico=150_000, output_pico=600_000)
    rebuild(wiring.gate())
    return tenant


def body(number: int) -> dict[str, Any]:
    """A request of the run: the prompts by turns."""
    known = prompts()
    return {"model": MODEL, "messages": [{"role": "user", "content": known[number % len(known)]}], "max_tokens": 64}


@functools.cache
def prompts() -> tuple[str, ...]:
    """The demo's questions of GSM8K."""
    path = Path(__file__).parent.parent / "demo" / "data" / "gsm8k_questions.jsonl"
    return tuple(json.loads(line)["prompt"] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("{"))


def quantile(values: list[float], share: float) -> float:
    """The value under which this share of them lies."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


def postgres_version() -> str:
    """As the server says."""
    from django.db import connection  # noqa: PLC0415 - Django is ready by now

    with connection.cursor() as cursor:
        cursor.execute("show server_version")
        return str(cursor.fetchone()[0])
