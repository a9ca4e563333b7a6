"""A tenant of somebody else's, with one row of everything, each of which bears a mark: no other tenant's people may ever read one.

`from tests.foreign import FOREIGN, MARKS, make_foreign`.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.db import models
from django.utils import timezone

from rateguard.jobs.models import Attempt, Hindrance, Job, JobEvent, WebhookMessage
from tenants.changes import audit
from tenants.changes.actor import Actor
from tenants.models import (
    ApiKey,
    AuditAction,
    Budget,
    Deployment,
    GateEvent,
    LedgerEntry,
    Limit,
    Member,
    ModelRoute,
    Pause,
    Price,
    ProviderAccount,
    RouteTarget,
    Run,
    Scope,
    Tenant,
    UsageDay,
    UsageQuarter,
    UsageQuarterBin,
    WebhookEndpoint,
)

FOREIGN = "wumpus"
"""The tenant's name; every other name of its begins with it or with `grue`."""
DOLLARS, TOKENS, NUMBER = 7_131_517, 9_192_939, 7_654_321
"""Figures that stand nowhere else: a cost, tokens, and the number of every row that has one."""
JOB, RUN = uuid.UUID("01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e"), uuid.UUID("6d1f4a0c-5c1a-4d3b-9f60-01936f2e2b7e")
PERSON = "grue-ann"
MARKS = (
    FOREIGN,
    "grue",
    str(JOB),
    str(RUN),
    *(form.format(figure) for figure in (DOLLARS, TOKENS, NUMBER) for form in ("{}", "{:,}")),
    f"{DOLLARS / 10**6:.1f} M",
    f"{TOKENS / 10**6:.1f} M",
)


def make_foreign() -> dict[type[models.Model], object]:
    """One row of everything. Gives the key of each by its model."""
    tenant = Tenant.objects.create(pk=NUMBER, name=FOREIGN, weight=317)
    made: list[models.Model] = [tenant, *_people(tenant), *_configuration(tenant)]
    key = next(row for row in made if isinstance(row, ApiKey))
    made += [*_work(tenant, key), *_books(tenant, key)]
    audit.note(Actor(f"user {PERSON}"), AuditAction.CREATED, "tenant", (NUMBER, FOREIGN), tenant=tenant, after={"name": "grue"})
    made.append(GateEvent.objects.create(pk=NUMBER, notice="grue-n", kind="breaker", tenant=tenant, subject="grue-s", at=timezone.now()))
    return {type(row): row.pk for row in reversed(made)}


def _people(tenant: Tenant) -> Iterable[models.Model]:
    user = get_user_model().objects.create(pk=NUMBER, username=PERSON, email="grue@example.com")
    yield user
    yield Member.objects.create(pk=NUMBER, tenant=tenant, user=user, role="owner")
    yield ApiKey.objects.create(pk=NUMBER, tenant=tenant, name="grue-key", prefix="rg_grue-key9", digest="grue-digest")


def _configuration(tenant: Tenant) -> Iterable[models.Model]:
    account = ProviderAccount.objects.create(
        pk=NUMBER, name="grue-account", provider="openai", base_url="https://grue.example.com/v1", credentials="sk-grue", tenant=tenant
    )
    deployment = Deployment.objects.create(pk=NUMBER, account=account, name="grue-deployment", upstream_model="grue-1")
    route, _ = ModelRoute.objects.get_or_create(name="m-1")
    scope = Scope.objects.create(pk=NUMBER, tenant=tenant, kind="team", name="grue-team")
    yield from (tenant, account, deployment, scope)
    yield RouteTarget.objects.create(pk=NUMBER, route=route, deployment=deployment, position=71)
    yield Limit.objects.create(pk=NUMBER, scope=scope, metric="requests", amount=NUMBER, window_ms=60_000)
    yield Budget.objects.create(pk=NUMBER, scope=scope, amount=DOLLARS * 10**9)
    yield Run.objects.create(pk=RUN, tenant=tenant, name="grue-run", budget_nano_usd=DOLLARS * 10**9, max_calls=NUMBER)
    yield Pause.objects.create(pk=NUMBER, target_kind="run", target=str(RUN), reason="grue-reason")
    yield WebhookEndpoint.objects.create(
        pk=NUMBER, tenant=tenant, name="grue-hook", url="https://grue.example.com/hook", secret="whsec_grue"
    )
    yield Price.objects.create(pk=NUMBER, provider="openai", model="m-1", valid_from=timezone.now(), input_pico=1, output_pico=1)


