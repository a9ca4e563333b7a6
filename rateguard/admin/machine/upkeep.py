"""What keeps the line going, for operators: what held jobs back, what is still to be told, who is the caretaker."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin

from rateguard.admin.drawing import two_lines
from rateguard.admin.machine import shown
from rateguard.admin.machine.listing import KeysetAdmin
from rateguard.admin.machine.narrowing import name_filter, time_filter
from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Hindrance, Job, Lease, OutboxRow


@admin.register(Hindrance)
class HindranceAdmin(KeysetAdmin):
    """What was in the way of waiting jobs, and for how long."""

    tenant_field = ""
    order = ("-seen_at", "-id")
    list_display = ("shown_seen", "shown_began", "model", "shown_lane", "shown_what", "shown_jobs")
    list_display_links = ("shown_seen",)
    list_filter = (time_filter("seen_at"), name_filter("model", "model"))
    fields: ClassVar[Any] = ("shown_began", "shown_seen", "model", "shown_lane", "shown_what", "limit_id", "tenant", "node", "shown_jobs")

    @admin.display(description="last seen")
    def shown_seen(self, row: Hindrance) -> str:
        """The last look that found it."""
        return shown.moment(row.seen_at)

    @admin.display(description="since")
    def shown_began(self, row: Hindrance) -> str:
        """The first one."""
        return shown.moment(row.began_at)

    @admin.display(description="lane")
    def shown_lane(self, row: Hindrance) -> str:
        """Of which lane."""
        return Lane(row.lane).label

    @admin.display(description="in the way")
    def shown_what(self, row: Hindrance) -> Any:
        """What it is."""
        return two_lines(row.text or row.kind, f"{row.scope_kind} {row.scope}".strip())

    @admin.display(description="jobs, at the worst")
    def shown_jobs(self, row: Hindrance) -> str:
        """How many it held back."""
        return f"{row.jobs:,}, {row.most_jobs:,}"


@admin.register(OutboxRow)
class OutboxRowAdmin(KeysetAdmin):
    """Ends of jobs that are still to be told: empty, or nearly, where all is well."""

    tenant_field = ""
    order = ("-created_at", "-id")
    list_display = ("shown_created", "shown_job", "kind")
    list_display_links = ("shown_created",)
    fields: ClassVar[Any] = ("shown_created", "shown_job", "kind")

    @admin.display(description="since")
    def shown_created(self, row: OutboxRow) -> str:
        """Since when."""
        return shown.moment(row.created_at)

    @admin.display(description="job")
    def shown_job(self, row: OutboxRow) -> Any:
        """Whose end."""
        return shown.id_link(Job, row.job_id)


@admin.register(Lease)
class LeaseAdmin(KeysetAdmin):
    """Who does a duty of which there is one."""

    tenant_field = ""
    order = ("-name",)
    list_display = ("name", "holder", "shown_expires", "shown_swept", "repaired")
    fields: ClassVar[Any] = ("name", "holder", "shown_expires", "shown_swept", "repaired")

    @admin.display(description="until")
    def shown_expires(self, row: Lease) -> str:
        """Unless it is renewed."""
        return shown.moment(row.expires_at)

    @admin.display(description="last sweep")
    def shown_swept(self, row: Lease) -> str:
        """Of new rows."""
        return shown.moment(row.swept_at)
