"""What callers may ask for and what it costs: models, in the order of their deployments, and the history of prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from rateguard.admin.base import actor_of
from rateguard.admin.changing import ChangeForm, ChangingAdmin
from rateguard.admin.deeds import DoingAdmin
from rateguard.admin.drawing import badge, two_lines
from rateguard.admin.inputs import one_of
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.pausing import PauseRows, ResumeRows
from rateguard.engine.errors import InvalidRequest
from rateguard.providers import choices
from tenants.changes import models, price_parts, prices, routes
from tenants.models import Deployment, ModelRoute, PauseKind, Price, RouteTarget

SPARE = 3
"""Empty places for further deployments below those that a model has."""
ORDINALS = ("First", "Second", "Third")


def _places_of(row: ModelRoute | None) -> list[str]:
    """The names of the fields for deployments, the first one first."""
    there = row.targets.count() if row is not None else 0
    return [f"deployment_{number}" for number in range(min(there + SPARE, routes.MOST_DEPLOYMENTS))]


class RouteForm(ChangeForm):
    """A name that callers use, and where it leads."""

    name = forms.CharField(max_length=128, help_text="As callers write it. A renamed model is another one to whoever waits.")
    is_enabled = forms.BooleanField(required=False, initial=True, label="Takes work")
    max_tries = forms.IntegerField(required=False, label="Tries", help_text="Failures before a job fails; empty: as the settings say.")
    retry_base_ms = forms.IntegerField(required=False, label="First wait (ms)", help_text="The longest before a first retry; it doubles.")
    retry_max_ms = forms.IntegerField(required=False, label="Longest wait (ms)", help_text="Before any retry.")

    def prepare(self) -> None:
        """The deployments in their order, and places for more."""
        there = routes.deployments_of(self.instance) if self.instance.pk else []
        for number, name in enumerate(place for place in self.fields if place.startswith("deployment_")):
            field = one_of(Deployment.objects.all(), (RouteTarget, "deployment"), self.admin_site, required=False)
            field.label = ORDINALS[number] if number < len(ORDINALS) else f"{number + 1}th"
            self.fields[name] = field
            if number < len(there):
                self.initial[name] = there[number]
        if self.instance.pk:
            self.initial.update({name: getattr(self.instance, name) for name in ("name", "is_enabled", *models.RETRIES)})

    def deployments(self) -> list[Deployment]:
        """Those that were named, in order. Raises InvalidRequest where one was named twice."""
        found: list[Deployment] = []
        for name, one in ((name, self.cleaned_data[name]) for name in self.fields if name.startswith("deployment_")):
            if one in found:
                raise InvalidRequest("it is named above already", code="invalid_field", pointer=f"/{name}")
            found += [one] if one is not None else []
        return found


@admin.register(ModelRoute)
class RouteAdmin(VerbAdmin, DoingAdmin):
    """Models, as callers name them. Operators alone."""

    verbs = (PauseRows(PauseKind.MODEL), ResumeRows(PauseKind.MODEL))
    form = RouteForm
    tenant_field = ""
    list_display = ("name", "state", "leads_to")
    list_filter = ("is_enabled",)
    search_fields = ("name",)
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelRoute]:
        """With where they lead."""
        return super().get_queryset(request).prefetch_related("targets__deployment")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        """The form, with a field for each deployment and some to spare."""
        places = {name: forms.ModelChoiceField(Deployment.objects.none(), required=False) for name in _places_of(obj)}
        return super().get_form(request, obj, change, **{**kwargs, "form": type("RouteForm", (RouteForm,), places)})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The deployments apart, in their order."""
        order = {"fields": _places_of(obj), "description": "The first one with room takes a job; the others are tried in this order."}
        return ((None, {"fields": ("name", "is_enabled")}), ("Where it leads", order), ("Retries", {"fields": models.RETRIES}))

    @admin.display(description="State", ordering="is_enabled")
    def state(self, row: ModelRoute) -> SafeString:
        """Whether work is taken for it."""
        if not row.is_enabled:
            return badge("out", "idle")
        is_open = any(one.is_enabled for one in routes.deployments_of(row))
        return badge("takes work", "good") if is_open else badge("leads nowhere", "bad")

    @admin.display(description="Leads to")
    def leads_to(self, row: ModelRoute) -> str:
        """In order."""
        return " → ".join(one.name if one.is_enabled else f"{one.name} (out)" for one in routes.deployments_of(row))

    def write(self, request: HttpRequest, form: Any, row: ModelRoute | None) -> ModelRoute:
        """Make or change a model."""
        actor, found = actor_of(request, None), form.deployments()
        given = {name: form.cleaned_data[name] for name in ("name", "is_enabled", *models.RETRIES)}
        try:
            if row is None:
                return models.create_model(actor, deployments=found, **given)
            return models.change_model(actor, row, deployments=found, **given)
        except InvalidRequest as error:
            errors = [("/deployment_0" if pointer == "/deployments" else pointer, said) for pointer, said in error.errors]
            raise InvalidRequest(str(error), code=error.code, pointer=errors[0][0], errors=errors) from None

    def erase(self, request: HttpRequest, row: ModelRoute) -> None:
        """Delete a name; its deployments stay."""
        models.delete_model(actor_of(request, None), row)


