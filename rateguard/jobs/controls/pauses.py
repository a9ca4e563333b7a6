"""Pause, resume, drain: one switch for all work, a tenant, a lane, a model, a deployment, an account or a run.

REST, the shell, the admin and the dashboard call these. A pause is a row, written to the gate when it commits; what was granted before
still runs, and `drain` waits for it.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
import uuid
from collections.abc import Callable, Iterator

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from rateguard import wiring
from rateguard.engine.errors import GateError, InvalidRequest
from rateguard.jobs.clock import database_now
from rateguard.jobs.controls.targets import Target, attempts_of, find_target, jobs_of, target_of
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState, State
from tenants.changes.actor import Actor
from tenants.changes.audit import Shown, note
from tenants.models import AuditAction, Pause, PauseKind, Tenant

logger = logging.getLogger(__name__)

LONGEST_REASON = 255
LOOK_EACH_S = 0.2
PAGE = 1_000


# ---- pause and resume


def pause(target_kind: str, target: str = "", until: dt.datetime | dt.timedelta | None = None, reason: str = "", by: str = "") -> Pause:
    """Let nothing of the target be granted until a time, after a while, or until it is resumed; pausing again replaces the old pause.

    Raises InvalidRequest: no such target, or a time that has passed.
    """
    found = find_target(target_kind, target)
    now = database_now()
    ends = now + until if isinstance(until, dt.timedelta) else until
    if ends is not None and ends <= now:
        raise InvalidRequest("this time has passed already", code="invalid_field", pointer="/until")
    with transaction.atomic():
        written = {"until": ends, "reason": reason[:LONGEST_REASON], "created_by": by}
        was = Pause.objects.filter(target_kind=found.kind.value, target=found.id).first()
        before = _shown(was) if was else None
        row, _ = Pause.objects.update_or_create(target_kind=found.kind.value, target=found.id, defaults=written)
        row.refresh_from_db()
        _note(AuditAction.CHANGED if was else AuditAction.CREATED, row, found, by, before=before, after=_shown(row))
    logger.info("paused %s until %s by %s: %s", row, row.until or "it is resumed", by or "a process", reason)
    return row


def resume(target_kind: str, target: str = "", by: str = "") -> bool:
    """Lift a pause; False where there was none. Raises InvalidRequest: no such target."""
    found = find_target(target_kind, target)
    row = Pause.objects.filter(target_kind=found.kind.value, target=found.id).first()
    return row is not None and resume_row(row, by)


def resume_row(row: Pause, by: str = "") -> bool:
    """Lift this pause; False where somebody did already."""
    target = target_of(row)
    with transaction.atomic():
        removed, _ = Pause.objects.filter(pk=row.pk).delete()
        if removed:
            _note(AuditAction.DELETED, row, target, by, before=_shown(row))
    if removed:
        transaction.on_commit(lambda: process_pump().kick(), robust=True)  # what waited goes on now
        logger.info("resumed %s by %s", row, by or "a process")
    return bool(removed)


def _shown(row: Pause) -> Shown:
    return {"until": row.until, "reason": row.reason}


def _note(action: AuditAction, row: Pause, target: Target, by: str, before: Shown | None = None, after: Shown | None = None) -> None:
    """Who did it; a pause that a process made or lifted by itself is told by the log alone."""
    if by:
        tenant = Tenant.objects.filter(pk=target.tenant_id).first() if target.tenant_id else None
        name = target.name if target.kind == PauseKind.ALL else f"{target.kind.value} {target.name}"
        note(Actor(by=by), action, "pause", (row.pk, name), tenant=tenant, before=before, after=after)


def pauses_in_force() -> models.QuerySet[Pause]:
    """Those whose time has not passed, by the database's clock, the oldest first."""
    return Pause.objects.filter(Q(until__isnull=True) | Q(until__gt=Now())).order_by("pk")


# ---- what still runs


def running(target: Target) -> int:
    """Attempts of the target that are under way."""
    return Attempt.objects.filter(attempts_of(target), state=AttemptState.RUNNING).count()


def drain(target: Target, timeout_s: float | None, tell: Callable[[int], None] | None = None) -> int:
    """Wait until nothing of a paused target runs, at most so long; None: as long as it takes. Returns how many still do.

    Counts what runs, and what was granted and has not started: that may still start. tell: called whenever the number changed.
    """
    ends = None if timeout_s is None else time.monotonic() + timeout_s
    told: int | None = None
    while True:
        left = running(target) + _granted(target)
        if tell is not None and left != told:
            tell(left)
        told = left
        if not left or (ends is not None and time.monotonic() >= ends):
            return left
        time.sleep(LOOK_EACH_S)


def _granted(target: Target) -> int:
    """Jobs of the target that the gate granted and nobody has claimed. While the gate is away at least one, for nobody can say."""
    try:
        ids = [job for page in _unclaimed() for job in page]
    except GateError as error:
        logger.warning("cannot see what is granted: %s", error)
        return 1
    return sum(
        Job.objects.filter(jobs_of(target), pk__in=ids[start : start + PAGE], state=State.QUEUED).count()
        for start in range(0, len(ids), PAGE)
    )


def _unclaimed() -> Iterator[list[uuid.UUID]]:
    """The jobs of grants without a holder, page by page."""
    cursor = 0
    while True:
        cursor, found = wiring.gate().held(cursor, PAGE)
        yield [one.reservation.job for one in found if not one.holder]
        if not cursor:
            return
