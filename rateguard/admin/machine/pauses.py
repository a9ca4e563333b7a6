"""Pauses: what takes no work for now. Made by one form, lifted by a verb; both through the functions that REST and the shell call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from rateguard.admin.base import reach_of
from rateguard.admin.drawing import badge, two_lines
from rateguard.admin.inputs import dress
from rateguard.admin.machine import shown
from rateguard.admin.machine.listing import KeysetAdmin, KeysetList, Listing
from rateguard.admin.machine.naming import names_known
from rateguard.admin.machine.narrowing import word_filter
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.pausing import SPANS, ResumePauses, may_switch, span_of
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.jobs.controls.pauses import pause, running
from rateguard.jobs.controls.targets import find_target, target_of
from tenants.access import Access, Power
from tenants.models import Deployment, Pause, PauseKind, ProviderAccount, Run, Tenant
from tenants.told import told_by

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Pause]
else:
    ModelForm = forms.ModelForm


class NewPause(ModelForm):
    """What, for how long and why. Pausing what is paused gives it the new end and reason."""

    minutes = forms.ChoiceField(label="For how long", choices=list(SPANS.items()), required=False)

    class Meta:
        model = Pause
        fields = ("target_kind", "target", "reason")
        labels: ClassVar[dict[str, str]] = {"target_kind": "What", "target": "Which", "reason": "Why"}
        help_texts: ClassVar[dict[str, str]] = {
            "target": f"Its name; of a run its id; of a lane one of {', '.join(lane.label for lane in Lane)}; nothing for all work."
        }

    access: Access

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self)

    def clean(self) -> dict[str, Any]:
        """There is such a thing, and it is theirs to pause."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        kind, name = found.get("target_kind", ""), found.get("target", "")
        if not kind:
            return found
        try:
            target = find_target(kind, name)
        except InvalidRequest as error:
            raise forms.ValidationError({"target": str(error)}) from None
        if not may_switch(target.kind.value, target.id, self.access):
            raise forms.ValidationError({"target": "Pause a run of a tenant of yours; anything else is whoever runs the service to pause."})
        return found

    def _post_clean(self) -> None:
        """The row is written by `pause`, which checks it."""


@admin.register(Pause)
class PauseAdmin(VerbAdmin, KeysetAdmin):
    """All of them for operators; for who belongs to a tenant its own, and those of its runs."""

    tenant_field = ""
    form = NewPause
    list_display = ("shown_what", "shown_until", "reason", "shown_created", "shown_by")
    list_display_links = ("shown_what",)
    list_filter = (word_filter("target_kind", "what", {word: word for word in PauseKind.values}),)
    fields: ClassVar[Any] = ("shown_what", "shown_until", "shown_running", "reason", "shown_created", "shown_by")
    verbs = (ResumePauses(),)

    def may(self, request: HttpRequest, power: Power, row: Any = None) -> bool:
        """Whoever sees the rows may: which rows those are `within` says."""
        return reach_of(request).may_anywhere(power)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With whether each is over, by the database's clock."""
        is_over = ExpressionWrapper(Q(until__lte=Now()), output_field=BooleanField())
        rows: QuerySet[Any] = super().get_queryset(request).annotate(is_over=is_over)
        return rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """With who made it, as it is told to who looks."""
        row = super().get_object(request, object_id, from_field)
        row.told_by = told_by(row.created_by, names_known(request))
        return row

    def within(self, access: Access, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of a tenant its own pause, and those of its runs."""
        if access.is_operator:
            return rows
        ids = access.tenant_ids() or frozenset()
        runs = rows.filter(target_kind=PauseKind.RUN).values_list("target", flat=True)
        own = [run.hex for run in Run.objects.filter(tenant__in=ids, pk__in=list(runs)).values_list("pk", flat=True)]
        tenants = Q(target_kind=PauseKind.TENANT, target__in=[str(pk) for pk in ids])
        return rows.filter(tenants | Q(target_kind=PauseKind.RUN, target__in=own))

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Who may pause something."""
        return reach_of(request).may_anywhere(Power.WORK)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What a new one needs."""
        return super().get_fields(request, obj) if obj else ("target_kind", "target", "minutes", "reason")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A pause that is there is lifted, or paused anew; nobody edits it."""
        return self.fields if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form knows who fills it in."""
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        return type("NewPauseOf", (NewPause,), {"access": reach_of(request)})

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: bool) -> None:
        """As REST and the shell do."""
        told = form.cleaned_data
        row = pause(told["target_kind"], told["target"], span_of(told), told["reason"], f"user {reach_of(request).name}")
        obj.pk, obj.target_kind, obj.target = row.pk, row.target_kind, row.target

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit has it already."""

    def listing(self, request: HttpRequest, changes: KeysetList, beside: str) -> Listing:
        """With the names of what is paused, asked once a kind."""
        found = super().listing(request, changes, beside)
        names = _names(found.rows)
        known = names_known(request)
        for row in found.rows:
            row.told = names.get((row.target_kind, row.target), row.target)
            row.told_by = told_by(row.created_by, known)
        return found

    @admin.display(description="paused")
    def shown_what(self, row: Any) -> str:
        """What."""
        name = row.told if hasattr(row, "told") else target_of(row).name
        return "everything" if row.target_kind == PauseKind.ALL else f"{row.target_kind} {name}"

    @admin.display(description="until")
    def shown_until(self, row: Any) -> Any:
        """Till when; what is over waits to be swept away."""
        if row.until is None:
            return "it is resumed"
        return two_lines(shown.moment(row.until), badge("over") if row.is_over else "")

    @admin.display(description="still runs")
    def shown_running(self, row: Pause) -> str:
        """What was granted before."""
        return f"{running(target_of(row)):,}"

    @admin.display(description="since")
    def shown_created(self, row: Pause) -> str:
        """Since when."""
        return shown.moment(row.created_at)

    @admin.display(description="by")
    def shown_by(self, row: Pause) -> str:
        """Who."""
        return getattr(row, "told_by", row.created_by) or "a process"


def _names(rows: Sequence[Pause]) -> dict[tuple[str, str], str]:
    """What people call the targets: by kind and target."""
    found: dict[tuple[str, str], str] = {}
    models: tuple[tuple[str, Any], ...] = (("tenant", Tenant), ("deployment", Deployment), ("account", ProviderAccount))
    for kind, model in models:
        targets = [row.target for row in rows if row.target_kind == kind]
        names = model.objects.filter(pk__in=targets).values_list("pk", "name") if targets else ()
        found.update({(kind, str(pk)): name for pk, name in names})
    runs = [row.target for row in rows if row.target_kind == PauseKind.RUN]
    of_runs = Run.objects.filter(pk__in=runs).values_list("pk", "name") if runs else ()
    return {**found, **{("run", pk.hex): name or str(pk) for pk, name in of_runs}}
