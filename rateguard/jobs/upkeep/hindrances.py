"""What is in the way is written down while jobs wait: an episode lasts as long as the same thing holds the same jobs back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from rateguard import wiring
from rateguard.engine.gate.contract import Gate
from rateguard.jobs.clock import database_now
from rateguard.jobs.insight.heldback import HeldBack, held_back
from rateguard.jobs.insight.heldlook import Known, look
from rateguard.jobs.insight.heldrows import running_by_holder, waiting_groups
from rateguard.jobs.insight.hindrances import HOLDS_FOR, NODE_LENGTH
from rateguard.jobs.models import Hindrance, Job
from rateguard.jobs.states import State

KEPT = dt.timedelta(days=7)
DELETED_AT_ONCE = 1_000
MOST_AT_ONCE = 100
"""Obstacles written of one look, those that hold most jobs back."""

_LENGTHS = {"kind": 16, "scope_kind": 16, "scope": 128, "limit_id": 255, "text": 128, "node": NODE_LENGTH}


def note_hindrances(gate: Gate) -> int:
    """Write what holds waiting jobs back now; nothing where none waits. Returns how many things do. Raises GateError."""
    if not Job.objects.filter(state=State.QUEUED).exists():
        return 0
    groups = waiting_groups()
    known = wiring.directory()
    wanted = {place.id: place for group in groups.groups for place in known.places_for(group.model, group.tenant_id) or ()}
    found = held_back(groups, look(groups, list(wanted.values()), Known(running_by_holder()), gate))[:MOST_AT_ONCE]
    write_hindrances(found)
    return len(found)


def write_hindrances(found: Sequence[HeldBack]) -> None:
    """Episodes that go on are extended, others begin. One short transaction."""
    if not found:
        return
    with transaction.atomic():
        now = database_now()
        open_ones = {_key(row): row for row in Hindrance.objects.filter(seen_at__gt=now - HOLDS_FOR).order_by("seen_at")}
        seen = [(_row(one, now), one.jobs) for one in found]
        going_on = {key: open_ones[key] for row, _ in seen if (key := _key(row)) in open_ones}
        for row, jobs in seen:
            if before := going_on.get(_key(row)):
                before.jobs, before.most_jobs, before.seen_at = jobs, max(jobs, before.most_jobs), now
        Hindrance.objects.bulk_update(going_on.values(), ["jobs", "most_jobs", "seen_at"])
        Hindrance.objects.bulk_create(row for row, _ in seen if _key(row) not in open_ones)


def _row(one: HeldBack, now: dt.datetime) -> Hindrance:
    texts = {name: getattr(one, name)[:length] for name, length in _LENGTHS.items()}
    counts = {"jobs": one.jobs, "most_jobs": one.jobs, "began_at": now, "seen_at": now}
    return Hindrance(model=one.model, lane=one.lane, tenant_id=one.tenant_id, **texts, **counts)


def _key(row: Hindrance) -> tuple[object, ...]:
    return (row.model, row.lane, row.tenant_id, *(getattr(row, name) for name in ("kind", "scope_kind", "scope", "limit_id", "node")))


def delete_old_hindrances() -> int:
    """Delete a page of those that nobody has seen for seven days. Returns how many."""
    old = Hindrance.objects.filter(seen_at__lt=Now() - KEPT).order_by("seen_at").values_list("pk", flat=True)[:DELETED_AT_ONCE]
    return Hindrance.objects.filter(pk__in=list(old)).delete()[0]
