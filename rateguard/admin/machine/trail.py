"""Who changed what, and what the gate noticed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from rateguard.admin.drawing import NOTHING, two_lines
from rateguard.admin.machine import shown
from rateguard.admin.machine.listing import KeysetAdmin, KeysetList, Listing
from rateguard.admin.machine.naming import names_known
from rateguard.admin.machine.narrowing import tenant_filter, time_filter, word_filter
from rateguard.jobs.insight.naming import in_words
from tenants.access import Power
from tenants.models import AuditAction, AuditEntry, EventKind, GateEvent
from tenants.told import told_by

KINDS = ("tenant", "member", "key", "limit", "budget", "account", "deployment", "model", "price", "webhook", "scope", "pause", "run")


@admin.register(AuditEntry)
class AuditEntryAdmin(KeysetAdmin):
    """One change each. A tenant is not told which operator it was."""

    sees = Power.MANAGE
    order = ("-at", "-id")
    list_display = ("shown_at", "by", "shown_action", "shown_what", "tenant", "shown_changes")
    list_display_links = ("shown_at",)
    list_select_related = ("tenant",)
    list_filter = (
        tenant_filter(),
        time_filter("at"),
        word_filter("kind", "kind", {word: word for word in KINDS}),
        word_filter("action", "action", {word: word for word in AuditAction.values}),
    )
    fields: ClassVar[Any] = ("shown_at", "by", "shown_action", "shown_what", "tenant", "shown_before", "request_id")

    def listing(self, request: HttpRequest, changes: KeysetList, beside: str) -> Listing:
        """With who did it as it is told to who looks."""
        found = super().listing(request, changes, beside)
        for row in found.rows:
            row.by = told_by(row.by, names_known(request))
        return found

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Likewise; its title names them too."""
        row = super().get_object(request, object_id, from_field)
        row.by = told_by(row.by, names_known(request))
        return row

    @admin.display(description="at")
    def shown_at(self, row: AuditEntry) -> str:
        """When."""
        return shown.moment(row.at)

    @admin.display(description="what was done")
    def shown_action(self, row: AuditEntry) -> str:
        """In a word."""
        return row.action

    @admin.display(description="to what")
    def shown_what(self, row: AuditEntry) -> Any:
        """Which row."""
        return f"{row.kind} {row.name or row.object_id}"

    @admin.display(description="fields")
    def shown_changes(self, row: AuditEntry) -> str:
        """Which fields."""
        return ", ".join(row.changes) or NOTHING

    @admin.display(description="before and after")
    def shown_before(self, row: AuditEntry) -> Any:
        """Each field that differs; a secret is never among them."""
        return shown.lines(f"{name}: {_pair(value)}" for name, value in row.changes.items()) or NOTHING


def _pair(value: Any) -> str:
    if isinstance(value, list) and len(value) == 2:
        before, after = ("nothing" if one in (None, "") else one for one in value)
        return f"{before} → {after}"
    return str(value)


@admin.register(GateEvent)
class GateEventAdmin(KeysetAdmin):
    """Budgets at a threshold, breakers that changed, accounts that take nothing for long."""

    order = ("-at", "-id")
    list_display = ("shown_at", "shown_kind", "shown_subject", "tenant", "shown_value")
    list_display_links = ("shown_at",)
    list_select_related = ("tenant",)
    list_filter = (tenant_filter(), time_filter("at"), word_filter("kind", "kind", {word: word for word in EventKind.values}))
    fields: ClassVar[Any] = ("shown_at", "shown_kind", "subject", "tenant", "shown_value", "shown_period", "detail", "notice")

    @admin.display(description="at")
    def shown_at(self, row: GateEvent) -> str:
        """When."""
        return shown.moment(row.at)

    @admin.display(description="notice")
    def shown_kind(self, row: GateEvent) -> str:
        """What kind of notice it is."""
        return {EventKind.THRESHOLD: "budget", EventKind.BREAKER: "breaker", EventKind.COOLED: "taken out"}[EventKind(row.kind)]

    @admin.display(description="of what")
    def shown_subject(self, row: GateEvent) -> Any:
        """The budget, deployment or account, and what was said."""
        return two_lines(in_words(row.subject) if row.kind == EventKind.COOLED else row.subject, row.detail)

    @admin.display(description="value")
    def shown_value(self, row: GateEvent) -> str:
        """How full a budget was."""
        return f"{row.value:,} % used" if row.kind == EventKind.THRESHOLD else NOTHING

    @admin.display(description="period since, or until")
    def shown_period(self, row: GateEvent) -> str:
        """Of a budget since when, of what is taken out until when."""
        return shown.moment(row.period)
