"""Runs: looked at, stopped, paused and resumed; a caller starts them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from rateguard.admin.drawing import two_lines
from rateguard.admin.machine import shown
from rateguard.admin.machine.listing import KeysetAdmin
from rateguard.admin.machine.narrowing import tenant_filter, time_filter, word_filter
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.pausing import PauseRows, ResumeRows
from rateguard.admin.machine.related import Table, table
from rateguard.admin.machine.stopping import STOP_RUNS
from rateguard.jobs.insight.search import HEAVY
from rateguard.jobs.models import Job
from tenants.models import PauseKind, Run, RunState


@admin.register(Run)
class RunAdmin(VerbAdmin, KeysetAdmin):
    """One piece of work of an agent or a batch each."""

    order = ("-created_at", "-id")
    search_help_text = "a run's id, or its first 8 characters"
    list_display = ("shown_created", "shown_name", "tenant", "shown_state", "shown_budget", "shown_calls", "shown_deadline")
    list_display_links = ("shown_created",)
    list_select_related = ("tenant",)
    list_filter = (tenant_filter(), time_filter("created_at"), word_filter("state", "state", {word: word for word in RunState.values}))
    fields: ClassVar[Any] = (
        "shown_name",
        "tenant",
        "shown_state",
        "shown_parent",
        "shown_budget",
        "shown_calls",
        "shown_created",
        "shown_deadline",
        "shown_stopped",
    )
    verbs = (STOP_RUNS, PauseRows(PauseKind.RUN), ResumeRows(PauseKind.RUN))

    def related(self, request: HttpRequest, row: Any) -> tuple[Table, ...]:
        """The runs inside it, and its own jobs."""
        return _inside(row), _jobs(row)

    @admin.display(description="started")
    def shown_created(self, row: Run) -> str:
        """When."""
        return shown.moment(row.created_at)

    @admin.display(description="run")
    def shown_name(self, row: Run) -> Any:
        """Its name, and its id."""
        return two_lines(row.name or "without a name", shown.code(row.pk))

    @admin.display(description="state")
    def shown_state(self, row: Run) -> Any:
        """Whether it takes calls."""
        return shown.state(row.state)

    @admin.display(description="inside")
    def shown_parent(self, row: Run) -> Any:
        """The run around it."""
        return shown.link(Run, row.parent_id)

    @admin.display(description="budget")
    def shown_budget(self, row: Run) -> Any:
        """What it may cost, with all that is inside it."""
        return "no bound" if row.budget_nano_usd is None else shown.money(row.budget_nano_usd)

    @admin.display(description="calls")
    def shown_calls(self, row: Run) -> Any:
        """How many it may make, likewise."""
        return "no bound" if row.max_calls is None else f"at most {row.max_calls:,}"

    @admin.display(description="until")
    def shown_deadline(self, row: Run) -> str:
        """When it is over by itself."""
        return shown.moment(row.deadline_at)

    @admin.display(description="stopped")
    def shown_stopped(self, row: Run) -> str:
        """When somebody stopped it."""
        return shown.moment(row.stopped_at)


def _inside(row: Run) -> Table:
    return table(
        "Runs inside it",
        row.children.order_by("-created_at", "-pk"),
        ("started", "run", "state"),
        lambda one: (shown.moment(one.created_at), shown.link(Run, one.pk, one.name or one.pk), shown.state(one.state)),
        empty="There is none.",
    )


def _jobs(row: Run) -> Table:
    return table(
        "Its jobs",
        Job.objects.filter(run=row.pk).defer(*HEAVY).order_by("state"),
        ("submitted", "job", "model", "state", "cost"),
        lambda one: (
            shown.moment(one.submitted_at),
            shown.link(Job, one.pk),
            one.model,
            two_lines(shown.state(one.state), one.error_code),
            shown.money(one.nano_usd),
        ),
        empty="It has none of its own.",
    )
