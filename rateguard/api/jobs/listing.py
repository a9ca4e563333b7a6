"""The list of a tenant's jobs, newest first, in pages that stay what they are while jobs are added."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import uuid
from collections import Counter
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.jobs.filters import KNOWN, LABEL, filtered
from rateguard.api.params import Query
from rateguard.api.rendering import render_job
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.models import Attempt, Job
from tenants.models import Tenant

USUAL, MOST = 50, 200
LONGEST_CURSOR = 100
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two jobs: beside this one, on the side of the older ones, or of the newer."""

    at: dt.datetime
    id: uuid.UUID
    is_to_newer: bool = False

    def written(self) -> str:
        """As callers carry it."""
        micros = (self.at - _EPOCH) // dt.timedelta(microseconds=1)
        return base64.urlsafe_b64encode(f"{'n' if self.is_to_newer else 'o'}.{micros}.{self.id.hex}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> Cursor | None:
    """None where there is none. Raises InvalidRequest: `invalid_parameter`."""
    if not text:
        return None
    try:
        side, micros, key = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode("ascii").split(".")
        if side in {"n", "o"} and len(micros) < 20:
            return Cursor(_EPOCH + dt.timedelta(microseconds=int(micros)), uuid.UUID(key), is_to_newer=side == "n")
    except (ValueError, binascii.Error, OverflowError):
        pass
    raise InvalidRequest("cursor is what next_cursor or previous_cursor of a list said", code="invalid_parameter")


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and the cursors of the pages of older and newer ones, where there are any."""

    jobs: list[Job]
    older: Cursor | None
    newer: Cursor | None


def page_of(rows: QuerySet[Job], cursor: Cursor | None, limit: int) -> Page:
    """The jobs beside a cursor, or the newest."""
    is_to_newer = cursor is not None and cursor.is_to_newer
    order = ("submitted_at", "pk") if is_to_newer else ("-submitted_at", "-pk")
    found = list((rows if cursor is None else rows.filter(_beyond(cursor))).order_by(*order)[: limit + 1])
    has_more, jobs = len(found) > limit, found[:limit]
    if is_to_newer:
        jobs.reverse()
    if not jobs:
        return Page([], None, None)
    has_older, has_newer = (True, has_more) if is_to_newer else (has_more, cursor is not None)
    older = Cursor(jobs[-1].submitted_at, jobs[-1].pk) if has_older else None
    newer = Cursor(jobs[0].submitted_at, jobs[0].pk, is_to_newer=True) if has_newer else None
    return Page(jobs, older, newer)


def _beyond(cursor: Cursor) -> Q:
    """The outer bound is what the index is searched by."""
    at = cursor.at
    if cursor.is_to_newer:
        return Q(submitted_at__gte=at) & (Q(submitted_at__gt=at) | Q(pk__gt=cursor.id))
    return Q(submitted_at__lte=at) & (Q(submitted_at__lt=at) | Q(pk__lt=cursor.id))


def list_jobs(request: Request, tenant: Tenant) -> Response:
    """A page of the tenant's jobs, as the parameters ask. Raises InvalidRequest: `invalid_parameter`."""
    given = request.query_params
    labels = [name for name in given if name.startswith(LABEL)]
    query = Query(request, (*KNOWN, "label", *labels, "cursor", "limit", "include"))
    has_result = query.choice("include", ("result",)) == "result"
    cursor, limit = read_cursor(query.text("cursor", most=LONGEST_CURSOR)), query.whole("limit", USUAL, 1, MOST)
    rows = filtered(Job.objects.filter(tenant=tenant), given).defer("request", *(() if has_result else ("result",)))
    page = page_of(rows, cursor, limit)
    next_cursor, previous_cursor = (found.written() if found else None for found in (page.older, page.newer))
    body = {
        "object": "list",
        "data": _rendered(page.jobs, has_result=has_result),
        "next_cursor": next_cursor,
        "previous_cursor": previous_cursor,
    }
    return Response(body, headers=_links(request, next=next_cursor, prev=previous_cursor))


def _rendered(jobs: list[Job], *, has_result: bool) -> list[dict[str, Any]]:
    """With one query for the attempts of all."""
    tried = [job.pk for job in jobs if job.attempt]
    counts = Counter(dict(Attempt.objects.filter(job__in=tried).values_list("job").annotate(Count("pk")).order_by()) if tried else {})
    return [render_job(job, attempts=counts[job.pk], has_result=has_result) for job in jobs]


def _links(request: Request, **cursors: str | None) -> dict[str, str]:
    """The pages beside this one as RFC 8288 says, with the same filters."""
    others = [(name, value) for name, values in request.query_params.lists() if name != "cursor" for value in values]
    found = {kind: urlencode([*others, ("cursor", cursor)]) for kind, cursor in cursors.items() if cursor}
    link = ", ".join(f'<{request.path}?{query}>; rel="{kind}"' for kind, query in found.items())
    return {"Link": link} if link else {}
