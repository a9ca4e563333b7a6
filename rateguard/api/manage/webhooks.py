"""Webhook endpoints: made, changed, rotated, tried; and their messages, sent again where they did not arrive."""

from __future__ import annotations

import uuid

from django.db.models import Q, QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of, whole, word
from rateguard.api.manage.described import TENANT, changes, creates, deletes, describes, lists, shows
from rateguard.api.manage.door import ManageView, numbered, reach_of
from rateguard.api.manage.keys import NO_STORE, overlap_of
from rateguard.api.manage.paging import MOST, PAGE, USUAL, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering_webhooks import render_message, render_webhook
from rateguard.api.manage.shapes import RotationShape
from rateguard.api.manage.shapes_webhooks import (
    WEBHOOK_MESSAGES,
    WEBHOOKS,
    NewWebhookShape,
    ResentShape,
    WebhookChangesShape,
    WebhookMessageShape,
    WebhookShape,
    WebhookWithSecretShape,
)
from rateguard.api.params import Query
from rateguard.api.schema.describing import problems
from rateguard.jobs.controls.webhooks import send_again, try_out
from rateguard.jobs.insight.keyset import LONGEST_CURSOR, Cursor, read_cursor
from rateguard.jobs.models import MessageState, WebhookMessage
from tenants.changes.webhooks import change_webhook, create_webhook, delete_webhook, rotate_webhook
from tenants.models import WebhookEndpoint


class Webhooks(ManageView):
    """GET: the endpoints. POST: a new one."""

    @lists("webhooks", WEBHOOKS, TENANT, name_of("name"))
    def get(self, request: Request) -> Response:
        """Of all tenants for an operator, or of one."""
        query = Query(request, ("tenant", "name", *PAGE))
        rows = reach_of(request).listed(WebhookEndpoint.objects.select_related("tenant"), query, "tenant")
        name = query.text("name")
        return page_of(rows.filter(name=name) if name else rows, query, render_webhook)

    @creates("webhook", NewWebhookShape, WebhookWithSecretShape)
    def post(self, request: Request) -> Response:
        """201 with the secret, this once."""
        reach, fields = reach_of(request), read(request, NewWebhookShape)
        row, secret = create_webhook(reach.actor, reach.sure_owner(fields.pop("tenant", None)), **fields)
        where = reverse("rateguard:manage-webhook", args=[row.pk])
        return Response({**render_webhook(row), "secret": secret}, status=201, headers={"Location": where, **NO_STORE})


class OneWebhook(ManageView):
    """GET, PATCH and DELETE of an endpoint."""

    @shows("webhook", WebhookShape)
    def get(self, request: Request, webhook: int) -> Response:
        """An endpoint, without its secret."""
        Query(request, ())
        return Response(render_webhook(_row(request, webhook)))

    @changes("webhook", WebhookChangesShape, WebhookShape)
    def patch(self, request: Request, webhook: int) -> Response:
        """The fields that are named. It acts on messages that wait already, too."""
        row = _row(request, webhook)
        fields = read(request, WebhookChangesShape, partial=True)
        return Response(render_webhook(change_webhook(reach_of(request).actor, row, **fields)))

    @deletes("webhook")
    def delete(self, request: Request, webhook: int) -> Response:
        """204: it is gone with its messages."""
        delete_webhook(reach_of(request).actor, _row(request, webhook))
        return Response(status=204)


class RotateWebhook(ManageView):
    """POST: a new secret for an endpoint."""

    http_method_names = ("post",)

    @describes(
        "rotate_webhook",
        "Give a webhook a new secret",
        request={"application/json": RotationShape},
        responses={200: WebhookWithSecretShape},
    )
    def post(self, request: Request, webhook: int) -> Response:
        """200 with the new secret, this once. Messages are signed with both for `overlap`, a day where nothing is said."""
        row, overlap = _row(request, webhook), overlap_of(read(request, RotationShape))
        secret = rotate_webhook(reach_of(request).actor, row, overlap)
        return Response({**render_webhook(_row(request, webhook)), "secret": secret}, headers=NO_STORE)


class TryWebhook(ManageView):
    """POST: a message that tells of nothing."""

    http_method_names = ("post",)

    @describes("test_webhook", "Send a webhook a test", request=None, responses={202: WebhookMessageShape, **problems(409)})
    def post(self, request: Request, webhook: int) -> Response:
        """202 with the message, of the type `webhook.test`; its list tells what became of it."""
        return Response(render_message(try_out(reach_of(request).actor, _writable(request, webhook))), status=202)


class WebhookMessages(ManageView):
    """GET: the messages of an endpoint, newest first."""

    http_method_names = ("get", "head")

    @describes(
        "list_webhook_messages",
        "The messages of a webhook",
        parameters=[
            word("state", MessageState.values),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
            whole("limit", 1, MOST, f"How many at most, {USUAL} where absent."),
        ],
        responses={200: WEBHOOK_MESSAGES},
    )
    def get(self, request: Request, webhook: int) -> Response:
        """How each stands. Those that ended are kept for 30 days."""
        query = Query(request, ("state", *PAGE))
        limit, cursor = query.whole("limit", USUAL, 1, MOST), read_cursor(query.text("cursor", most=LONGEST_CURSOR))
        rows = _messages(_row(request, webhook), query.choice("state", MessageState.values), cursor)
        found = list(rows[: limit + 1])
        following = Cursor(found[limit - 1].created_at, found[limit - 1].pk).written() if len(found) > limit else None
        return Response({"object": "list", "data": [render_message(row) for row in found[:limit]], "next_cursor": following})


class ResendMessages(ManageView):
    """POST: send the dead messages of an endpoint again."""

    http_method_names = ("post",)

    @describes("resend_webhook_messages", "Send all dead messages again", request=None, responses={200: ResentShape, **problems(409)})
    def post(self, request: Request, webhook: int) -> Response:
        """200 with how many: each from the first try on, under its id."""
        return Response({"object": "resent", "messages": send_again(reach_of(request).actor, _writable(request, webhook))})


class ResendMessage(ManageView):
    """POST: send one message again."""

    http_method_names = ("post",)

    @describes("resend_webhook_message", "Send a message again", request=None, responses={202: WebhookMessageShape, **problems(409)})
    def post(self, request: Request, webhook: int, message: uuid.UUID) -> Response:
        """202 with a dead message, or one that waits for its next try. The address takes the id without `msg_`."""
        row = _writable(request, webhook)
        if not row.messages.filter(pk=message).exists():
            raise NotFound
        send_again(reach_of(request).actor, row, message)
        return Response(render_message(row.messages.get(pk=message)), status=202)


def _messages(row: WebhookEndpoint, state: str, cursor: Cursor | None) -> QuerySet[WebhookMessage]:
    rows = row.messages.defer("body").order_by("-created_at", "-pk")
    if state:
        rows = rows.filter(state=state)
    if cursor is not None:
        rows = rows.filter(Q(created_at__lte=cursor.at) & (Q(created_at__lt=cursor.at) | Q(pk__lt=cursor.id)))
    return rows


def _row(request: Request, pk: int) -> WebhookEndpoint:
    return numbered(reach_of(request).own(WebhookEndpoint.objects.select_related("tenant"), "tenant"), pk)


def _writable(request: Request, pk: int) -> WebhookEndpoint:
    """The endpoint, for who may also change it. Raises NotFound, NotAllowed."""
    row = _row(request, pk)
    reach_of(request).actor.check_of(row.tenant_id, "webhook")
    return row
