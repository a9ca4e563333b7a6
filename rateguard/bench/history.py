"""A past for benchmarks: tenants with keys, models and deployments, and jobs of the last 30 days as settle would have written them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

TENANTS = 1_000
MODELS = 6
DEPLOYMENTS = 12
DAYS = 30
AT_ONCE = 100_000

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_DRAW = "draw"


def make_world() -> None:
    """Tenants by number, each with a key and a budget; models with two deployments each."""
    from tenants import models  # noqa: PLC0415 - Django is ready by now
    from tenants.keys import issue_key  # noqa: PLC0415 - as above

    tenants = models.Tenant.objects.bulk_create([models.Tenant(name=f"tenant-{number:04}") for number in range(1, TENANTS + 1)])
    scopes = models.Scope.objects.bulk_create([models.Scope(kind="tenant", tenant=tenant) for tenant in tenants])
    models.Budget.objects.bulk_create([models.Budget(scope=scope, amount=500 * 10**9, period="month") for scope in scopes])
    models.ApiKey.objects.bulk_create(
        [models.ApiKey(tenant=tenant, name="bench", prefix=f"rg_{tenant.pk:09}", digest=f"{tenant.pk:064}") for tenant in tenants[1:]]
    )
    issue_key(tenants[0], "bench", is_operator=True)
    account = models.ProviderAccount.objects.create(name="bench", provider="sim", base_url="http://127.0.0.1:9/v1", credentials="sk-bench")
    models.Limit.objects.create(account=account, metric="requests", kind="window", amount=600, window_ms=60_000)
    routes = [models.ModelRoute.objects.create(name=f"model-{number}") for number in range(1, MODELS + 1)]
    for route in routes:
        models.Price.objects.create(
            provider="sim", model=route.name, valid_from="2020-01-01T00:00Z", input_pico=150_000, output_pico=600_000
        )
    for number in range(1, DEPLOYMENTS + 1):
        upstream = routes[(number - 1) % MODELS].name
        deployment = models.Deployment.objects.create(account=account, name=f"deployment-{number}", upstream_model=upstream)
        models.RouteTarget.objects.create(route=routes[(number - 1) % MODELS], deployment=deployment, position=number)


def add_jobs(first: int, last: int, days: float = DAYS) -> None:
    """Jobs of the last so many days with these numbers, and all that hangs on them; then the planner's statistics. PostgreSQL alone."""
    from django.db import connection, transaction  # noqa: PLC0415 - as above

    from tenants.models import ApiKey, Tenant  # noqa: PLC0415 - as above

    tenant = Tenant.objects.order_by("pk")[0].pk
    key = ApiKey.objects.filter(tenant__gt=tenant).order_by("pk")[0].pk - tenant - 1
    for begin in range(first, last + 1, AT_ONCE):
        with transaction.atomic(), connection.cursor() as cursor:
            for name, statement in _statements().items():
                given: list[Any] = [key, TENANTS, days, begin, min(last, begin + AT_ONCE - 1)]
                cursor.execute(statement, given if name == _DRAW else [])
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze")


def add_waiting(count: int) -> None:
    """Jobs that wait, through the submit that every door uses."""
    from rateguard.engine.providers.base import Endpoint  # noqa: PLC0415 - as above
    from rateguard.jobs.intake.submission import Submission  # noqa: PLC0415 - as above
    from rateguard.jobs.intake.submit import submit_many  # noqa: PLC0415 - as above
    from tenants.models import Tenant  # noqa: PLC0415 - as above

    tenants = list(Tenant.objects.order_by("pk")[:20])
    for begin in range(0, count, 500):
        submit_many(
            [
                Submission(
                    tenant=tenants[number % len(tenants)],
                    endpoint=Endpoint.CHAT,
                    body={"model": f"model-{1 + number % MODELS}", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16},
                    user=f"user-{number % 40}",
                )
                for number in range(begin, min(count, begin + 500))
            ]
        )


def add_parked(count: int) -> None:
    """Jobs that wait, as insert would have written them, before limits that they wait for; the gate is to be built from them afterwards."""
    from django.db import connection, transaction  # noqa: PLC0415 - Django is ready by now

    from tenants.models import Tenant  # noqa: PLC0415 - as above

    first = Tenant.objects.order_by("pk")[0].pk
    for begin in range(0, count, AT_ONCE):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_PARKED, [first, TENANTS, begin, min(count, begin + AT_ONCE) - 1])


_PARKED = """
insert into rateguard_jobs_job (id, tenant_id, model, endpoint, lane, state, request, path, input_tokens, output_tokens, max_output_tokens,
    "user", team, rolegroup, role, cost_center, labels, metadata, downgraded_from, request_id, via, submitted_at, queued_at, timeout_s,
    max_tries, delivery, attempt, tries, abandoned, holder, cancel_requested, error_code, error_message, deployment, used_input_tokens,
    used_output_tokens, nano_usd, request_hash)
select gen_random_uuid(), tenant, 'model-' || (1 + number %% 6), 'chat', 1 + (number %% 5)::smallint, 'queued', '{"messages": []}',
    tenant || '|user:user-' || (number %% 40), 100, 50, 512, 'user-' || (number %% 40), '', '', '', '', '{}', '{}', '',
    'w-' || number, 'rest',
    at, at, 600, 5, 'at_least_once', 0, 0, 0, '', false, '', '', '', 0, 0, 0, ''
from (
    select number, %s + number %% %s as tenant, statement_timestamp() - (3600 + number %% 3600) * interval '1 second' as at
    from generate_series(%s::bigint, %s::bigint) as number
) as placed
"""


def _statements() -> dict[str, str]:
    pieces = _NAME.split((Path(__file__).parent / "history.sql").read_text(encoding="utf-8"))[1:]
    return dict(zip(pieces[::2], (text.strip() for text in pieces[1::2]), strict=True))
