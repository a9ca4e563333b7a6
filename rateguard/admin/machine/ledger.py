"""The ledger: lines of money, to the nano-dollar. Nobody changes one, here or anywhere."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin

from rateguard.admin.drawing import NOTHING, two_lines
from rateguard.admin.machine import shown
from rateguard.admin.machine.listing import KeysetAdmin, KeysetList
from rateguard.admin.machine.narrowing import Narrowing, name_filter, tenant_filter, time_filter, word_filter
from rateguard.admin.machine.places import Order
from rateguard.jobs.models import Job
from tenants.models import EntryKind, LedgerEntry, Run

OF_ALL: Order = ("-id",)
OF_A_TENANT: Order = ("-created_at", "-id")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(KeysetAdmin):
    """Of a tenant by time; of all as they were written, for no index has all of them by time."""

    order = OF_ALL
    search_help_text = "a job's id, or its first 8 characters"
    id_field = "reservation_id"
    """By what the attempt held: the job's id, or the synchronous call's own."""
    list_display = ("shown_at", "shown_job", "tenant", "shown_kind", "shown_model", "shown_tokens", "shown_cost")
    list_display_links = ("shown_at",)
    list_select_related = ("tenant",)
    list_filter = (
        tenant_filter(),
        time_filter("created_at"),
        word_filter("kind", "kind", {word: word for word in EntryKind.values}),
        name_filter("model", "model"),
        name_filter("deployment", "deployment"),
    )
    fields: ClassVar[Any] = (
        "shown_at",
        "tenant",
        "shown_kind",
        "shown_cost",
        "nano_usd",
        "shown_tokens",
        "shown_cached",
        "shown_parts",
        "shown_job",
        "attempt",
        "model",
        "deployment",
        "shown_path",
        "shown_run",
        "shown_labels",
    )

    def order_of(self, changes: KeysetList) -> Order:
        """By time within one tenant."""
        return OF_A_TENANT if changes.narrowed_by("tenant") else OF_ALL

    def has_index(self, changes: KeysetList, spec: Narrowing) -> bool:
        """A time is read from an index within one tenant."""
        return spec.is_indexed and (spec.parameter_name != "range" or changes.narrowed_by("tenant") is not None)

    @admin.display(description="written")
    def shown_at(self, row: LedgerEntry) -> str:
        """When."""
        return shown.moment(row.created_at)

    @admin.display(description="job")
    def shown_job(self, row: LedgerEntry) -> Any:
        """For which job and attempt."""
        one = shown.id_link(Job, row.job_id) if row.job_id else shown.code(row.reservation_id)
        return two_lines(one, f"attempt {row.attempt}")

    @admin.display(description="kind")
    def shown_kind(self, row: LedgerEntry) -> Any:
        """What kind of line it is, and what to know of it."""
        marks = [word for word, is_so in (("estimated", row.is_estimated), ("overrun", row.is_overrun)) if is_so]
        return two_lines(row.kind.replace("_", " "), ", ".join(marks))

    @admin.display(description="model")
    def shown_model(self, row: LedgerEntry) -> Any:
        """What was asked, and where."""
        return two_lines(row.model, row.deployment)

    @admin.display(description="tokens in, out")
    def shown_tokens(self, row: LedgerEntry) -> Any:
        """As the provider counted them."""
        return shown.tokens(row.input_tokens, row.output_tokens)

    @admin.display(description="of the input, cached")
    def shown_cached(self, row: LedgerEntry) -> str:
        """What was cheaper, and what was written for later."""
        return f"{row.cached_tokens:,} read, {row.cache_write_tokens:,} written"

    @admin.display(description="priced apart")
    def shown_parts(self, row: LedgerEntry) -> str:
        """Parts of the tokens, and what else made the price."""
        return shown.parts(row)

    @admin.display(description="cost")
    def shown_cost(self, row: LedgerEntry) -> Any:
        """To the nano-dollar."""
        return shown.money(row.nano_usd)

    @admin.display(description="path")
    def shown_path(self, row: LedgerEntry) -> str:
        """Whose it is within the tenant."""
        names = ("team", "rolegroup", "role", "user", "cost_center")
        return ", ".join(f"{name.replace('_', ' ')} {getattr(row, name)}" for name in names if getattr(row, name)) or NOTHING

    @admin.display(description="run")
    def shown_run(self, row: LedgerEntry) -> Any:
        """The innermost one."""
        return shown.link(Run, row.run)

    @admin.display(description="labels")
    def shown_labels(self, row: LedgerEntry) -> str:
        """The caller's own words."""
        return ", ".join(f"{name}={value}" for name, value in row.labels.items()) or NOTHING
