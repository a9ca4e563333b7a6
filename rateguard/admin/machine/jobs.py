"""Jobs: looked at, cancelled and let wait again; never written by a form."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, prefetch_related_objects
from django.http import HttpRequest

from rateguard.admin.base import reach_of
from rateguard.admin.drawing import NOTHING, two_lines
from rateguard.admin.machine import shown
from rateguard.admin.machine.attempts import in_words
from rateguard.admin.machine.cancelling import CANCEL_JOBS
from rateguard.admin.machine.finding import ids_from, typed
from rateguard.admin.machine.listing import KeysetAdmin, KeysetList, Listing
from rateguard.admin.machine.moving import MOVE_JOBS
from rateguard.admin.machine.naming import names_known
from rateguard.admin.machine.narrowing import name_filter, tenant_filter, time_filter, word_filter
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.places import Place, read_place
from rateguard.admin.machine.related import Table, table
from rateguard.admin.machine.requeueing import REQUEUE_JOBS
from rateguard.admin.machine.retrying import RETRY_JOBS
from rateguard.engine.lanes import Lane
from rateguard.jobs.bodies import why_gone
from rateguard.jobs.insight import keyset
from rateguard.jobs.insight.fence import among
from rateguard.jobs.insight.search import HEAVY, MOST_LOOKED_AT, Search, find
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import State
from tenants.access import Power
from tenants.models import LedgerEntry, Run, Tenant
from tenants.told import told_by


@admin.register(Job)
class JobAdmin(VerbAdmin, KeysetAdmin):
    """The list finds as the dashboard does (`jobs.insight.search`); a job's page shows bodies to who may read them."""

    order = ("-submitted_at", "-id")
    heavy = HEAVY
    search_help_text = "a job's id or its first 8 characters, a request id, an idempotency key"
    list_display = ("shown_submitted", "shown_id", "tenant", "shown_model", "shown_lane", "shown_state", "shown_tokens", "shown_cost")
    list_display_links = ("shown_submitted",)
    list_select_related = ("tenant",)
    list_filter = (
        tenant_filter(),
        word_filter("state", "state", {word: word for word in State.values}),
        time_filter("submitted_at"),
        name_filter("model", "model", is_indexed=True),
        word_filter("lane", "lane", {lane.label: lane.value for lane in Lane}),
        name_filter("fingerprint", "failures that are alike"),
    )
    verbs = (CANCEL_JOBS, RETRY_JOBS, REQUEUE_JOBS, MOVE_JOBS)

    # ---- the list

    def listing(self, request: HttpRequest, changes: KeysetList, beside: str) -> Listing:
        """A page of them; what was typed into the search is found already."""
        place = read_place(beside, Job, self.order)
        if changes.query:
            return super().listing(request, changes, beside)
        cursor = None if place is None else keyset.Cursor(place.values[0], place.values[1], place.is_to_newer)
        found = find(changes.root_queryset, _search(changes), cursor, self.list_per_page)
        prefetch_related_objects(found.page.jobs, "tenant")
        return Listing(found.page.jobs, _written(found.page.older), _written(found.page.newer), found.looked_at)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """By id; what is none is an idempotency key, else the id of the request that submitted it, among the newest jobs."""
        text = typed(search_term)
        if not text:
            return queryset, False
        ids = ids_from(text)
        if ids is not None and (found := queryset.filter(pk__range=ids)).exists():
            return found, False
        tenants = reach_of(request).tenants(Power.LOOK).values("pk")  # an idempotency key is a tenant's own: the index is asked for each
        by_key = queryset.filter(idempotency_key=text, tenant__in=tenants)
        if by_key.exists():
            return by_key, False
        ground = self.get_queryset(request).defer(*HEAVY).order_by(*self.order)[:MOST_LOOKED_AT]
        return among(queryset.defer(*HEAVY).filter(request_id=text), ground), False

    # ---- a job's page

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """With bodies for who may read them."""
        is_reader = obj is not None and reach_of(request).may(Power.READ, obj.tenant_id)
        bodies = ("What was asked and answered", {"fields": ("shown_request", "shown_result", "shown_metadata")})
        return (*_FIELDSETS, bodies) if is_reader else _FIELDSETS

    def related(self, request: HttpRequest, row: Any) -> tuple[Table, ...]:
        """Its attempts, its events, its money."""
        return _attempts(row), _events(row, names_known(request)), _entries(row)

    # ---- cells

    @admin.display(description="submitted")
    def shown_submitted(self, row: Job) -> str:
        """When it came in."""
        return shown.moment(row.submitted_at)

    @admin.display(description="job")
    def shown_id(self, row: Job) -> Any:
        """Its id, and whose work it is."""
        return two_lines(shown.code(row.pk), row.user and f"user {row.user}")

    @admin.display(description="model")
    def shown_model(self, row: Job) -> Any:
        """What was asked for, and where it went."""
        return two_lines(row.model, "" if row.deployment in {row.model, row.model.replace(".", "-")} else row.deployment)

    @admin.display(description="lane")
    def shown_lane(self, row: Job) -> str:
        """How urgent it is."""
        return Lane(row.lane).label

    @admin.display(description="state")
    def shown_state(self, row: Job) -> Any:
        """Where it stands."""
        return two_lines(shown.state(row.state), row.error_code or _asked(row))

    @admin.display(description="tokens")
    def shown_tokens(self, row: Job) -> Any:
        """What all attempts used."""
        return shown.number(row.used_input_tokens + row.used_output_tokens)

    @admin.display(description="cost")
    def shown_cost(self, row: Job) -> Any:
        """What all attempts cost."""
        return shown.money(row.nano_usd)

    @admin.display(description="error")
    def shown_error(self, row: Job) -> Any:
        """Why it did not succeed, and the fingerprint of what failed alike."""
        told = shown.error(row.error_code, row.error_message)
        return two_lines(told, f"fingerprint {row.fingerprint}") if row.fingerprint else told

    @admin.display(description="used")
    def shown_used(self, row: Job) -> str:
        """Of all attempts."""
        return f"{row.used_input_tokens:,} tokens in, {row.used_output_tokens:,} out"

    @admin.display(description="reserves")
    def shown_estimate(self, row: Job) -> str:
        """What the gate reserves for it."""
        return f"{row.input_tokens:,} tokens in, {row.output_tokens:,} out (at most {row.max_output_tokens:,})"

    @admin.display(description="times")
    def shown_times(self, row: Job) -> Any:
        """When it moved."""
        names = ("submitted_at", "run_at", "queued_at", "started_at", "finished_at", "deadline_at")
        told = [f"{name.removesuffix('_at')} {shown.moment(getattr(row, name))}" for name in names if getattr(row, name)]
        return shown.lines(told)

    @admin.display(description="waited, took")
    def shown_spans(self, row: Job) -> str:
        """Before its last attempt, and in it."""
        return f"{shown.duration(row.queue_ms)} in the queue, {shown.duration(row.latency_ms)} at the provider"

    @admin.display(description="path")
    def shown_path(self, row: Job) -> str:
        """Whose limits it charges."""
        names = ("team", "rolegroup", "role", "user", "cost_center")
        return ", ".join(f"{name.replace('_', ' ')} {getattr(row, name)}" for name in names if getattr(row, name)) or NOTHING

    @admin.display(description="sent")
    def shown_manner(self, row: Job) -> str:
        """How often at most, and how long a call may take."""
        return f"{row.delivery.replace('_', ' ')}, {row.timeout_s:,} s for a call"

    @admin.display(description="run")
    def shown_run(self, row: Job) -> Any:
        """The innermost one."""
        return shown.link(Run, row.run)

    @admin.display(description="tries")
    def shown_tries(self, row: Job) -> str:
        """How often it was tried."""
        return f"attempt {row.attempt}; {row.tries} of {row.max_tries} tries counted, {row.abandoned} abandoned"

    @admin.display(description="labels")
    def shown_labels(self, row: Job) -> str:
        """The caller's own words."""
        return ", ".join(f"{name}={value}" for name, value in row.labels.items()) or NOTHING

    @admin.display(description="request")
    def shown_request(self, row: Job) -> Any:
        """The caller's body."""
        return shown.body(row.request) if row.request else why_gone(row) or NOTHING

    @admin.display(description="answer")
    def shown_result(self, row: Job) -> Any:
        """The provider's."""
        return shown.body(row.result) if row.result else why_gone(row) or NOTHING

    @admin.display(description="metadata")
    def shown_metadata(self, row: Job) -> Any:
        """What the caller keeps with it."""
        return shown.as_json(row.metadata)


