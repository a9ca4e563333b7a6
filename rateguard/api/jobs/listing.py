"""The list of a tenant's jobs, newest first, in pages that stay what they are while jobs are added."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count
from django.db.models.functions import Coalesce, Length
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.jobs.filters import KNOWN, LABEL, read_search
from rateguard.api.params import Query
from rateguard.api.rendering import render_job
from rateguard.jobs.insight.keyset import LONGEST_CURSOR, page_of, read_cursor
from rateguard.jobs.models import Attempt, Job
from tenants.models import Tenant

USUAL, MOST = 50, 200
MOST_RESULT_CHARS = 16 * 2**20
"""Of the answers on a page; with more, the page has fewer jobs."""


def list_jobs(request: Request, tenant: Tenant) -> Response:
    """A page of the tenant's jobs, as the parameters ask. Raises InvalidRequest: `invalid_parameter`."""
    given = request.query_params
    labels = [name for name in given if name.startswith(LABEL)]
    query = Query(request, (*KNOWN, "label", *labels, "cursor", "limit", "include"))
    has_result = query.choice("include", ("result",)) == "result"
    cursor, limit = read_cursor(query.text("cursor", most=LONGEST_CURSOR)), query.whole("limit", USUAL, 1, MOST)
    rows = read_search(given).matching(Job.objects.filter(tenant=tenant)).defer("request", "result")
    page = page_of(rows, cursor, limit)
    if has_result:
        nearest = reversed(page.jobs) if cursor is not None and cursor.is_to_newer else page.jobs
        fitting = _how_many(list(nearest))
        page = page if fitting >= len(page.jobs) else page_of(rows, cursor, fitting)
        _read_results(page.jobs)
    next_cursor, previous_cursor = (found.written() if found else None for found in (page.older, page.newer))
    body = {
        "object": "list",
        "data": _rendered(page.jobs, has_result=has_result),
        "next_cursor": next_cursor,
        "previous_cursor": previous_cursor,
    }
    return Response(body, headers=_links(request, next=next_cursor, prev=previous_cursor))


def _how_many(jobs: list[Job]) -> int:
    """So many of them, from the first, that their answers fit into one page; at least one, whatever its size."""
    sizes: dict[uuid.UUID, int] = dict(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("pk", Coalesce(Length("result"), 0)))
    in_all = itertools.accumulate(sizes.get(job.pk, 0) for job in jobs)
    return max(1, sum(size <= MOST_RESULT_CHARS for size in in_all))


def _read_results(jobs: list[Job]) -> None:
    results = dict(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("pk", "result"))
    for job in jobs:
        job.result = results.get(job.pk)


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
