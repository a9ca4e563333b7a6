"""The evidence of a campaign, read once all is done: rows by SQL, the provider's log from its file, the gate, some jobs by the API."""

from __future__ import annotations

import collections
import json
import random
import time
import typing
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from typing import Any

from django.db.models import Sum

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.errors import GateError
from rateguard.engine.gate.codec import unpack_member
from rateguard.engine.keys import GATE_KEYS, gate_prefix
from rateguard.engine.providers.sim.log_file import read_log
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.torture.checks.connecting import connect_anew
from rateguard.torture.checks.evidence import (
    AttemptSeen,
    BudgetSeen,
    EntrySeen,
    EventSeen,
    Evidence,
    JobSeen,
    MessageSeen,
    StreamSeen,
)
from rateguard.torture.record import Fault, Record
from tenants.models import Budget, LedgerEntry, Run, ScopeKind, Tenant, UsageDay, UsageQuarter

if typing.TYPE_CHECKING:
    from rateguard.torture.site import Site

EMPTY_WITHIN_S = 20.0
"""So long the gate may take to hear of the last ends: its caretaker compares it with the rows meanwhile."""
ASKED_BY_API = 100
PAGE = 1_000
MOST_NAMED = 10


def gather(site: Site, record: Record, faults: Sequence[Fault]) -> Evidence:
    """Read everything."""
    connect_anew()
    tenants = dict(Tenant.objects.values_list("pk", "name"))
    held, waiting = _gate_once_empty()
    return Evidence(
        record=record,
        faults=faults,
        log=read_log(site.provider_log),
        jobs=_jobs(tenants),
        attempts=_attempts(record),
        events=_events(record),
        entries=_entries(record, tenants),
        budgets=_budgets(tenants),
        limits=site.world.limits,
        own_limits=site.world.own_limits,
        quarters=_quarters(tenants),
        days=_days(tenants),
        told=_told_by_api(site, record),
        held=held,
        waiting=waiting,
        waiting_jobs=_who_waits() if waiting else (),
        rolled_back=site.world.rolled_back,
        messages=[MessageSeen(one.id, one.job, one.kind, one.trouble, one.at) for one in site.world.receiver.received],
        streams=_streams(site),
    )


def _streams(site: Site) -> list[StreamSeen]:
    """What readers were told, beside the answer that the row keeps."""
    read = {one.job: one for one in site.world.read}
    rows = Job.objects.filter(pk__in=read).only("pk", "result")
    texts = {row.pk: "" if row.result is None else _text_of(json.loads(row.result)) for row in rows}
    return [StreamSeen(job, one.ends, one.text, texts.get(job, "")) for job, one in read.items()]


def _text_of(answer: dict[str, Any]) -> str:
    return "".join(choice["message"].get("content") or "" for choice in answer.get("choices", ()))


# ---- rows


def _jobs(tenants: dict[int, str]) -> dict[uuid.UUID, JobSeen]:
    names = ("id", "state", "tenant_id", "model", "delivery", "lane", "team", "user", "run")
    rows = Job.objects.values_list(*names).iterator(chunk_size=PAGE)
    return {pk: JobSeen(pk, state, tenants[tenant], *rest) for pk, state, tenant, *rest in rows}


def _attempts(record: Record) -> dict[tuple[uuid.UUID, int], AttemptSeen]:
    return {
        (row.reservation_id, row.number): AttemptSeen(
            job=row.reservation_id,
            number=row.number,
            state=row.state,
            holder=row.holder,
            began_at=record.at(row.started_at.timestamp()),
            ended_at=None if row.finished_at is None else record.at(row.finished_at.timestamp()),
            deployment=row.deployment,
            reserved_nano_usd=row.reserved_nano_usd,
            error_code=row.error_code,
        )
        for row in Attempt.objects.iterator(chunk_size=PAGE)
    }


def _events(record: Record) -> dict[uuid.UUID, list[EventSeen]]:
    found: dict[uuid.UUID, list[EventSeen]] = collections.defaultdict(list)
    rows = JobEvent.objects.order_by("pk").values_list("pk", "job_id", "kind", "attempt", "at")
    for pk, job, kind, attempt, at in rows.iterator(chunk_size=PAGE):
        found[job].append(EventSeen(pk, job, kind, attempt, record.at(at.timestamp())))
    return found


