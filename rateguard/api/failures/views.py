"""The view of failures: what failed alike, as one line."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.door import ApiView, caller_of
from rateguard.api.failures.shapes import FAILURE_PARAMETERS, FAILURES
from rateguard.api.params import Query
from rateguard.api.rendering import time_text
from rateguard.api.schema.describing import extend_schema
from rateguard.jobs.insight.failures import Failures, failures


class FailureGroups(ApiView):
    """GET: the tenant's failures in groups."""

    @extend_schema(
        operation_id="list_failures",
        summary="What failed alike",
        tags=["jobs"],
        parameters=FAILURE_PARAMETERS,
        responses={200: FAILURES},
    )
    def get(self, request: Request) -> Response:
        """Jobs that failed with the same code and the same message, but for ids, numbers and quoted texts: the newest 50 groups.

        A job that is tried again leaves its group.
        """
        query = Query(request, ("model", "since", "until"))
        found = failures([caller_of(request).tenant.pk], since=query.time("since"), until=query.time("until"), model=query.text("model"))
        return Response({"object": "list", "data": [render_failures(one) for one in found.groups], "is_partial": found.is_partial})


def render_failures(one: Failures) -> dict[str, Any]:
    """A group."""
    return {
        "object": "failure",
        "fingerprint": one.fingerprint,
        "jobs": one.jobs,
        "is_more": one.is_more,
        "models": list(one.models),
        "first_at": time_text(one.first_at),
        "last_at": time_text(one.last_at),
        "last_job": str(one.job),
        "error": {"code": one.error, "message": one.message},
    }