class PriceForm(ChangeForm):
    """Dollars per million tokens from a moment on."""

    provider = forms.ChoiceField(choices=choices)
    model = forms.CharField(max_length=128, help_text="As the provider calls it.")
    valid_from = forms.SplitDateTimeField(help_text="In UTC. It acts on what ends from then on; entries of the ledger stay.")
    input_usd = forms.DecimalField(label="Input", help_text="Dollars per million tokens, at most six places.")
    output_usd = forms.DecimalField(label="Output")
    cached_input_usd = forms.DecimalField(label="Cached input", required=False, help_text="Empty: as input.")
    cache_write_usd = forms.DecimalField(label="Writing to the cache", required=False, help_text="Empty: as input.")
    parts = forms.JSONField(
        label="Tiers, long contexts, audio",
        required=False,
        help_text='What depends on the request, as JSON: {"batch_input_usd": "1", "audio_input_usd": "32"}; empty: nothing does.',
    )

    def prepare(self) -> None:
        """As the price is; a new one is valid from now."""
        if not self.instance.pk:
            self.initial["valid_from"] = timezone.now().replace(microsecond=0)
            return
        columns = prices.COLUMNS.items()
        shown: dict[str, Any] = {name: Decimal(price_parts.usd_of(getattr(self.instance, column))) for name, column in columns}
        shown["parts"] = prices.parts_of(self.instance)
        self.initial.update({name: shown[name] if name in shown else getattr(self.instance, name) for name in self.fields})


@admin.register(Price)
class PriceAdmin(ChangingAdmin):
    """What providers' models cost, with what they cost before. Operators alone."""

    form = PriceForm
    tenant_field = ""
    list_display = ("what", "state", "valid_from", "input", "cached_input", "cache_write", "output")
    list_display_links = ("what",)
    list_filter = ("provider",)
    search_fields = ("model", "provider")
    ordering = ("provider", "model", "-valid_from")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        """With whether a later one took its place."""
        later = Price.objects.filter(
            provider=OuterRef("provider"), model=OuterRef("model"), valid_from__gt=OuterRef("valid_from"), valid_from__lte=Now()
        )
        rows: QuerySet[Price] = super().get_queryset(request)
        return rows.annotate(is_past=Exists(later))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What it is of stays."""
        what = ("what",) if obj else ("provider", "model")
        return (*what, "valid_from", "input_usd", "output_usd", "cached_input_usd", "cache_write_usd", "parts")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """As above."""
        return ("what",) if obj else ()

    @admin.display(description="Model", ordering="model")
    def what(self, row: Price) -> SafeString:
        """The provider's model."""
        return two_lines(row.model, row.provider)

    @admin.display(description="State")
    def state(self, row: Any) -> SafeString:
        """Whether it is in force."""
        if row.is_past:
            return badge("past", "idle")
        return badge("in force", "good") if row.valid_from <= timezone.now() else badge("to come", "warn")

    @admin.display(description="Input, $/M", ordering="input_pico")
    def input(self, row: Price) -> str:
        """Dollars per million."""
        return price_parts.usd_of(row.input_pico)

    @admin.display(description="Cached")
    def cached_input(self, row: Price) -> str:
        """Dollars per million."""
        return price_parts.usd_of(row.cached_input_pico)

    @admin.display(description="Cache write")
    def cache_write(self, row: Price) -> str:
        """Dollars per million."""
        return price_parts.usd_of(row.cache_write_pico)

    @admin.display(description="Output, $/M", ordering="output_pico")
    def output(self, row: Price) -> str:
        """Dollars per million."""
        return price_parts.usd_of(row.output_pico)

    def write(self, request: HttpRequest, form: Any, row: Price | None) -> Price:
        """Make or change a price."""
        given = {name: value for name, value in form.cleaned_data.items() if value is not None}
        given.setdefault("parts", {})
        actor = actor_of(request, None)
        if row is None:
            return prices.create_price(actor, **given)
        for name in ("cached_input_usd", "cache_write_usd"):
            given.setdefault(name, given["input_usd"])
        return prices.change_price(actor, row, **given)

    def erase(self, request: HttpRequest, row: Price) -> None:
        """Take a price away: the one before it is in force again."""
        prices.delete_price(actor_of(request, None), row)
