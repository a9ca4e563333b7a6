"""Webhook messages: how each stands, what the endpoint said, and what did not arrive sent again."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rateguard.admin.drawing import badge, two_lines
from rateguard.admin.machine import shown
from rateguard.admin.machine.finding import ids_from, typed
from rateguard.admin.machine.listing import KeysetAdmin
from rateguard.admin.machine.narrowing import name_filter, tenant_filter, time_filter, word_filter
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.resending import SEND_AGAIN
from rateguard.jobs.models import Job, MessageState, WebhookMessage
from tenants.access import Power
from tenants.models import WebhookEndpoint

TONES = {MessageState.DELIVERED: "good", MessageState.PENDING: "idle", MessageState.DEAD: "bad"}
MOST_CHARS = 80


@admin.register(WebhookMessage)
class WebhookMessageAdmin(VerbAdmin, KeysetAdmin):
    """One message to one endpoint each."""

    sees = Power.MANAGE
    order = ("-created_at", "-id")
    heavy = ("body",)
    search_help_text = "a message's or a job's id, or its first 8 characters"
    list_display = ("shown_created", "shown_kind", "shown_endpoint", "tenant", "shown_state", "shown_said")
    list_display_links = ("shown_created",)
    list_select_related = ("tenant", "endpoint")
    list_filter = (
        tenant_filter(),
        word_filter("state", "state", {word: word for word in MessageState.values}),
        time_filter("created_at"),
        name_filter("endpoint__name", "webhook"),
    )
    fields: ClassVar[Any] = (
        "shown_stands",
        "shown_said_whole",
        "kind",
        "shown_where",
        "tenant",
        "shown_job",
        "shown_times",
        "tries",
        "shown_body",
    )
    verbs = (SEND_AGAIN,)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """By its id, as the receiver knows it, or the job's."""
        text = typed(search_term).removeprefix("msg_")
        if not text:
            return queryset, False
        found = ids_from(text)
        if found is None:
            return queryset.none(), False
        own = queryset.filter(pk__range=found)
        return (own if own.exists() else queryset.filter(job__range=found)), False

    @admin.display(description="made")
    def shown_created(self, row: WebhookMessage) -> str:
        """When."""
        return shown.moment(row.created_at)

    @admin.display(description="tells")
    def shown_kind(self, row: WebhookMessage) -> SafeString:
        """What, and of which job."""
        return two_lines(row.kind, shown.code(row.job_id or row.batch_id) if row.job_id or row.batch_id else "")

    @admin.display(description="webhook")
    def shown_endpoint(self, row: WebhookMessage) -> Any:
        """To where."""
        return two_lines(shown.link(WebhookEndpoint, row.endpoint_id, row.endpoint.name), row.endpoint.url[:MOST_CHARS])

    @admin.display(description="state")
    def shown_state(self, row: WebhookMessage) -> SafeString:
        """How it stands, and when it is tried again."""
        again = f"next try {shown.moment(row.next_at)}" if row.state == MessageState.PENDING and row.tries else ""
        return two_lines(badge(row.state, TONES[MessageState(row.state)]), again)

    @admin.display(description="state")
    def shown_stands(self, row: WebhookMessage) -> SafeString:
        """How it stands; the times tell when it is tried again."""
        return badge(row.state, TONES[MessageState(row.state)])

    @admin.display(description="webhook")
    def shown_where(self, row: WebhookMessage) -> Any:
        """To where, whole."""
        return shown.lines([row.endpoint.name, row.endpoint.url])

    @admin.display(description="last try")
    def shown_said(self, row: WebhookMessage) -> SafeString | str:
        """What came of it."""
        return two_lines(_tries(row.tries), row.last_error[:MOST_CHARS])

    @admin.display(description="what the last try met")
    def shown_said_whole(self, row: WebhookMessage) -> Any:
        """As the endpoint said it."""
        return shown.block(row.last_error) if row.last_error else f"HTTP {row.last_status}" if row.last_status else shown.plain("")

    @admin.display(description="job")
    def shown_job(self, row: WebhookMessage) -> Any:
        """Whose end it tells."""
        return shown.id_link(Job, row.job_id)

    @admin.display(description="times")
    def shown_times(self, row: WebhookMessage) -> Any:
        """When it moved."""
        told = [f"made {shown.moment(row.created_at)}"]
        told += [f"next try {shown.moment(row.next_at)}"] if row.state == MessageState.PENDING else []
        told += [f"delivered {shown.moment(row.delivered_at)}"] if row.delivered_at else []
        return shown.lines(told)

    @admin.display(description="what it tells")
    def shown_body(self, row: WebhookMessage) -> Any:
        """The text that is signed; it is not kept once it was delivered."""
        return shown.body(row.body) if row.body else "It was delivered, and is not kept."


def _tries(number: int) -> str:
    return "not tried yet" if not number else "1 try" if number == 1 else f"{number} tries"