_FIELDSETS: Any = (
    (None, {"fields": ("shown_state", "shown_error", "tenant", "shown_model", "shown_lane", "shown_cost", "shown_used")}),
    ("When", {"fields": ("shown_times", "shown_spans", "shown_tries")}),
    ("Whose, and how", {"fields": ("shown_path", "shown_labels", "shown_run", "endpoint", "shown_manner", "shown_estimate")}),
    ("Where it came from", {"fields": ("via", "request_id", "idempotency_key")}),
)


def _asked(row: Job) -> str:
    if row.state != State.RUNNING:
        return ""
    return "asked to end" if row.cancel_requested else "asked to come back" if row.requeue_requested else ""


def _search(changes: KeysetList) -> Search:
    """What the filters ask for, as the dashboard's search has it."""
    tenant: Tenant | None = changes.narrowed_by("tenant")
    state, lane = changes.narrowed_by("state"), changes.narrowed_by("lane")
    since, until = changes.narrowed_by("range") or (None, None)
    return Search(
        tenant=tenant.pk if tenant else None,
        states=frozenset({state} if state else ()),
        lanes=frozenset({Lane(lane)} if lane else ()),
        model=changes.narrowed_by("model") or "",
        fingerprint=changes.narrowed_by("fingerprint") or "",
        since=since,
        until=until,
    )


