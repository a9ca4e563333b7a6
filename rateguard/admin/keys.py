"""API keys: made here, the secret shown once; rotated with an overlap, revoked, never deleted."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from rateguard.admin.base import actor_of, reach_of
from rateguard.admin.changing import ChangeForm
from rateguard.admin.deeds import Deed, DoingAdmin
from rateguard.admin.drawing import badge, two_lines
from rateguard.admin.filters import TenantFilter
from rateguard.admin.inputs import one_of
from rateguard.engine.lanes import Lane
from tenants.access import Access, Power
from tenants.changes import keys
from tenants.changes.actor import bound_text
from tenants.changes.key_rules import BOUND_TO
from tenants.models import ApiKey, Permission, Tenant
from tenants.models.tenant import default_permissions

LANES = [("", "any"), *((str(lane.value), lane.label) for lane in Lane)]
MAY = [(Permission.READ.value, "read"), (Permission.SUBMIT.value, "submit"), (Permission.MANAGE.value, "manage")]
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
OVERLAPS = {"0": dt.timedelta(0), "1h": HOUR, "1d": DAY, "7d": 7 * DAY, "30d": keys.LONGEST_OVERLAP}
SAID = {"0": "none: the old secret ends now", "1h": "1 hour", "1d": "1 day", "7d": "7 days", "30d": "30 days"}


class RotateForm(forms.Form):
    """How long the old secret is good beside the new one."""

    overlap = forms.ChoiceField(choices=list(SAID.items()), initial="1d", help_text="Callers have so long to change over.")


def _is_in_force(_access: Access, row: ApiKey) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > timezone.now())


ROTATE = Deed(
    "rotate",
    "Make a new secret",
    "do_rotate",
    asks="The key, its limits and what it is called stay; the secret is another one.",
    form=RotateForm,
    offered=_is_in_force,
)
REVOKE = Deed(
    "revoke",
    "Revoke",
    "do_revoke",
    asks="The key ends now, with the old secret of a rotation. Jobs that it submitted go on. This cannot be taken back.",
    offered=lambda _, row: row.revoked_at is None,
    is_danger=True,
)


class KeyForm(ChangeForm):
    """What a key may do."""

    tenant = forms.ModelChoiceField(Tenant.objects.none())
    name = forms.CharField(max_length=64, help_text="For whom or what it is.")
    permissions = forms.MultipleChoiceField(
        choices=MAY,
        widget=forms.CheckboxSelectMultiple,
        initial=default_permissions,
        help_text="Read: jobs, usage. Submit: work. Manage: keys, limits and budgets of the tenant.",
    )
    is_operator = forms.BooleanField(required=False, label="Operator", help_text="Sees and stops what is not its tenant's.")
    allowed_models = forms.CharField(
        required=False, help_text="Names of models, or openrouter/* for all that begin so, separated by commas; empty: all."
    )
    default_lane = forms.TypedChoiceField(
        choices=LANES, required=False, coerce=int, empty_value=None, help_text="Where a request names none."
    )
    highest_lane = forms.TypedChoiceField(
        choices=LANES, required=False, coerce=int, empty_value=None, help_text="The most urgent that it may use."
    )
    bound = forms.CharField(
        required=False,
        max_length=700,
        help_text=f"What its requests are charged to, whatever they say: team ml, user ann. One of {', '.join(BOUND_TO)} each.",
    )
    expires_at = forms.SplitDateTimeField(
        required=False, label="Expires", help_text="In UTC; empty: never.", widget=forms.SplitDateTimeWidget
    )

    def prepare(self) -> None:
        """As the key is."""
        access = reach_of(self.request)
        if not self.instance.pk:
            mine = access.tenants(Power.MANAGE)
            self.fields["tenant"] = one_of(mine, (ApiKey, "tenant"), self.admin_site)
            if not access.is_operator and mine.count() == 1:
                self.initial["tenant"] = mine.first()
            return
        shown = {"allowed_models": ", ".join(self.instance.allowed_models), "bound": bound_text(self.instance.bound)}
        self.initial.update({name: shown.get(name, getattr(self.instance, name)) for name in self.fields})

    def clean_allowed_models(self) -> list[str]:
        """The names; which there are is checked where the key is written."""
        return [name.strip() for name in self.cleaned_data["allowed_models"].split(",") if name.strip()]

    def clean_bound(self) -> dict[str, str]:
        """By kind: `team ml, user ann`. Raises ValidationError."""
        found: dict[str, str] = {}
        for part in filter(None, map(str.strip, self.cleaned_data["bound"].split(","))):
            kind, _, name = part.partition(" ")
            if not name.strip() or kind in found:
                raise forms.ValidationError("write a kind and a name each, separated by commas: team ml, user ann")
            found[kind] = name.strip()
        return found


@admin.register(ApiKey)
class KeyAdmin(DoingAdmin):
    """The keys with which callers come in."""

    form = KeyForm
    deeds = (ROTATE, REVOKE)
    list_display = ("name", "beginning", "tenant", "state", "may_do", "created_at")
    list_filter = (TenantFilter.over("tenant"), ("revoked_at", admin.EmptyFieldListFilter), "is_operator")
    list_select_related = ("tenant",)
    search_fields = ("name", "prefix", "tenant__name")
    search_help_text = "A name, the first characters of a key, or a tenant"
    ordering = ("tenant__name", "name", "pk")
    FIELDS: ClassVar = ("name", "permissions", "is_operator", "allowed_models", "default_lane", "highest_lane", "bound", "expires_at")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What it may do; of a key that is there also how it stands."""
        own = tuple(name for name in self.FIELDS if name != "is_operator" or reach_of(request).is_operator)
        return ("of", "beginning", "state", *own) if obj else ("tenant", *own)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whose it is and its secret are no fields."""
        return ("of", "beginning", "state") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: what it submitted names it. It is revoked."""
        return False

    @admin.display(description="Begins with", ordering="prefix")
    def beginning(self, row: ApiKey) -> str:
        """What people recognise it by."""
        return f"{row.prefix}…"

    @admin.display(description="Tenant")
    def of(self, row: ApiKey) -> str:
        """Whose it is."""
        return str(row.tenant)

    @admin.display(description="State")
    def state(self, row: ApiKey) -> SafeString:
        """Whether it is good, and until when."""
        now = timezone.now()
        if row.revoked_at is not None:
            return two_lines(badge("revoked", "bad"), f"{row.revoked_at:%Y-%m-%d %H:%M} UTC")
        if row.expires_at is not None and row.expires_at <= now:
            return two_lines(badge("expired", "bad"), f"{row.expires_at:%Y-%m-%d %H:%M} UTC")
        until = f"until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else ""
        if row.previous_expires_at is not None and row.previous_expires_at > now:
            until = f"its old secret until {row.previous_expires_at:%Y-%m-%d %H:%M} UTC"
        return two_lines(badge("in force", "good"), until)

    @admin.display(description="May")
    def may_do(self, row: ApiKey) -> SafeString:
        """In short."""
        more = [f"bound to {bound_text(row.bound)}"] if row.bound else []
        more += [f"{len(row.allowed_models)} models"] if row.allowed_models else []
        return two_lines(", ".join([*row.permissions, *(["operator"] if row.is_operator else [])]), " · ".join(more))

    # ---- what is done

    def write(self, request: HttpRequest, form: Any, row: ApiKey | None) -> ApiKey:
        """Make a key, or change one."""
        fields = {name: form.cleaned_data[name] for name in self.FIELDS if name in form.fields}
        if row is not None:
            return keys.change_key(actor_of(request, row.tenant), row, **fields)
        tenant = form.cleaned_data["tenant"]
        made, secret = keys.create_key(actor_of(request, tenant), tenant, **fields)
        request.rateguard_secret = secret  # type: ignore[attr-defined]  # shown by `response_add`, kept nowhere
        return made

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The secret, once."""
        return self._shown_once(request, obj, request.rateguard_secret, "Send it as a bearer token: Authorization: Bearer …")  # type: ignore[attr-defined]

    def do_rotate(self, request: HttpRequest, row: ApiKey, fields: dict[str, Any]) -> HttpResponse:
        """The new secret, once."""
        secret = keys.rotate(actor_of(request, row.tenant), row, OVERLAPS[fields["overlap"]])
        good_for = SAID[fields["overlap"]]
        old = f"The old one is good for {good_for} more." if OVERLAPS[fields["overlap"]] else "The old one is good no longer."
        return self._shown_once(request, row, secret, old)

    def do_revoke(self, request: HttpRequest, row: ApiKey, fields: dict[str, Any]) -> str:
        """End it."""
        keys.revoke(actor_of(request, row.tenant), row)
        return f"{row.name} is revoked."

    def _shown_once(self, request: HttpRequest, row: ApiKey, secret: str, more: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"The secret of {row.name}",
            "opts": self.opts,
            "label": f"API key {row.name} of {row.tenant}",
            "secret": secret,
            "more": more,
            "back": reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk]),
            "media": self.media,
        }
        return TemplateResponse(request, "rateguard/admin/secret.html", context)
