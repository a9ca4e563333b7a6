"""Runs are started and stopped here, by `rateguard.run`, REST, the shell, the admin and the dashboard alike.

A stop is one switch: the row says so first, then the gate lets nothing more of it through, then its jobs are ended, page by page.
Whoever dies in the middle of that has written the first step, and the caretaker does the rest.
"""

from __future__ import annotations

import datetime as dt
import uuid

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.money import MAX_BUDGET_NANO_USD
from rateguard.engine.scopes import MOST_RUNS
from rateguard.jobs.clock import database_now
from rateguard.jobs.ends.cancel_many import UNENDED, cancel_all
from rateguard.jobs.line.pump import Pump, process_pump
from rateguard.jobs.lineage import lineage_of, with_nested
from rateguard.jobs.models import Job
from rateguard.jobs.names import check_name
from tenants.changes.actor import Actor
from tenants.changes.audit import note
from tenants.models import AuditAction, Run, RunState, Tenant

RUNS_AT_ONCE = 500
MOST_CALLS = 4_000_000_000
STOPPED = "run_stopped"
"""The error code of a job that its run took along."""


def start_run(
    tenant: Tenant,
    *,
    parent: uuid.UUID | None = None,
    name: str = "",
    budget_nano_usd: int | None = None,
    max_calls: int | None = None,
    deadline: dt.datetime | dt.timedelta | None = None,
    run_id: uuid.UUID | None = None,
) -> Run:
    """Start a run of a tenant, inside another or by itself. None means without that bound.

    deadline: aware, or from now on by the database's clock; that of the run around it where that comes first. run_id: made where absent.
    Raises InvalidRequest: `invalid_field`, `deadline_passed`, `runs_too_deep`, `too_many_runs`, and for the run around it
    `unknown_run`, `run_stopped`, `run_deadline_passed`.
    """
    check_name(name, "/name")
    _check_whole(budget_nano_usd, 0, MAX_BUDGET_NANO_USD, "/budget_usd")
    _check_whole(max_calls, 0, MOST_CALLS, "/max_calls")
    around = lineage_of(parent, tenant.pk, pointer="/parent")
    if len(around.runs) >= MOST_RUNS:
        raise InvalidRequest(f"runs lie in each other {MOST_RUNS} deep at most", code="runs_too_deep", pointer="/parent")
    run = Run(
        id=run_id or uuid.uuid4(),
        tenant=tenant,
        parent=Run.objects.get(pk=parent) if parent else None,
        name=name,
        budget_nano_usd=budget_nano_usd,
        max_calls=max_calls,
        deadline_at=_deadline(deadline, around.deadline),
    )
    _refuse_too_many(run)
    run.save(force_insert=True)
    return run


def _check_whole(value: object, least: int, most: int, pointer: str) -> None:
    if value is not None and not (type(value) is int and least <= value <= most):
        raise InvalidRequest(f"write a whole number from {least} to {most}", code="invalid_field", pointer=pointer)


def _deadline(given: dt.datetime | dt.timedelta | None, around: dt.datetime | None) -> dt.datetime | None:
    if given is None:
        return around
    now = database_now()
    wanted = now + given if isinstance(given, dt.timedelta) else given
    if wanted.tzinfo is None:
        raise InvalidRequest("say in which time zone", code="invalid_field", pointer="/deadline")
    if wanted <= now:
        raise InvalidRequest("the deadline has passed already", code="deadline_passed", pointer="/deadline")
    return wanted if around is None else min(wanted, around)


def _refuse_too_many(run: Run) -> None:
    try:
        run.clean()
    except ValidationError as error:
        raise InvalidRequest("; ".join(error.messages), code="too_many_runs") from None


# ---- stop


def stop_run(run: Run, *, by: str = "") -> bool:
    """Stop a run and those inside it: nothing more starts, what waits is cancelled, what runs is asked to end.

    Returns whether this call did it; False: it was stopped before, and what was left of that is done now. by: who, for the events and the
    audit; a process that stops its own run has none.
    """
    ids = with_nested(run.pk)
    with transaction.atomic():
        stopped = Run.objects.filter(pk__in=ids, state=RunState.OPEN).update(state=RunState.STOPPED, stopped_at=Now())
        if stopped and by:
            note(Actor(by=by), AuditAction.CHANGED, "run", (run.pk, run.name), tenant=run.tenant, before=_OPEN, after=_STOPPED)
    transaction.on_commit(lambda: _end_jobs(Job.objects.filter(run__in=ids), process_pump(), by))
    run.refresh_from_db()
    return bool(stopped)


_OPEN, _STOPPED = {"state": RunState.OPEN.value}, {"state": RunState.STOPPED.value}


def finish_stops(pump: Pump) -> int:
    """For the caretaker: what waits or runs in a stopped run, because its stop was cut off or a job came in beside it, is ended too.

    Returns how many jobs it was.
    """
    beside = Run.objects.filter(parent__state=RunState.STOPPED, state=RunState.OPEN, in_gate=True)
    beside.update(state=RunState.STOPPED, stopped_at=Now())
    left = Job.objects.filter(UNENDED, run__in=Run.objects.filter(state=RunState.STOPPED).values("pk"))
    ids = list(left.values_list("run", flat=True).distinct()[:RUNS_AT_ONCE])
    return _end_jobs(Job.objects.filter(run__in=ids), pump, "") if ids else 0


def _end_jobs(jobs: QuerySet[Job], pump: Pump, by: str) -> int:
    pages = cancel_all(jobs, pump, by=by, error_code=STOPPED, error_message="its run was stopped")
    return sum(len(page.ended) + len(page.asked) for page in pages)
