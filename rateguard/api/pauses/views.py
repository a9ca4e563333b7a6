"""The views of pauses. An operator's key pauses anything; a tenant's own key its own runs."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.authentication import Caller
from rateguard.api.door import ApiView, caller_of
from rateguard.api.jobs.shapes import LOCATION
from rateguard.api.params import MOST_PK, Body, Query
from rateguard.api.pauses.shapes import PAUSES, NewPauseShape, PauseShape
from rateguard.api.rendering import time_text
from rateguard.api.schema.describing import extend_schema
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.controls.pauses import LONGEST_REASON, pause, pauses_in_force, resume_row, running
from rateguard.jobs.controls.targets import find_target, target_of
from rateguard.jobs.names import MOST_NAME_CHARS
from tenants.models import ApiKey, Pause, PauseKind, Run, Tenant

MOST_SHOWN = 200
FIELDS = ("target_kind", "target", "until", "reason", "drain")


class Pauses(ApiView):
    """GET: the pauses in force. POST: pause something."""

    @extend_schema(operation_id="list_pauses", summary="The pauses in force", tags=["operation"], responses={200: PAUSES})
    def get(self, request: Request) -> Response:
        """All of them for an operator; for a tenant its own and those of its runs."""
        Query(request, ())
        caller = caller_of(request)
        return Response({"object": "list", "data": [_as_seen_by(caller, row) for row in _visible(caller)[:MOST_SHOWN]]})

    @extend_schema(
        operation_id="create_pause",
        summary="Pause something",
        tags=["operation"],
        parameters=[LOCATION],
        request=NewPauseShape,
        responses={201: PauseShape, 202: PauseShape},
    )
    def post(self, request: Request) -> Response:
        """201; with `drain` 202 while something that was granted before still runs. Nobody waits here: ask again."""
        caller, body = caller_of(request), Body(request, FIELDS)
        kind = body.choice("target_kind", PauseKind.values)
        name = body.text("target", MOST_NAME_CHARS)
        until, reason, is_drain = body.time_or_seconds("until"), body.text("reason", LONGEST_REASON), body.flag("drain")
        _check_allowed(caller, kind, name)
        row = pause(kind, name, until, reason, f"key {caller.key.prefix}")
        shown = render_pause(row)
        status = 202 if is_drain and shown["running"] else 201
        return Response(shown, status=status, headers={"Location": reverse("rateguard:pause", args=[row.pk])})


class OnePause(ApiView):
    """GET: a pause and how much still runs. DELETE: resume."""

    http_method_names = ("get", "head", "delete")

    @extend_schema(operation_id="get_pause", summary="A pause and how much still runs", tags=["operation"], responses={200: PauseShape})
    def get(self, request: Request, pause_id: int) -> Response:
        """The pause. Another tenant's does not exist."""
        Query(request, ())
        caller = caller_of(request)
        return Response(_as_seen_by(caller, _row(caller, pause_id)))

    @extend_schema(
        operation_id="delete_pause",
        summary="Resume what is paused",
        tags=["operation"],
        responses={204: OpenApiResponse(description="It is over.")},
    )
    def delete(self, request: Request, pause_id: int) -> Response:
        """204: what waited goes on."""
        caller = caller_of(request)
        row = _row(caller, pause_id)
        if not caller.key.is_operator and row.target_kind != PauseKind.RUN:
            raise PermissionDenied("whoever runs the service paused this: a key with the operator flag resumes it")
        resume_row(row, f"key {caller.key.prefix}")
        return Response(status=204)


def _visible(caller: Caller) -> QuerySet[Pause]:
    rows = pauses_in_force()
    if caller.key.is_operator:
        return rows
    runs = rows.filter(target_kind=PauseKind.RUN).values_list("target", flat=True)
    own = [run.hex for run in Run.objects.filter(tenant=caller.tenant, pk__in=list(runs)).values_list("pk", flat=True)]
    is_own = Q(target_kind=PauseKind.TENANT, target=str(caller.tenant.pk)) | Q(target_kind=PauseKind.RUN, target__in=own)
    return rows.filter(is_own)


def _row(caller: Caller, pause_id: int) -> Pause:
    row = _visible(caller).filter(pk=pause_id).first() if pause_id <= MOST_PK else None
    if row is None:
        raise NotFound
    return row


def _check_allowed(caller: Caller, kind: str, name: str) -> None:
    """A tenant's own key pauses the tenant's runs and no more; another tenant's run does not exist for it."""
    if caller.key.is_operator:
        return
    if kind != PauseKind.RUN:
        raise PermissionDenied("a tenant's key pauses the tenant's own runs; anything else takes a key with the operator flag")
    if find_target(kind, name).tenant_id != caller.tenant.pk:
        raise InvalidRequest(f"there is no {kind} {name!r}", code="unknown_target", pointer="/target")


def _as_seen_by(caller: Caller, row: Pause) -> dict[str, Any]:
    """A tenant is not told which key of an operator it was."""
    shown = render_pause(row)
    if not caller.key.is_operator and not _is_by_a_key_of(caller.tenant, row):
        shown["created_by"] = "an operator"
    return shown


def _is_by_a_key_of(tenant: Tenant, row: Pause) -> bool:
    return ApiKey.objects.filter(tenant=tenant, prefix=row.created_by.removeprefix("key ")).exists()


def render_pause(row: Pause) -> dict[str, Any]:
    """A pause, and how much of its target still runs."""
    target = target_of(row)
    return {
        "id": row.pk,
        "object": "pause",
        "target_kind": row.target_kind,
        "target": target.name if row.target_kind != PauseKind.RUN else target.id,
        "until": time_text(row.until),
        "reason": row.reason,
        "created_at": time_text(row.created_at),
        "created_by": row.created_by,
        "running": running(target),
    }