def _written(cursor: keyset.Cursor | None) -> str:
    return Place((cursor.at, cursor.id), cursor.is_to_newer).written() if cursor else ""


def _attempts(row: Job) -> Table:
    return table(
        "Attempts",
        Attempt.objects.filter(job=row).order_by("-number"),
        ("number", "deployment", "state", "started", "took", "tokens in, out", "cost"),
        lambda one: (
            shown.link(Attempt, one.pk, "second call" if one.is_second_call else one.number),
            one.deployment,
            two_lines(shown.state(one.state), one.error_code),
            shown.moment(one.started_at),
            shown.duration(one.latency_ms),
            shown.tokens(one.input_tokens, one.output_tokens),
            shown.money(one.nano_usd),
        ),
        empty="It has not been sent to a provider.",
    )


def _events(row: Job, known: frozenset[str] | None) -> Table:
    def told(detail: dict[str, Any]) -> str:
        return in_words({**detail, "by": told_by(str(detail["by"]), known)} if "by" in detail else detail)

    return table(
        "Events",
        row.events.order_by("-at", "-pk"),
        ("at", "what happened", "attempt", "detail"),
        lambda one: (shown.moment(one.at), one.kind.replace("_", " "), one.attempt or NOTHING, told(one.detail)),
        empty="Nothing is known of it.",
    )


def _entries(row: Job) -> Table:
    return table(
        "Ledger",
        LedgerEntry.objects.filter(reservation_id__in=Attempt.objects.filter(job=row).values("reservation_id")).order_by("-attempt", "-pk"),
        ("entry", "kind", "attempt", "at", "tokens in, out", "cost"),
        lambda one: (
            shown.link(LedgerEntry, one.pk),
            one.kind,
            one.attempt,
            shown.moment(one.created_at),
            shown.tokens(one.input_tokens, one.output_tokens),
            shown.money(one.nano_usd),
        ),
        empty="It has cost nothing yet.",
    )
