"""Retry many jobs in pages: each judged as one is, written together, with one hint to the waiting room a page."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.attempts import inplace
from rateguard.jobs.ends.transition import end
from rateguard.jobs.intake.fallback import with_fallbacks
from rateguard.jobs.intake.refusals import Refusals
from rateguard.jobs.intake.retry import AS_NEW, RENEWED, prepare
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.line.waiting import waiting_among
from rateguard.jobs.lineage import Lineage, lineage_of
from rateguard.jobs.models import Job
from rateguard.jobs.states import RESUBMIT
from tenants.models import ApiKey

PAGE = 250
"""Jobs whose requests are in memory at once."""

Known = dict[tuple[uuid.UUID | None, int], Lineage | InvalidRequest]
"""The runs of the jobs so far, by run and tenant."""


@dataclasses.dataclass(frozen=True, slots=True)
class Retried:
    """What became of a page. Those that are in neither had moved on."""

    ids: tuple[uuid.UUID, ...]
    refused: Refusals


def retryable(as_of: dt.datetime) -> Q:
    """What ended otherwise than well by then, and has its request still: one that ended again since is not meant."""
    return Q(state__in=sorted(RESUBMIT.sources), finished_at__lte=as_of, is_stored=True, purged_at__isnull=True)


def retry_many(jobs: Sequence[uuid.UUID], pump: Pump, as_of: dt.datetime, *, by: str = "", key: ApiKey | None = None) -> Iterator[Retried]:
    """Let these jobs wait again as `retry` does one, page by page: a page that is not fetched is not done."""
    known: Known = {}
    for start in range(0, len(jobs), PAGE):
        yield _retry_page(jobs[start : start + PAGE], pump, as_of, by, key, known)


def _retry_page(ids: Sequence[uuid.UUID], pump: Pump, as_of: dt.datetime, by: str, key: ApiKey | None, known: Known) -> Retried:
    refusals = Refusals()
    rows = list(
        Job.objects.filter(retryable(as_of), pk__in=ids).select_related("tenant").defer("result", "canvas").order_by("submitted_at", "pk")
    )
    before = {row.pk: _renewed(row) for row in rows}
    full: dict[int, InvalidRequest] = {}
    judged = [row for row in rows if _is_let(row, key, known, full, refusals)]
    here = inplace.caller()
    with transaction.atomic():
        moved = _write(judged, before, as_of, by)
        if here is None and moved:
            hints = waiting_among(Job.objects.filter(pk__in=[row.pk for row in moved]))
            transaction.on_commit(lambda: pump.enqueue(hints), robust=True)
    if here is not None:
        inplace.run_here(moved, here, with_fallbacks)
    return Retried(tuple(row.pk for row in moved), refusals)


def _is_let(row: Job, key: ApiKey | None, known: Known, full: dict[int, InvalidRequest], refusals: Refusals) -> bool:
    """Judge one. full: tenants whose queue was full, which is asked once a page."""
    try:
        if row.tenant_id in full:
            raise full[row.tenant_id]
        prepare(row, _lineage(row, known), key=key)
    except InvalidRequest as refusal:
        if refusal.code == "queue_full":
            full[row.tenant_id] = refusal
        refusals.add(refusal)
        return False
    return True


def _lineage(row: Job, known: Known) -> Lineage:
    """The runs around it, read once a run."""
    place = (row.run, row.tenant_id)
    if place not in known:
        try:
            known[place] = lineage_of(*place, pointer="")
        except InvalidRequest as refusal:
            known[place] = refusal
    found = known[place]
    if isinstance(found, InvalidRequest):
        raise found
    return found


def _write(rows: Sequence[Job], before: dict[uuid.UUID, tuple[object, ...]], as_of: dt.datetime, by: str) -> list[Job]:
    """Those that are still as they were judged; with what was counted anew, where that is another figure than before."""
    same = Job.objects.filter(retryable(as_of), pk__in=[row.pk for row in rows]).select_for_update().order_by("pk")
    attempts = dict(same.values_list("pk", "attempt"))
    going = [row for row in rows if attempts.get(row.pk) == row.attempt]
    _write_renewed(going, before)
    end(Job.objects.filter(pk__in=[row.pk for row in going]), RESUBMIT, by=by, queued_at=Now(), **AS_NEW)
    return going


def _write_renewed(rows: Sequence[Job], before: dict[uuid.UUID, tuple[object, ...]]) -> None:
    """What was counted anew, where it is another figure: one statement for all that changed alike, and mostly they did."""
    alike: dict[tuple[tuple[str, object], ...], list[uuid.UUID]] = {}
    for row in rows:
        now, was = _renewed(row), before[row.pk]
        if now != was:
            changed = tuple((name, new) for name, new, old in zip(RENEWED, now, was, strict=True) if new != old)
            alike.setdefault(changed, []).append(row.pk)
    for values, ids in alike.items():
        Job.objects.filter(pk__in=ids).update(**dict(values))


def _renewed(row: Job) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in RENEWED)
