"""What providers' models cost, and what they cost before."""

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
from rateguard.admin.drawing import badge, two_lines
from rateguard.providers import choices
from tenants.changes import price_parts, prices
from tenants.models import Price


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
