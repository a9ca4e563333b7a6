"""Batches: looked at; who cancels the rest of one does it on its page of the dashboard, by REST or in the shell."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from rateguard.admin.drawing import two_lines
from rateguard.admin.machine import shown
from rateguard.admin.machine.listing import KeysetAdmin
from rateguard.admin.machine.narrowing import tenant_filter, time_filter, word_filter
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.related import Table, table
from rateguard.jobs.batches.progress import progress_of
from rateguard.jobs.insight.search import HEAVY
from rateguard.jobs.models import Batch, BatchState, Job


@admin.register(Batch)
class BatchAdmin(VerbAdmin, KeysetAdmin):
    """Jobs that came in together."""

    order = ("-submitted_at", "-id")
    search_help_text = "a batch's id, or its first 8 characters"
    list_display = ("shown_submitted", "shown_name", "tenant", "shown_state", "shown_total", "shown_rejected")
    list_display_links = ("shown_submitted",)
    list_select_related = ("tenant",)
    list_filter = (tenant_filter(), time_filter("submitted_at"), word_filter("state", "state", {word: word for word in BatchState.values}))
    fields: ClassVar[Any] = (
        "shown_name",
        "tenant",
        "shown_state",
        "shown_progress",
        "shown_cost",
        "shown_rejected",
        "shown_submitted",
        "shown_finished",
        "via",
        "request_id",
        "webhook",
        "idempotency_key",
    )

    def related(self, request: HttpRequest, row: Any) -> tuple[Table, ...]:
        """The lines that became no jobs, and its jobs."""
        return _errors(row), _jobs(row)

    @admin.display(description="submitted")
    def shown_submitted(self, row: Batch) -> str:
        """When."""
        return shown.moment(row.submitted_at)

    @admin.display(description="batch")
    def shown_name(self, row: Batch) -> Any:
        """Its name, and its id."""
        return two_lines(row.name or "without a name", shown.code(row.pk))

    @admin.display(description="state")
    def shown_state(self, row: Batch) -> Any:
        """Whether it goes on."""
        return shown.state(row.state)

    @admin.display(description="jobs")
    def shown_total(self, row: Batch) -> str:
        """How many came in."""
        return f"{row.total:,}"

    @admin.display(description="lines left out")
    def shown_rejected(self, row: Batch) -> str:
        """How many did not."""
        return f"{row.rejected:,}"

    @admin.display(description="jobs")
    def shown_progress(self, row: Batch) -> str:
        """By state."""
        return ", ".join(f"{jobs:,} {state}" for state, jobs in progress_of(row).counts.items() if jobs) or "none"

    @admin.display(description="cost")
    def shown_cost(self, row: Batch) -> Any:
        """So far."""
        return shown.money(progress_of(row).nano_usd)

    @admin.display(description="over")
    def shown_finished(self, row: Batch) -> str:
        """When its last job ended."""
        return shown.moment(row.finished_at)


def _errors(row: Batch) -> Table:
    return table(
        "Lines that became no jobs",
        row.errors.order_by("line"),
        ("line", "custom_id", "code", "what is wrong"),
        lambda one: (f"{one.line:,}", one.custom_id, one.code, two_lines(one.message, one.pointer)),
        empty="There is none.",
    )


def _jobs(row: Batch) -> Table:
    return table(
        "Its jobs",
        Job.objects.filter(batch=row.pk).defer(*HEAVY).order_by("line"),
        ("line", "job", "model", "state", "cost"),
        lambda one: (
            f"{one.line:,}",
            shown.link(Job, one.pk),
            one.model,
            two_lines(shown.state(one.state), one.error_code),
            shown.money(one.nano_usd),
        ),
        empty="It has none.",
    )
