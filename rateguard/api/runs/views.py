"""The views of runs: start one, look at its tree, stop it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.urls import reverse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.authentication import Caller
from rateguard.api.door import ApiView, caller_of
from rateguard.api.jobs.shapes import LOCATION
from rateguard.api.limits.shapes import whole, word
from rateguard.api.params import Body, Query
from rateguard.api.rendering import time_text, usd
from rateguard.api.runs.shapes import RUNS, NewRunShape, RunShape, RunTreeShape
from rateguard.api.schema.describing import extend_schema, problems
from rateguard.engine.gate.contract import LimitUse
from rateguard.engine.money import MAX_BUDGET_NANO_USD
from rateguard.jobs.controls.runs import MOST_CALLS, start_run, stop_run
from rateguard.jobs.insight.effective import uses_of_runs
from rateguard.jobs.insight.runtree import JobLine, RunTree, read_tree
from rateguard.jobs.names import MOST_NAME_CHARS
from tenants.models import Run, RunState

MOST_SHOWN = 200
FIELDS = ("name", "budget_usd", "max_calls", "deadline", "parent")


class Runs(ApiView):
    """GET: the tenant's runs. POST: start a run."""

    @extend_schema(
        operation_id="list_runs",
        summary="Your runs",
        tags=["runs"],
        parameters=[word("status", RunState.values), whole("limit", 1, MOST_SHOWN, "50 where absent.")],
        responses={200: RUNS},
    )
    def get(self, request: Request) -> Response:
        """The newest first, each by itself; `status` takes `open` or `stopped`."""
        query = Query(request, ("status", "limit"))
        rows = Run.objects.filter(tenant=caller_of(request).tenant).order_by("-created_at", "-pk")
        status = query.choice("status", RunState.values)
        found = rows.filter(state=status) if status else rows
        return Response({"object": "list", "data": [render_run(run) for run in found[: query.whole("limit", 50, 1, MOST_SHOWN)]]})

    @extend_schema(
        operation_id="start_run",
        summary="Start a run",
        tags=["runs"],
        parameters=[LOCATION],
        request=NewRunShape,
        responses={201: RunShape, **problems(409)},
    )
    def post(self, request: Request) -> Response:
        """201 with the run; name it in `job.run` of what belongs to it."""
        caller, body = caller_of(request), Body(request, FIELDS)
        run = start_run(
            caller.tenant,
            parent=body.uuid("parent"),
            name=body.text("name", MOST_NAME_CHARS),
            budget_nano_usd=body.nano_usd("budget_usd", MAX_BUDGET_NANO_USD),
            max_calls=body.whole("max_calls", 0, MOST_CALLS),
            deadline=body.time_or_seconds("deadline"),
        )
        return Response(render_run(run), status=201, headers={"Location": reverse("rateguard:run", args=[run.pk])})


class OneRun(ApiView):
    """GET: a run with all that is inside it."""

    @extend_schema(operation_id="get_run", summary="A run with all that is inside it", tags=["runs"], responses={200: RunTreeShape})
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """Its tree of runs and jobs, with cost, calls and what is left."""
        Query(request, ())
        run = _run(caller_of(request), run_id)
        return Response(render_run_tree(read_tree(run)))


class StopRun(ApiView):
    """POST: stop a run and those inside it."""

    http_method_names = ("post",)

    @extend_schema(
        operation_id="stop_run", summary="Stop a run and those inside it", tags=["runs"], request=None, responses={200: RunShape}
    )
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """200 with the run. What waits is cancelled, what runs is asked to end; a stopped run stays as it is."""
        caller = caller_of(request)
        run = _run(caller, run_id)
        stop_run(run, by=f"key {caller.key.prefix}")
        return Response(render_run(run))


def _run(caller: Caller, run_id: uuid.UUID) -> Run:
    """A run of the caller's tenant, for an operator anyone's; another's does not exist. Raises NotFound."""
    rows = Run.objects.filter(pk=run_id)
    found = (rows if caller.key.is_operator else rows.filter(tenant=caller.tenant)).first()
    if found is None:
        raise NotFound
    return found


def render_run(run: Run) -> dict[str, Any]:
    """A run's own row."""
    return {
        "id": str(run.pk),
        "object": "run",
        "name": run.name,
        "status": run.state,
        "parent": str(run.parent_id) if run.parent_id else None,
        "budget_usd": None if run.budget_nano_usd is None else usd(run.budget_nano_usd),
        "max_calls": run.max_calls,
        "deadline": time_text(run.deadline_at),
        "created_at": time_text(run.created_at),
        "stopped_at": time_text(run.stopped_at),
    }


def render_run_tree(tree: RunTree) -> dict[str, Any]:
    """A run and all inside it, with the bounds of each and what the gate says is left of them. Raises GateError."""
    bounds = Run.objects.in_bulk(list(_ids_in(tree)))
    return _render_tree(tree, bounds, uses_of_runs(bounds.values()))


def _ids_in(tree: RunTree) -> Iterator[uuid.UUID]:
    yield tree.id
    for inside in tree.runs:
        yield from _ids_in(inside)


def _render_tree(tree: RunTree, bounds: dict[uuid.UUID, Run], uses: dict[str, LimitUse]) -> dict[str, Any]:
    """A run with what happened in it. Cost and calls count the runs inside it too; `left_…` is what its own bounds leave."""
    left_nano_usd = _left(uses.get(f"rb{tree.id.hex}"))
    return {
        **render_run(bounds[tree.id]),
        "cost_usd": usd(tree.spent.nano_usd),
        "cost_nano_usd": tree.spent.nano_usd,
        "calls": tree.spent.calls,
        "left_usd": None if left_nano_usd is None else usd(left_nano_usd),
        "left_calls": _left(uses.get(f"rc{tree.id.hex}")),
        "job_count": tree.job_count,
        "jobs": [_render_job(job) for job in tree.jobs],
        "runs": [_render_tree(inside, bounds, uses) for inside in tree.runs],
    }


def _left(use: LimitUse | None) -> int | None:
    """null: it has no such bound, or it ended so long ago that the gate forgot it."""
    return None if use is None else max(0, use.amount - use.used)


def _render_job(job: JobLine) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "status": job.state,
        "model": job.model,
        "cost_usd": usd(job.nano_usd),
        "submitted_at": time_text(job.submitted_at),
    }
