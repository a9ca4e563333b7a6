"""Keys: made, changed, rotated, revoked. A secret is in the answer to whoever made it, and nowhere else."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of, word
from rateguard.api.manage.described import TENANT, changes, creates, deletes, describes, lists, shows
from rateguard.api.manage.door import ManageView, numbered, reach_of
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_key
from rateguard.api.manage.shapes import KEYS, KeyChangesShape, KeyShape, KeyWithSecretShape, NewKeyShape, RotationShape
from rateguard.api.params import Query
from rateguard.api.schema.describing import problems
from rateguard.engine.errors import InvalidRequest
from tenants.changes.keys import change_key, create_key, revoke, rotate
from tenants.models import ApiKey

USUAL_OVERLAP = dt.timedelta(hours=24)
NO_STORE = {"Cache-Control": "no-store"}
_STATES = {
    "active": Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=Now())),
    "expired": Q(revoked_at__isnull=True, expires_at__lte=Now()),
    "revoked": Q(revoked_at__isnull=False),
}


class Keys(ManageView):
    """GET: the keys. POST: a new one."""

    @lists("keys", KEYS, TENANT, name_of("name"), word("state", list(_STATES)))
    def get(self, request: Request) -> Response:
        """Of all tenants for an operator, or of one."""
        query = Query(request, ("tenant", "name", "state", *PAGE))
        rows = reach_of(request).listed(ApiKey.objects.select_related("tenant"), query, "tenant")
        name, state = query.text("name"), query.choice("state", tuple(_STATES))
        wanted = (Q(name=name) if name else Q()) & _STATES.get(state, Q())
        return page_of(rows.filter(wanted), query, render_key)

    @creates("key", NewKeyShape, KeyWithSecretShape)
    def post(self, request: Request) -> Response:
        """201 with the secret, this once. A tenant's key makes none that may do more than itself."""
        reach, fields = reach_of(request), read(request, NewKeyShape)
        row, secret = create_key(reach.actor, reach.sure_owner(fields.pop("tenant", None)), **fields)
        where = reverse("rateguard:manage-key", args=[row.pk])
        return Response({**render_key(row), "secret": secret}, status=201, headers={"Location": where, **NO_STORE})


class OneKey(ManageView):
    """GET, PATCH and DELETE of a key."""

    @shows("key", KeyShape)
    def get(self, request: Request, key: int) -> Response:
        """A key, without its secret."""
        Query(request, ())
        return Response(render_key(_row(request, key)))

    @changes("key", KeyChangesShape, KeyShape)
    def patch(self, request: Request, key: int) -> Response:
        """The fields that are named. It acts on the key's next request."""
        row = _row(request, key)
        return Response(render_key(change_key(reach_of(request).actor, row, **read(request, KeyChangesShape, partial=True))))

    @deletes("key", "Revoke a key")
    def delete(self, request: Request, key: int) -> Response:
        """204: no request is let in with it any more. Its row stays, for the ledger and the audit."""
        revoke(reach_of(request).actor, _row(request, key))
        return Response(status=204)


class RotateKey(ManageView):
    """POST: a new secret for a key."""

    http_method_names = ("post",)

    @describes(
        "rotate_key",
        "Give a key a new secret",
        request={"application/json": RotationShape},
        responses={200: KeyWithSecretShape, **problems(409)},
    )
    def post(self, request: Request, key: int) -> Response:
        """200 with the new secret, this once. The old one is good for `overlap` more, a day where nothing is said."""
        row, overlap = _row(request, key), overlap_of(read(request, RotationShape))
        secret = rotate(reach_of(request).actor, row, overlap)
        return Response({**render_key(_row(request, key)), "secret": secret}, headers=NO_STORE)


def overlap_of(fields: dict[str, Any]) -> dt.timedelta:
    """How long an old secret is good beside the new one. Raises InvalidRequest."""
    if len(fields) > 1:
        raise InvalidRequest("say overlap or overlap_s, not both", code="invalid_field", pointer="/overlap_s")
    if "overlap_s" in fields:
        return dt.timedelta(seconds=fields["overlap_s"])
    overlap: dt.timedelta = fields.get("overlap", USUAL_OVERLAP)
    return overlap


def _row(request: Request, pk: int) -> ApiKey:
    return numbered(reach_of(request).own(ApiKey.objects.select_related("tenant"), "tenant"), pk)
