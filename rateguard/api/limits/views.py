"""The views of limits: the caller's own, any node's and every model's room for operators."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard import wiring
from rateguard.api.door import ApiView, caller_of, operator_of
from rateguard.api.limits.rendering import render_finding, render_limit, render_obstacle, time_of
from rateguard.api.limits.shapes import LANE, MOST_TOKENS, NODES, REQUEST, RUN, CapacityShape, LimitsShape, ScopeLimitsShape, name_of
from rateguard.api.params import Query
from rateguard.api.schema.describing import extend_schema, problems
from rateguard.engine.lanes import Lane
from rateguard.engine.scopes import GLOBAL
from rateguard.jobs.controls.targets import as_pk, find_named
from rateguard.jobs.insight.binding import Asked, binding
from rateguard.jobs.insight.capacity import ONE, Capacity, DeploymentRoom, ModelRoom, Room, capacity
from rateguard.jobs.insight.effective import standing
from rateguard.jobs.insight.inquiry import Finding, Inquiry, inquire
from tenants.models import ApiKey, ProviderAccount, Run, Tenant

_NODES = ("team", "rolegroup", "role", "user")
_REQUEST = ("model", "lane", "input_tokens", "max_tokens")


class Limits(ApiView):
    """GET: the limits and budgets of the caller, and which is in the way of a request."""

    @extend_schema(
        operation_id="get_limits",
        summary="Your limits and budgets, and what a request meets first",
        tags=["limits"],
        parameters=[*NODES, RUN, *REQUEST],
        responses={200: LimitsShape, **problems(409)},
    )
    def get(self, request: Request) -> Response:
        """Those of the key's tenant and of the key; the parameters name the rest of the path and the request."""
        caller, query = caller_of(request), Query(request, (*_NODES, "run", *_REQUEST))
        nodes: dict[str, Any] = {name: query.text(name) for name in _NODES}
        nodes |= {"key": caller.key.pk, "run": query.uuid("run")}
        inquiry = Inquiry(tenant_id=caller.tenant.pk, viewer=caller.tenant.pk, **nodes, **_read_request(query))
        return Response(render_finding(inquire(inquiry)))


class GlobalScope(ApiView):
    """GET: what limits everything. For operators."""

    @extend_schema(
        operation_id="get_global_scope",
        summary="What limits everything",
        tags=["limits"],
        parameters=[LANE],
        responses={200: ScopeLimitsShape},
    )
    def get(self, request: Request) -> Response:
        """The limits above all tenants. For operators."""
        caller = operator_of(request)
        found = _finding("global", "", Query(request, ("tenant", *_NODES, *_REQUEST)), caller.tenant)
        return Response({**render_finding(found), "object": "scope", "scope": {"kind": "global", "id": ""}})


class OneScope(ApiView):
    """GET: what limits a node, with all that stands above it. For operators."""

    @extend_schema(
        operation_id="get_scope",
        summary="What limits a node",
        tags=["limits"],
        parameters=[name_of("tenant", "Of a node below a tenant, whose it is."), *NODES, *REQUEST],
        responses={200: ScopeLimitsShape, **problems(409)},
    )
    def get(self, request: Request, kind: str, name: str) -> Response:
        """And all that stands above it. For operators. Below a tenant `tenant` says whose it is; without it the operator's own."""
        caller = operator_of(request)
        query = Query(request, ("tenant", *_NODES, *_REQUEST))
        found = _finding(kind, name, query, caller.tenant)
        return Response({**render_finding(found), "object": "scope", "scope": {"kind": kind, "id": name}})


class Capacities(ApiView):
    """GET: what each model could take now. For operators."""

    @extend_schema(
        operation_id="get_capacity",
        summary="What each model could take now",
        tags=["operation"],
        parameters=[LANE],
        responses={200: CapacityShape},
    )
    def get(self, request: Request) -> Response:
        """For operators. Requests and tokens, by model and deployment."""
        operator_of(request)
        query = Query(request, ("lane",))
        return Response(render_capacity(capacity(query.lane())))


