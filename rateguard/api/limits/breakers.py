"""The views of breakers, and of what the gate noticed."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.door import ApiView, caller_of, operator_of
from rateguard.api.limits.rendering import time_of
from rateguard.api.limits.shapes import BEFORE, BREAKERS, EVENTS, BreakerActionShape, BreakerSetShape, name_of, whole, word
from rateguard.api.params import MOST_PK, Body, Query
from rateguard.api.rendering import time_text
from rateguard.api.schema.describing import extend_schema
from rateguard.engine.breaker.rule import BreakerState
from rateguard.jobs.controls.breakers import BreakerStatus, breakers, follow_rule, force_close, force_open, reset
from rateguard.jobs.controls.targets import find_named
from tenants.models import Deployment, EventKind, ForcedBreaker, GateEvent

MOST_EVENTS = 200
ACTIONS = {"open": force_open, "close": force_close, "auto": follow_rule, "reset": reset}


class Breakers(ApiView):
    """GET: every deployment's breaker. For operators."""

    @extend_schema(operation_id="list_breakers", summary="Every deployment's breaker", tags=["operation"], responses={200: BREAKERS})
    def get(self, request: Request) -> Response:
        """As the gate has them. For operators."""
        operator_of(request)
        Query(request, ())
        return Response({"object": "list", "data": [render_breaker(one) for one in breakers()]})


class OneBreaker(ApiView):
    """POST: force a breaker, let it follow its rule again, or reset it. For operators."""

    http_method_names = ("post",)

    @extend_schema(
        operation_id="set_breaker",
        summary="Force, free or reset a breaker",
        tags=["operation"],
        request=BreakerActionShape,
        responses={200: BreakerSetShape},
    )
    def post(self, request: Request, deployment: str) -> Response:
        """For operators. Answers the deployment and what it is forced to now."""
        caller = operator_of(request)
        row = find_named(Deployment.objects.all(), deployment)
        if row is None:
            raise NotFound
        action = Body(request, ("action",)).choice("action", tuple(ACTIONS))
        ACTIONS[action](row, f"key {caller.key.prefix}")
        return Response({"object": "breaker", "deployment": row.name, "id": row.pk, "action": action, "forced": row.breaker_forced})


class Events(ApiView):
    """GET: what the gate noticed: budgets that reached a threshold, breakers that changed."""

    @extend_schema(
        operation_id="list_events",
        summary="What the gate noticed",
        tags=["operation"],
        parameters=[word("kind", EventKind.values), name_of("subject"), BEFORE, whole("limit", 1, MOST_EVENTS, "50 where absent.")],
        responses={200: EVENTS},
    )
    def get(self, request: Request) -> Response:
        """Budgets at a threshold, breakers that changed. For a tenant its own, for an operator all.

        The newest first; `before` takes the last id of the page before.
        """
        caller = caller_of(request)
        query = Query(request, ("kind", "subject", "before", "limit"))
        rows = GateEvent.objects.select_related("tenant").order_by("-pk")
        if not caller.key.is_operator:
            rows = rows.filter(tenant=caller.tenant)
        kind, subject = query.choice("kind", EventKind.values), query.text("subject")
        wanted = Q(pk__lt=query.whole("before", MOST_PK, 1, MOST_PK))
        wanted &= Q(kind=kind) if kind else Q()
        wanted &= Q(subject=subject) if subject else Q()
        page = list(rows.filter(wanted)[: query.whole("limit", 50, 1, MOST_EVENTS)])
        return Response({"object": "list", "data": [_render_event(row) for row in page]})


def render_breaker(status: BreakerStatus) -> dict[str, Any]:
    """A breaker; its counts are those of its window."""
    view, row = status.view, status.deployment
    is_open_by_rule = row.breaker_forced == ForcedBreaker.NO and view is not None and view.state == BreakerState.OPEN
    return {
        "object": "breaker",
        "deployment": row.name,
        "id": row.pk,
        "account": row.account.name,
        "state": status.state.name.lower(),
        "forced": row.breaker_forced,
        "calls": view.calls if view else 0,
        "failures": view.failures if view else 0,
        "slow": view.slow if view else 0,
        "generation": view.generation if view else 0,
        "probing": view.is_probing if view else False,
        "probe_at": time_of(view.until_ms) if is_open_by_rule and view else None,
    }


def _render_event(row: GateEvent) -> dict[str, Any]:
    return {
        "id": row.pk,
        "object": "event",
        "kind": row.kind,
        "tenant": row.tenant.name if row.tenant else None,
        "subject": row.subject,
        "value": row.value,
        "period_starts_at": time_text(row.period),
        "detail": row.detail,
        "at": time_text(row.at),
    }
