"""The view of estimates: what a request would cost, and what stands in its way."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.door import ApiView, caller_of
from rateguard.api.estimate.shapes import EstimateShape
from rateguard.api.jobs.shapes import EXAMPLES, RUN, SUBMISSION
from rateguard.api.limits.rendering import render_limit, render_obstacle, render_place, time_of
from rateguard.api.middleware import request_id_of
from rateguard.api.reading import read_submission
from rateguard.api.rendering import usd
from rateguard.api.schema.describing import extend_schema, problems
from rateguard.engine.errors import LimitInTheWay
from rateguard.engine.lanes import Lane
from rateguard.jobs.intake.estimate import Estimate, estimate_of
from tenants.models import Permission


class Estimates(ApiView):
    """POST: estimate a request."""

    http_method_names = ("post",)
    needs = {"POST": Permission.READ}  # noqa: RUF012 - the contract says that it is not changed

    @extend_schema(
        operation_id="estimate_job",
        summary="What a request would need, cost and meet",
        tags=["limits"],
        parameters=[RUN],
        request=SUBMISSION,
        examples=EXAMPLES,
        responses={200: EstimateShape, **problems(409)},
    )
    def post(self, request: Request) -> Response:
        """Takes the body of `POST jobs` and refuses what that would refuse, but writes nothing and takes no place.

        What would be refused only for now (a full queue, a spent budget) is told under `refusal`.
        """
        return Response(render_estimate(estimate_of(read_submission(request, caller_of(request), request_id_of(request)))))


def render_estimate(estimate: Estimate) -> dict[str, Any]:
    """An estimate; `binding` and the limits as in GET limits."""
    row, asked = estimate.row, estimate.asked
    return {
        "object": "estimate",
        "at": time_of(asked.now_ms),
        "model": row.model,
        "endpoint": row.endpoint,
        "lane": Lane(row.lane).label,
        "path": row.path,
        "input_tokens": row.input_tokens,
        "output_tokens": {"expected": row.output_tokens, "most": row.max_output_tokens},
        "cost_usd": {"low": usd(estimate.low_nano_usd), "high": usd(estimate.high_nano_usd)},
        "cost_nano_usd": {"low": estimate.low_nano_usd, "high": estimate.high_nano_usd},
        "priced": all(place.is_priced for place in estimate.places),
        "fits": estimate.refusal is None and (estimate.binding is None or estimate.binding.fits),
        "refusal": _render_refusal(estimate.refusal),
        "binding": render_obstacle(estimate.binding, asked.now_ms),
        "limits": [render_limit(one, asked) for one in estimate.standing.path],
        "deployments": [render_place(place, asked) for place in estimate.standing.places],
    }


def _render_refusal(refusal: LimitInTheWay | None) -> dict[str, Any] | None:
    if refusal is None:
        return None
    wait_ms = refusal.retry_after_ms
    return {
        "code": refusal.code,
        "detail": str(refusal),
        "scope_kind": refusal.scope_kind,
        "scope": refusal.scope,
        "limit": refusal.limit,
        "retry_after": None if wait_ms is None else -(-wait_ms // 1000),
    }