def _read_request(query: Query) -> dict[str, Any]:
    return {
        "model": query.text("model"),
        "lane": query.lane(),
        "input_tokens": query.whole("input_tokens", 1, 0, MOST_TOKENS),
        "max_tokens": query.whole("max_tokens", 0, 0, MOST_TOKENS),
    }


# ---- nodes


def _finding(kind: str, name: str, query: Query, own: Tenant) -> Finding:
    if kind == "global" and not name:
        return _stands_alone(GLOBAL, [], query.lane())
    if not name or "\0" in name:
        raise NotFound
    if kind in {"deployment", "account"}:
        return _stands_alone(None, _deployments(kind, name), query.lane())
    return inquire(Inquiry(**_nodes(kind, name, query, own), **_read_request(query)))


def _stands_alone(path: str | None, deployments: list[int], lane: Lane) -> Finding:
    """What has no path below a tenant: judged by one request of one token."""
    known = wiring.directory().places
    places = [known[pk] for pk in deployments if pk in known]
    found = standing(path, lane, places)
    asked = Asked(ONE, lane, found.now_ms)
    return Finding(found, asked, binding(found.path, found.places if path is None else None, asked))


def _deployments(kind: str, name: str) -> list[int]:
    """Ids of enabled deployments. Raises NotFound for an unknown one, and for an account that there is not."""
    places = wiring.directory().places.values()
    if kind == "account":
        account = find_named(ProviderAccount.objects.all(), name)
        if account is None:
            raise NotFound
        return [place.id for place in places if place.account_id == account.pk]
    found = [place.id for place in places if name in {place.name, str(place.id)}]
    if not found:
        raise NotFound
    return found


def _nodes(kind: str, name: str, query: Query, own: Tenant) -> dict[str, Any]:
    """The path of a node. Raises NotFound for a tenant, run or key that there is not; any team, role or user may be asked for."""
    nodes = {one: query.text(one) for one in _NODES}
    match kind:
        case "run":
            run = _run(name)
            return {**nodes, "tenant_id": run.tenant_id, "run": run.pk}
        case "key":
            number = as_pk(name)
            key = None if number is None else ApiKey.objects.filter(pk=number).first()
            if key is None:
                raise NotFound
            return {**nodes, "tenant_id": key.tenant_id, "key": key.pk}
        case "tenant":
            return {**nodes, "tenant_id": _tenant(name).pk}
        case "team" | "rolegroup" | "role" | "user":
            whose = query.text("tenant")
            return {**nodes, kind: name, "tenant_id": _tenant(whose).pk if whose else own.pk}
    raise NotFound


def _tenant(name: str) -> Tenant:
    found = find_named(Tenant.objects.all(), name)
    if found is None:
        raise NotFound
    return found


def _run(name: str) -> Run:
    try:
        found = Run.objects.filter(pk=uuid.UUID(name)).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound
    return found


# ---- capacity


def render_capacity(found: Capacity) -> dict[str, Any]:
    """What each model could take now in a lane; null: nothing limits it."""
    asked = Asked(ONE, found.lane, found.now_ms)
    return {
        "object": "capacity",
        "at": time_of(found.now_ms),
        "lane": found.lane.label,
        "above": [render_limit(one, asked) for one in found.above],
        "models": [_render_model(one, found.now_ms) for one in found.models],
    }


def _render_model(found: ModelRoom, now_ms: int) -> dict[str, Any]:
    return {
        "model": found.model,
        **_render_room(found.total),
        "deployments": [_render_deployment(one, now_ms) for one in found.deployments],
    }


def _render_deployment(found: DeploymentRoom, now_ms: int) -> dict[str, Any]:
    return {
        "deployment": found.state.name,
        "id": found.state.id,
        **_render_room(found.room),
        "open": found.closed_by is None,
        "closed_by": render_obstacle(found.closed_by, now_ms),
    }


def _render_room(room: Room) -> dict[str, Any]:
    return {"requests": room.requests, "tokens": room.tokens}
