"""Attempts, and what happened to jobs: two tables that only grow."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin

from rateguard.admin.drawing import NOTHING, two_lines
from rateguard.admin.machine import shown
from rateguard.admin.machine.listing import KeysetAdmin
from rateguard.admin.machine.narrowing import name_filter, tenant_filter, time_filter, word_filter
from rateguard.engine.money import format_usd
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.jobs.states import AttemptState


@admin.register(Attempt)
class AttemptAdmin(KeysetAdmin):
    """One try each, at one deployment."""

    order = ("-started_at", "-id")
    search_help_text = "a job's id, or its first 8 characters"
    id_field = "reservation_id"
    """By what it holds: the job's id, or the synchronous call's own."""
    list_display = (
        "shown_started",
        "shown_attempt",
        "tenant",
        "shown_deployment",
        "shown_state",
        "shown_tokens",
        "shown_cost",
        "shown_latency",
    )
    list_display_links = ("shown_started",)
    list_select_related = ("tenant",)
    list_filter = (
        tenant_filter(),
        time_filter("started_at"),
        word_filter("state", "state", {word: word for word in AttemptState.values}),
        name_filter("deployment", "deployment"),
        name_filter("model", "model"),
    )
    fields: ClassVar[Any] = (
        "shown_job", "number", "tenant", "model", "deployment", "shown_state", "shown_error", "shown_started", "shown_finished",
        "shown_latency", "shown_reserved", "shown_tokens", "shown_cached", "shown_parts",
        "shown_cost", "is_estimated", "holder", "provider_request_id",
        "shown_late",
    )  # fmt: skip

    @admin.display(description="started")
    def shown_started(self, row: Attempt) -> str:
        """When its request was about to be sent."""
        return shown.moment(row.started_at)

    @admin.display(description="ended")
    def shown_finished(self, row: Attempt) -> str:
        """When it was settled."""
        return shown.moment(row.finished_at)

    @admin.display(description="job")
    def shown_attempt(self, row: Attempt) -> Any:
        """Of which job it is the so many-eth."""
        return two_lines(shown.id_link(Job, row.job_id) if row.job_id else shown.code(row.reservation_id), f"attempt {row.number}")

    @admin.display(description="job")
    def shown_job(self, row: Attempt) -> Any:
        """Its job; of a synchronous call its own id."""
        return (
            shown.id_link(Job, row.job_id) if row.job_id else two_lines(shown.code(row.reservation_id), "a synchronous call, without a job")
        )

    @admin.display(description="deployment")
    def shown_deployment(self, row: Attempt) -> Any:
        """Where it went, and for which model."""
        return two_lines(row.deployment, row.model)

    @admin.display(description="state")
    def shown_state(self, row: Attempt) -> Any:
        """How it ended."""
        return two_lines(shown.state(row.state), row.error_code)

    @admin.display(description="error")
    def shown_error(self, row: Attempt) -> str:
        """What the provider, or we, said."""
        return shown.error(row.error_code, row.error_message)

    @admin.display(description="tokens in, out")
    def shown_tokens(self, row: Attempt) -> Any:
        """What was billed."""
        return shown.tokens(row.input_tokens, row.output_tokens)

    @admin.display(description="of the input, cached")
    def shown_cached(self, row: Attempt) -> str:
        """What was cheaper, and what was written for later."""
        return f"{row.cached_tokens:,} read, {row.cache_write_tokens:,} written"

    @admin.display(description="priced apart")
    def shown_parts(self, row: Attempt) -> str:
        """Parts of the tokens, and what else made the price."""
        return shown.parts(row)

    @admin.display(description="reserved")
    def shown_reserved(self, row: Attempt) -> str:
        """The most that it could use."""
        most = f"{row.reserved_input_tokens:,} tokens in, {row.reserved_output_tokens:,} out (at most {row.reserved_max_output_tokens:,})"
        return f"{most}, {format_usd(row.reserved_nano_usd)}"

    @admin.display(description="cost")
    def shown_cost(self, row: Attempt) -> Any:
        """To the nano-dollar."""
        return shown.money(row.nano_usd)

    @admin.display(description="took")
    def shown_latency(self, row: Attempt) -> str:
        """How long the call was."""
        return shown.duration(row.latency_ms)

    @admin.display(description="learned too late")
    def shown_late(self, row: Attempt) -> Any:
        """Usage that came after it was given up."""
        return shown.as_json(row.late_usage)


@admin.register(JobEvent)
class JobEventAdmin(KeysetAdmin):
    """What happened, of all jobs: the operators'. Who belongs to a tenant reads a job's events on its page."""

    tenant_field = ""
    search_help_text = "a job's id, or its first 8 characters"
    id_field = "job"
    list_display = ("shown_at", "shown_job", "kind", "attempt", "shown_detail")
    list_display_links = ("shown_at",)
    list_filter = (name_filter("kind", "kind"),)
    fields: ClassVar[Any] = ("shown_at", "shown_job", "kind", "attempt", "shown_detail")

    @admin.display(description="at")
    def shown_at(self, row: JobEvent) -> str:
        """When."""
        return shown.moment(row.at)

    @admin.display(description="job")
    def shown_job(self, row: JobEvent) -> Any:
        """Which."""
        return shown.id_link(Job, row.job_id)

    @admin.display(description="detail")
    def shown_detail(self, row: JobEvent) -> str:
        """What else is known."""
        return in_words(row.detail)


def in_words(detail: dict[str, Any]) -> str:
    """What an event tells beside its kind."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in detail.items()) or NOTHING