def _entries(record: Record, tenants: dict[int, str]) -> list[EntrySeen]:
    return [
        EntrySeen(
            job=row.reservation_id,
            attempt=row.attempt,
            kind=row.kind,
            nano_usd=row.nano_usd,
            at=record.at(row.created_at.timestamp()),
            tenant=tenants[row.tenant_id],
            is_estimated=row.is_estimated,
            is_overrun=row.is_overrun,
            quarter=(tenants[row.tenant_id], row.model, row.deployment, row.api_key_id or 0, row.team),
            days=(
                *([(tenants[row.tenant_id], "user", row.user)] if row.user else []),
                *((tenants[row.tenant_id], "label", f"{name}={value}") for name, value in row.labels.items()),
            ),
        )
        for row in LedgerEntry.objects.order_by("pk").iterator(chunk_size=PAGE)
    ]


def _budgets(tenants: dict[int, str]) -> list[BudgetSeen]:
    """Of tenants, and of runs that lie in no other."""
    of_tenants = [
        BudgetSeen(f"the budget of {budget.scope.tenant}", budget.amount, str(budget.scope.tenant))
        for budget in Budget.objects.select_related("scope__tenant").filter(scope__kind=ScopeKind.TENANT)
    ]
    of_runs = [
        BudgetSeen(f"the budget of run {run.pk}", run.budget_nano_usd, tenants[run.tenant_id], run.pk)
        for run in Run.objects.filter(budget_nano_usd__isnull=False, parent__isnull=True, children__isnull=True)
        if run.budget_nano_usd is not None
    ]
    return of_tenants + of_runs


def _quarters(tenants: dict[int, str]) -> dict[tuple[object, ...], int]:
    names = ("tenant_id", "model", "deployment", "api_key_id", "team")
    rows = UsageQuarter.objects.values_list(*names).annotate(Sum("nano_usd")).order_by()
    return {(tenants[tenant], *rest): total for tenant, *rest, total in rows}


def _days(tenants: dict[int, str]) -> dict[tuple[object, ...], int]:
    rows = UsageDay.objects.values_list("tenant_id", "dimension", "value").annotate(Sum("nano_usd")).order_by()
    return {(tenants[tenant], dimension, value): total for tenant, dimension, value, total in rows}


# ---- the gate, the API


def _gate_once_empty() -> tuple[list[str], int]:
    """What the gate holds, as soon as that is nothing, or after EMPTY_WITHIN_S; a gate that does not answer by then holds itself."""
    deadline = time.monotonic() + EMPTY_WITHIN_S
    while True:
        try:
            held, waiting = _held(), wiring.gate().inspect(()).waiting
        except GateError as error:
            held, waiting = [f"no answer: {error}"], 0
        if not (held or waiting) or time.monotonic() > deadline:
            return held, waiting
        time.sleep(0.5)


def _who_waits() -> list[str]:
    """Whose places the waiting room has, in which tree or under which budget; read from the gate's own keys, for a report alone."""
    redis, found = wiring.redis_client(), []
    for kind in ("jobs", "parked_jobs"):
        beginning = f"{gate_prefix(conf().partition)}{GATE_KEYS[kind]}".encode()
        for key in redis.scan_iter(match=beginning + b"*"):
            where = key.removeprefix(beginning).decode(errors="replace").replace("\n", " ")
            for member in typing.cast("list[bytes]", redis.zrange(key, 0, MOST_NAMED)):
                job, _, _, _, attempt = unpack_member(member)
                found.append(f"{job}.{attempt} in {kind} {where}")
    return found


def _held() -> list[str]:
    found: list[str] = []
    cursor = 0
    while True:
        cursor, page = wiring.gate().held(cursor, PAGE)
        found += [f"{held.reservation} of {held.holder or 'nobody'}, {held.age_ms / 1_000:.0f} s old" for held in page]
        if cursor == 0:
            return found


def _told_by_api(site: Site, record: Record) -> dict[uuid.UUID, str]:
    """What callers are told of some accepted jobs, drawn by the seed; a key sees its own tenant's alone."""
    secrets = {caller.tenant: caller.secret for caller in site.world.callers}
    chance = random.Random(record.seed)
    drawn = chance.sample(record.accepted, min(ASKED_BY_API, len(record.accepted)))
    rows = Job.objects.filter(pk__in=[one.job for one in drawn]).select_related("tenant")
    return {job.pk: _ask(site.base_urls[number % 2], job, secrets[job.tenant.name]) for number, job in enumerate(rows)}


def _ask(base_url: str, job: Job, secret: str) -> str:
    request = urllib.request.Request(f"{base_url}/api/v1/jobs/{job.pk}", headers={"Authorization": f"Bearer {secret}"})  # noqa: S310 - our own process
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - as above
            return str(json.load(reply)["status"])
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}"
    except OSError as error:
        return f"nothing: {error}"
