"""A believable past for pictures and clicks: two months of jobs of four tenants, as settle would have written it, the same in every run."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import random
import uuid
from collections import Counter, defaultdict
from typing import Any

from django.utils import timezone

from rateguard import wiring
from rateguard.engine.histogram import bin_of
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.failures import fingerprint_of
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit_many
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.jobs.upkeep.rebuild import rebuild
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
    UsageDay,
    UsageQuarter,
    UsageQuarterBin,
)

QUARTER_S = 900
DAYS = 61


@dataclasses.dataclass(frozen=True)
class Customer:
    """A tenant of the past: its share of the work, its teams and the people in them."""

    name: str
    weight: int
    share: int
    zone: str
    teams: tuple[str, ...]
    users: tuple[str, ...]
    budget_usd: int


CUSTOMERS = (
    Customer("acme", 3, 46, "Europe/Berlin", ("search", "support", "data"), ("ada", "grace", "linus", "edsger"), 60),
    Customer("globex", 2, 31, "America/New_York", ("growth", "care"), ("barbara", "ken", "radia"), 45),
    Customer("initech", 1, 17, "UTC", ("reports",), ("peter", "samir"), 12),
    Customer("umbrella", 1, 6, "Asia/Kathmandu", ("lab",), ("alice",), 40),
)
MODELS = {
    "gpt-5.4-mini": ("openai-main", 150_000, 600_000),
    "gpt-5.4": ("openai-main", 1_250_000, 10_000_000),
    "claude-haiku-4.5": ("gateway-eu", 1_000_000, 5_000_000),
    "text-embedding-3-small": ("openai-main", 20_000, 0),
}
FEATURES = ("summaries", "triage", "search", "extraction")


@dataclasses.dataclass(frozen=True)
class World:
    """What was made: tenants by name, accounts by name, deployments by model."""

    tenants: dict[str, Tenant]
    accounts: dict[str, ProviderAccount]
    deployments: dict[str, Deployment]


_REFUSED = "the provider refused the request: its content filter was triggered"


def make_world(base_url: str, credentials: str) -> World:
    """Tenants, accounts, deployments, models, prices and budgets; no job yet. Those that are there already are taken."""
    tenants = {
        one.name: Tenant.objects.update_or_create(name=one.name, defaults={"weight": one.weight, "time_zone": one.zone})[0]
        for one in CUSTOMERS
    }
    for one in CUSTOMERS:
        scope, _ = Scope.objects.get_or_create(kind="tenant", tenant=tenants[one.name])
        Budget.objects.create(scope=scope, amount=one.budget_usd * 10**9, period="month")
    names = sorted({account for account, _, _ in MODELS.values()})
    accounts = {
        name: ProviderAccount.objects.create(name=name, provider="sim", base_url=base_url, credentials=credentials) for name in names
    }
    deployments = {}
    for model, (account, input_pico, output_pico) in MODELS.items():
        deployment = Deployment.objects.create(account=accounts[account], name=model.replace(".", "-"), upstream_model=model)
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=model), deployment=deployment)
        Price.objects.create(provider="sim", model=model, valid_from="2020-01-01T00:00Z", input_pico=input_pico, output_pico=output_pico)
        deployments[model] = deployment
    return World(tenants, accounts, deployments)


def make_past(world: World, jobs: int = 4_000) -> None:
    """So many jobs of the last two months, more by day than by night, with everything that hangs on them; then the gate knows of them."""
    chance, now = random.Random(7), timezone.now()
    drawn = sorted((_draw(chance, now, world) for _ in range(jobs)), key=lambda one: one["at"])
    Job.objects.bulk_create([_job(one) for one in drawn])
    Attempt.objects.bulk_create([_attempt(one) for one in drawn])
    JobEvent.objects.bulk_create([event for one in drawn for event in _events(one)])
    LedgerEntry.objects.bulk_create([_entry(one) for one in drawn])
    _roll_up(drawn)
    rebuild(wiring.gate())


def _draw(chance: random.Random, now: dt.datetime, world: World) -> dict[str, Any]:
    customer = chance.choices(CUSTOMERS, [one.share for one in CUSTOMERS])[0]
    model = chance.choices(list(MODELS), (60, 16, 18, 6))[0]
    _, input_pico, output_pico = MODELS[model]
    at = now - dt.timedelta(days=DAYS * chance.random() ** 1.2, minutes=1)
    while chance.random() > 0.55 + 0.45 * math.sin((at.hour - 6) / 24 * 2 * math.pi):
        at -= dt.timedelta(hours=chance.random() * 6)
    is_bad, is_embedding = chance.random() < 0.03, output_pico == 0
    input_tokens, output_tokens = chance.randint(900, 24_000), 0 if is_embedding else chance.randint(150, 4_200)
    latency_ms = chance.randint(60, 180) if is_embedding else int(350 + output_tokens * 1.1 * chance.uniform(0.8, 1.6))
    return {
        "id": uuid.UUID(int=chance.getrandbits(128), version=4),
        "tenant": world.tenants[customer.name],
        "team": chance.choice(customer.teams),
        "user": chance.choice(customer.users),
        "model": model,
        "deployment": world.deployments[model],
        "lane": chance.choices(list(Lane), (2, 10, 60, 20, 8))[0],
        "state": "failed" if is_bad else "succeeded",
        "feature": chance.choice(FEATURES),
        "at": at,
        "queue_ms": int(40 * math.exp(chance.uniform(0, 4.5))),
        "latency_ms": latency_ms,
        "input_tokens": input_tokens,
        "output_tokens": 0 if is_bad else output_tokens,
        "nano_usd": (input_tokens * input_pico + (0 if is_bad else output_tokens) * output_pico + 500) // 1_000,
        "question": chance.choice(QUESTIONS),
    }


QUESTIONS = (
    ("Summarise this ticket in one sentence: the invoice for March was sent twice.", "The customer was billed twice for March."),
    ("Which team should answer: the app signs me out every hour?", "Accounts: it is about sessions."),
    ("Extract the city: deliveries to Kathmandu take two days.", "Kathmandu"),
    ("Is this review positive: quick, quiet, and the battery lasts?", "Yes, it is positive."),
)


def _job(one: dict[str, Any]) -> Job:
    is_good = one["state"] == "succeeded"
    question, answer = one["question"]
    started, ended = _started(one), _ended(one)
    return Job(
        id=one["id"],
        tenant=one["tenant"],
        model=one["model"],
        endpoint="chat",
        lane=one["lane"],
        state=one["state"],
        request=_json({"model": one["model"], "messages": [{"role": "user", "content": question}], "max_tokens": 800}),
        result=_json(_answer(one, answer)) if is_good else None,
        path=f"{one['tenant'].pk}|team:{one['team']}|user:{one['user']}",
        input_tokens=one["input_tokens"],
        output_tokens=one["output_tokens"],
        max_output_tokens=800,
        user=one["user"],
        team=one["team"],
        labels={"feature": one["feature"]},
        submitted_at=one["at"],
        queued_at=one["at"],
        started_at=started,
        finished_at=ended,
        timeout_s=600,
        max_tries=5,
        attempt=1,
        deployment=one["deployment"].name,
        used_input_tokens=one["input_tokens"],
        used_output_tokens=one["output_tokens"],
        nano_usd=one["nano_usd"],
        latency_ms=one["latency_ms"],
        queue_ms=one["queue_ms"],
        error_code="" if is_good else "content_filter",
        error_message="" if is_good else _REFUSED,
        fingerprint="" if is_good else fingerprint_of("content_filter", _REFUSED),
    )


def _answer(one: dict[str, Any], text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": one["input_tokens"], "completion_tokens": one["output_tokens"]}
    return {"id": f"chatcmpl-{one['id'].hex[:12]}", "object": "chat.completion", "model": one["model"], "choices": [choice], "usage": usage}


def _json(value: Any) -> str:

    return json.dumps(value)


def _started(one: dict[str, Any]) -> dt.datetime:
    return one["at"] + dt.timedelta(milliseconds=one["queue_ms"])


def _ended(one: dict[str, Any]) -> dt.datetime:
    return _started(one) + dt.timedelta(milliseconds=one["latency_ms"])


def _attempt(one: dict[str, Any]) -> Attempt:
    return Attempt(
        reservation_id=one["id"],
        number=1,
        job_id=one["id"],
        tenant=one["tenant"],
        state=one["state"],
        model=one["model"],
        deployment_id=one["deployment"].pk,
        deployment=one["deployment"].name,
        holder="worker-1",
        reserved_input_tokens=one["input_tokens"],
        reserved_output_tokens=one["output_tokens"],
        reserved_max_output_tokens=800,
        reserved_nano_usd=one["nano_usd"],
        started_at=_started(one),
        finished_at=_ended(one),
        input_tokens=one["input_tokens"],
        output_tokens=one["output_tokens"],
        nano_usd=one["nano_usd"],
        latency_ms=one["latency_ms"],
        error_code="" if one["state"] == "succeeded" else "content_filter",
        provider_request_id=f"req_{one['id'].hex[:16]}",
    )


def _events(one: dict[str, Any]) -> list[JobEvent]:
    times = {"submitted": one["at"], "started": _started(one), one["state"]: _ended(one)}
    return [JobEvent(job_id=one["id"], kind=kind, attempt=0 if kind == "submitted" else 1, at=at) for kind, at in times.items()]


def _entry(one: dict[str, Any]) -> LedgerEntry:
    return LedgerEntry(
        tenant=one["tenant"],
        job_id=one["id"],
        reservation_id=one["id"],
        attempt=1,
        kind="charge",
        nano_usd=one["nano_usd"],
        input_tokens=one["input_tokens"],
        output_tokens=one["output_tokens"],
        model=one["model"],
        deployment=one["deployment"].name,
        team=one["team"],
        user=one["user"],
        labels={"feature": one["feature"]},
        created_at=_ended(one),
    )


# ---- now


def make_busy(world: World, jobs: int = 1_800) -> list[Job]:
    """A limit that binds, and jobs that wait for it: what the pages of now show. A worker is the test's to start."""
    Limit.objects.create(
        account=world.accounts["openai-main"], metric="requests", kind="window", amount=240, window_ms=60_000, burst_permille=100
    )
    Limit.objects.create(account=world.accounts["openai-main"], metric="tokens", kind="window", amount=400_000, window_ms=60_000)
    Limit.objects.create(deployment=world.deployments["claude-haiku-4.5"], metric="concurrency", kind="concurrency", amount=4)
    chance = random.Random(11)
    made = []
    for _ in range(jobs):
        customer = chance.choices(CUSTOMERS, [one.share for one in CUSTOMERS])[0]
        question, _answer_text = chance.choice(QUESTIONS)
        model = chance.choices(("gpt-5.4-mini", "gpt-5.4", "claude-haiku-4.5"), (68, 12, 20))[0]
        made.append(
            Submission(
                tenant=world.tenants[customer.name],
                endpoint=Endpoint.CHAT,
                body={"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 300},
                lane=chance.choices(list(Lane), (2, 10, 60, 20, 8))[0],
                team=chance.choice(customer.teams),
                user=chance.choice(customer.users),
                labels={"feature": chance.choice(FEATURES)},
            )
        )
    return submit_many(made)


# ---- rollups


def _roll_up(drawn: list[dict[str, Any]]) -> None:
    quarters: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    bins: dict[tuple[Any, ...], Counter[tuple[int, int]]] = defaultdict(Counter)
    days: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for one in drawn:
        ended, is_good = _ended(one), one["state"] == "succeeded"
        begins = dt.datetime.fromtimestamp(ended.timestamp() // QUARTER_S * QUARTER_S, dt.UTC)
        key = one["tenant"].pk, one["model"], one["deployment"].name, one["team"], begins
        used = {name: one[name] for name in ("input_tokens", "output_tokens", "nano_usd")}
        quarters[key].update({"jobs": 1, "succeeded": int(is_good), "failed": int(not is_good), **used})
        if is_good:
            bins[key].update({(1, bin_of(one["latency_ms"])): 1, (2, bin_of(one["queue_ms"])): 1, (3, bin_of(one["output_tokens"])): 1})
        for dimension, value in (("user", one["user"]), ("label", f"feature={one['feature']}")):
            days[one["tenant"].pk, ended.astimezone(dt.UTC).date(), dimension, value].update({"jobs": 1, **used})
    rows = {
        key: UsageQuarter(tenant_id=key[0], model=key[1], deployment=key[2], team=key[3], starts_at=key[4], **sums)
        for key, sums in quarters.items()
    }
    UsageQuarter.objects.bulk_create(rows.values())
    UsageQuarterBin.objects.bulk_create(
        [
            UsageQuarterBin(quarter=rows[key], measure=measure, bin=number, count=many)
            for key, counted in bins.items()
            for (measure, number), many in counted.items()
        ]
    )
    UsageDay.objects.bulk_create(
        [UsageDay(tenant_id=key[0], day=key[1], dimension=key[2], value=key[3], **sums) for key, sums in days.items()]
    )
