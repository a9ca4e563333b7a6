"""Models in the admin: the names that callers use, where they lead, how they choose, whom they fall back to."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rateguard.admin.base import actor_of
from rateguard.admin.changing import ChangeForm
from rateguard.admin.deeds import DoingAdmin
from rateguard.admin.drawing import badge
from rateguard.admin.inputs import one_of
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.pausing import PauseRows, ResumeRows
from rateguard.engine.errors import InvalidRequest
from tenants.changes import models, routes
from tenants.models import Deployment, ModelRoute, PauseKind, RouteFallback, RouteTarget
from tenants.models.providers import STRATEGIES
from tenants.routing import FALLBACK_KINDS, USUAL_FALLBACKS

MOST_DIGITS = 9
SPARE = 3
"""Empty places for further deployments, and for further fallbacks, below those that a model has."""
ORDINALS = ("First", "Second", "Third")
_PLAIN = ("name", "is_enabled", "strategy", "max_fallbacks", "is_sticky", "hedges", *models.RETRIES)
_ON = [("", "—"), *((kind, kind.replace("_", " ")) for kind in FALLBACK_KINDS)]


def _places_of(row: ModelRoute | None) -> list[str]:
    """The names of the fields for deployments, the first one first."""
    there = row.targets.count() if row is not None else 0
    return [f"deployment_{number}" for number in range(min(there + SPARE, routes.MOST_DEPLOYMENTS))]


def _fallbacks_of(row: ModelRoute | None) -> list[tuple[str, str]]:
    """The names of the fields for fallbacks, the first one first."""
    there = row.fallbacks.count() if row is not None else 0
    return [(f"fallback_on_{number}", f"fallback_to_{number}") for number in range(min(there + SPARE, routes.MOST_FALLBACK_ROWS))]


class RouteForm(ChangeForm):
    """A name that callers use, where it leads and how it chooses."""

    name = forms.CharField(max_length=128, help_text="As callers write it; a/* stands for all that begin so. Renamed it is another one.")
    is_enabled = forms.BooleanField(required=False, initial=True, label="Takes work")
    strategy = forms.ChoiceField(choices=STRATEGIES, required=False, help_text="How it chooses among those with room.")
    regions = forms.CharField(required=False, label="Regions", help_text="Those that are preferred, the best first: eu, us.")
    weights = forms.CharField(
        required=False, label="Weights", help_text="By deployment: mini-eu=3, mini-us=1. Of one that is not named its own counts."
    )
    after_ms = forms.CharField(
        required=False, label="Overflow (ms)", help_text="By deployment: mini-us=5000 takes only what has waited for so long."
    )
    is_sticky = forms.BooleanField(required=False, label="Sticky", help_text="Work of one session stays at one deployment.")
    hedges = forms.BooleanField(
        required=False, label="Hedged", help_text="In the critical lane a second call follows a slow one; the first answer wins."
    )
    max_fallbacks = forms.IntegerField(
        required=False, initial=USUAL_FALLBACKS, label="At most", help_text="A job goes to so many other models at most."
    )
    max_tries = forms.IntegerField(required=False, label="Tries", help_text="Failures before a job fails; empty: as the settings say.")
    retry_base_ms = forms.IntegerField(required=False, label="First wait (ms)", help_text="The longest before a first retry; it doubles.")
    retry_max_ms = forms.IntegerField(required=False, label="Longest wait (ms)", help_text="Before any retry.")

    def prepare(self) -> None:
        """The deployments and fallbacks in their order, and places for more."""
        row = self.instance if self.instance.pk else None
        self._prepare_deployments(sorted(row.targets.all(), key=lambda one: one.position) if row else [])
        self._prepare_fallbacks(sorted(row.fallbacks.all(), key=lambda one: one.position) if row else [])
        if row:
            self.initial.update({name: getattr(row, name) for name in _PLAIN})
            self.initial["regions"] = ", ".join(row.regions)
            for field, figures in (("weights", routes.weights_of(row)), ("after_ms", routes.waits_of(row))):
                self.initial[field] = ", ".join(f"{name}={figure}" for name, figure in figures.items())

    def _prepare_deployments(self, there: list[RouteTarget]) -> None:
        for number in self._numbers("deployment_"):
            field = one_of(Deployment.objects.all(), (RouteTarget, "deployment"), self.admin_site, required=False)
            field.label = ORDINALS[number] if number < len(ORDINALS) else f"{number + 1}th"
            self.fields[f"deployment_{number}"] = field
            if number < len(there):
                self.initial[f"deployment_{number}"] = there[number].deployment

    def _prepare_fallbacks(self, there: list[RouteFallback]) -> None:
        for number in self._numbers("fallback_to_"):
            field = one_of(ModelRoute.objects.all(), (RouteFallback, "to"), self.admin_site, required=False)
            field.label = "ask"
            self.fields[f"fallback_to_{number}"] = field
            if number < len(there):
                self.initial.update({f"fallback_on_{number}": there[number].on, f"fallback_to_{number}": there[number].to})

    def _numbers(self, begins: str) -> list[int]:
        """Of the fields that begin so."""
        return [int(name.removeprefix(begins)) for name in self.fields if name.startswith(begins)]

    # ---- what was written

    def given(self) -> dict[str, Any]:
        """As the changes take it. Raises InvalidRequest beside the field at fault."""
        said = self.cleaned_data
        found = {name: said[name] for name in _PLAIN}
        found["strategy"] = found["strategy"] or STRATEGIES[0][0]
        found["max_fallbacks"] = USUAL_FALLBACKS if found["max_fallbacks"] is None else found["max_fallbacks"]
        found["regions"] = [one.strip() for one in said["regions"].split(",") if one.strip()]
        figures = {field: self._figures(field) for field in ("weights", "after_ms")}
        return {**found, **figures, "deployments": self._deployments(), "fallbacks": [one for _, one in self._fallbacks()]}

    def _deployments(self) -> list[Deployment]:
        found: list[Deployment] = []
        for number in self._numbers("deployment_"):
            one = self.cleaned_data[f"deployment_{number}"]
            if one in found:
                raise InvalidRequest("it is named above already", code="invalid_field", pointer=f"/deployment_{number}")
            found += [one] if one is not None else []
        return found

    def _figures(self, field: str) -> dict[str, int]:
        """By deployment, as `mini-eu=3, mini-us=1` says it."""
        found = {}
        for part in filter(None, (one.strip() for one in self.cleaned_data[field].split(","))):
            name, _, figure = (one.strip() for one in part.partition("="))
            if not (name and figure.isdecimal() and len(figure) <= MOST_DIGITS):
                raise InvalidRequest("write it like mini-eu=3, mini-us=1", code="invalid_field", pointer=f"/{field}")
            found[name] = int(figure)
        return found

    def _fallbacks(self) -> list[tuple[int, dict[str, str]]]:
        """With the number of the place where each stands."""
        said, found = self.cleaned_data, []
        for number in self._numbers("fallback_to_"):
            on, to = said.get(f"fallback_on_{number}"), said[f"fallback_to_{number}"]
            if bool(on) != (to is not None):
                missing = "to" if on else "on"
                raise InvalidRequest(
                    "say both: after which error, and which model", code="invalid_field", pointer=f"/fallback_{missing}_{number}"
                )
            if on and to is not None:
                found.append((number, {"on": on, "to": to.name}))
        return found

    def place_of(self, pointer: str) -> str:
        """The field of this form that a refusal is about."""
        part, *rest = pointer.strip("/").split("/")
        if part == "deployments":
            filled = [number for number in self._numbers("deployment_") if self.cleaned_data[f"deployment_{number}"] is not None]
            return f"/deployment_{filled[int(rest[0])] if rest else 0}"
        if part == "fallbacks" and rest:
            return f"/fallback_{rest[1] if len(rest) > 1 else 'to'}_{self._fallbacks()[int(rest[0])][0]}"
        return pointer


@admin.register(ModelRoute)
class RouteAdmin(VerbAdmin, DoingAdmin):
    """Models, as callers name them. Operators alone."""

    verbs = (PauseRows(PauseKind.MODEL), ResumeRows(PauseKind.MODEL))
    form = RouteForm
    tenant_field = ""
    list_display = ("name", "state", "how", "leads_to")
    list_filter = ("is_enabled", "strategy", ("wildcard", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name",)
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelRoute]:
        """With where they lead."""
        return super().get_queryset(request).select_related("wildcard").prefetch_related("targets__deployment")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        """The form, with fields for each deployment and each fallback, and some to spare."""
        fields: dict[str, forms.Field] = {}
        for deployment in _places_of(obj):
            fields[deployment] = forms.ModelChoiceField(Deployment.objects.none(), required=False)
        for on, to in _fallbacks_of(obj):
            fields[on] = forms.ChoiceField(choices=_ON, required=False, label="on")
            fields[to] = forms.ModelChoiceField(ModelRoute.objects.none(), required=False)
        return super().get_form(request, obj, change, **{**kwargs, "form": type("RouteForm", (RouteForm,), fields)})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The deployments apart, in their order; then how one is chosen, and what follows an error."""
        order = {"fields": _places_of(obj), "description": "In the order of preference; how one is chosen the strategy says."}
        after = {
            "fields": (*_fallbacks_of(obj), "max_fallbacks"),
            "description": "After an error of a kind a job goes to another model, the first one first.",
        }
        return (
            (None, {"fields": ("name", "is_enabled")}),
            ("Where it leads", order),
            ("How it chooses", {"fields": ("strategy", "weights", "regions", "after_ms", "is_sticky", "hedges")}),
            ("Fallbacks", after),
            ("Retries", {"fields": models.RETRIES}),
        )

    @admin.display(description="State", ordering="is_enabled")
    def state(self, row: ModelRoute) -> SafeString:
        """Whether work is taken for it."""
        if not row.is_enabled:
            return badge("out", "idle")
        is_open = any(one.is_enabled for one in routes.deployments_of(row))
        return badge("takes work", "good") if is_open else badge("leads nowhere", "bad")

    @admin.display(description="Strategy", ordering="strategy")
    def how(self, row: ModelRoute) -> str:
        """How it chooses, and whether it does so because a wildcard does."""
        strategy = row.strategy.replace("_", " ")
        return f"{strategy}, as {row.wildcard}" if row.wildcard else strategy

    @admin.display(description="Leads to")
    def leads_to(self, row: ModelRoute) -> str:
        """In order."""
        return " → ".join(one.name if one.is_enabled else f"{one.name} (out)" for one in routes.deployments_of(row))

    def write(self, request: HttpRequest, form: Any, row: ModelRoute | None) -> ModelRoute:
        """Make or change a model."""
        actor, given = actor_of(request, None), form.given()
        try:
            return models.create_model(actor, **given) if row is None else models.change_model(actor, row, **given)
        except InvalidRequest as error:
            errors = [(form.place_of(pointer), said) for pointer, said in error.errors]
            raise InvalidRequest(str(error), code=error.code, pointer=errors[0][0], errors=errors) from None

    def erase(self, request: HttpRequest, row: ModelRoute) -> None:
        """Delete a name; its deployments stay."""
        models.delete_model(actor_of(request, None), row)