def _work(tenant: Tenant, key: ApiKey) -> Iterable[models.Model]:
    done = timezone.now() - dt.timedelta(minutes=1)
    job = Job.objects.create(
        pk=JOB, tenant=tenant, model="m-1", endpoint="chat", state="succeeded", finished_at=done, started_at=done,
        request=json.dumps({"messages": [{"role": "user", "content": "grue-question"}]}), result=json.dumps({"grue": "answer"}),
        path=f"tenant:{FOREIGN}", run=RUN, input_tokens=TOKENS, output_tokens=TOKENS, max_output_tokens=TOKENS, user="grue-user",
        team="grue-team", cost_center="grue-center", labels={"grue": "label"}, metadata={"grue": "meta"}, api_key_id=key.pk,
        timeout_s=60, max_tries=5, attempt=1, holder="grue-holder", error_message="", deployment="grue-deployment",
        used_input_tokens=TOKENS, used_output_tokens=TOKENS, nano_usd=DOLLARS * 10**9, latency_ms=NUMBER, queue_ms=NUMBER,
        idempotency_key="grue-key",
    )  # fmt: skip
    yield job
    yield Attempt.objects.create(
        pk=NUMBER, reservation_id=JOB, number=1, job=job, tenant=tenant, state="succeeded", model="m-1", deployment_id=NUMBER,
        deployment="grue-deployment", holder="grue-holder", reserved_input_tokens=1, reserved_output_tokens=1,
        reserved_max_output_tokens=1, reserved_nano_usd=DOLLARS * 10**9, finished_at=done, input_tokens=TOKENS, output_tokens=TOKENS,
        nano_usd=DOLLARS * 10**9, provider_request_id="grue-request",
    )  # fmt: skip
    yield JobEvent.objects.create(pk=NUMBER, job=job, kind="succeeded", detail={"grue": "detail"})
    yield Job.objects.create(
        tenant=tenant, model="m-1", endpoint="chat", state="queued", request="{}", path="", input_tokens=TOKENS,
        output_tokens=1, max_output_tokens=1, user="grue-waits", timeout_s=60, max_tries=5,
    )  # fmt: skip
    yield WebhookMessage.objects.create(
        tenant=tenant, endpoint_id=NUMBER, job=job, kind="job.succeeded", body='{"grue": "body"}', state="dead", last_error="grue-error"
    )
    yield Hindrance.objects.create(
        pk=NUMBER, model="m-1", lane=3, kind="limit", scope_kind="team", scope="grue-team", limit_id="grue-limit", text="7654321/min",
        tenant=tenant, node="team:grue-team", jobs=NUMBER, most_jobs=NUMBER,
    )  # fmt: skip


def _books(tenant: Tenant, key: ApiKey) -> Iterable[models.Model]:
    cost = DOLLARS * 10**9
    yield LedgerEntry.objects.create(
        pk=NUMBER, tenant=tenant, job_id=JOB, reservation_id=JOB, attempt=1, kind="charge", nano_usd=cost, input_tokens=TOKENS,
        output_tokens=TOKENS, model="m-1", deployment="grue-deployment", api_key_id=key.pk, team="grue-team", user="grue-user", run=RUN,
        cost_center="grue-center", labels={"grue": "label"},
    )  # fmt: skip
    now = timezone.now()
    quarter = UsageQuarter.objects.create(
        pk=NUMBER, tenant=tenant, model="m-1", deployment="grue-deployment", api_key_id=key.pk, team="grue-team",
        starts_at=now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0), jobs=NUMBER, succeeded=NUMBER,
        input_tokens=TOKENS, output_tokens=TOKENS, nano_usd=cost,
    )  # fmt: skip
    yield quarter
    yield UsageQuarterBin.objects.create(pk=NUMBER, quarter=quarter, measure=1, bin=7, count=NUMBER)
    for dimension, value in (("user", "grue-user"), ("label", "grue=label")):
        yield UsageDay.objects.create(
            tenant=tenant, day=now.date(), dimension=dimension, value=value, jobs=NUMBER, input_tokens=TOKENS, nano_usd=cost
        )
