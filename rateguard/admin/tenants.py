"""Tenants and the people who belong to them."""

from __future__ import annotations

import zoneinfo
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rateguard.admin.base import actor_of, reach_of
from rateguard.admin.changing import ChangeForm, ChangingAdmin
from rateguard.admin.deeds import Deed, DoingAdmin
from rateguard.admin.drawing import badge
from rateguard.admin.filters import TenantFilter
from rateguard.admin.inputs import one_of
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.pausing import PauseRows, ResumeRows
from tenants.access import Power
from tenants.changes import members, tenants
from tenants.models import Member, MemberRole, PauseKind, Tenant, TenantStatus

CLOSE = Deed(
    "close",
    "Refuse its new work",
    "do_close",
    asks="Its keys are refused and it submits nothing new. What waits already goes on; nothing is lost.",
    offered=lambda access, row: access.is_operator and row.status == TenantStatus.ACTIVE,
    is_danger=True,
)
OPEN = Deed("open", "Take its work again", "do_open", offered=lambda access, row: access.is_operator and row.status == TenantStatus.PAUSED)


class TenantForm(ChangeForm):
    """A tenant's own values."""

    class Meta:
        model = Tenant
        fields = ("name", "weight", "time_zone", "max_waiting", "keep_bodies_days")
        labels: ClassVar[dict[str, str]] = {"keep_bodies_days": "Days to keep requests and answers"}
        help_texts: ClassVar[dict[str, str]] = {
            "name": "Letters, digits, - and _. It stands in addresses and in what callers write.",
            "weight": "Its part of a contested lane against the others', from 1 to 1,000.",
            "max_waiting": "How many of its jobs may wait at once; empty: as the settings say.",
            "keep_bodies_days": "After so many days requests and answers of ended jobs are removed; empty: as the settings say.",
        }

    time_zone = forms.ChoiceField(help_text="Where the days, weeks and months of its budgets begin.", initial="UTC")

    def prepare(self) -> None:
        """The time zones that this machine knows."""
        if "time_zone" in self.fields:
            names = sorted(zoneinfo.available_timezones())
            self.fields["time_zone"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


@admin.register(Tenant)
class TenantAdmin(VerbAdmin, DoingAdmin):
    """Who pays. Operators set them; whoever manages one sees it."""

    verbs = (PauseRows(PauseKind.TENANT), ResumeRows(PauseKind.TENANT))
    form = TenantForm
    tenant_field = "pk"
    is_set_by_operators = True
    deeds = (CLOSE, OPEN)
    list_display = ("name", "state", "weight", "time_zone", "max_waiting", "key_count")
    list_filter = ("status",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "weight", "time_zone", "max_waiting", "keep_bodies_days")

    def get_queryset(self, request: HttpRequest) -> Any:
        """With how many keys each has, where it is shown."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and (match.url_name or "").endswith("tenant_changelist")
        return rows.annotate(keys_in_all=Count("api_keys")) if is_list else rows

    @admin.display(description="State", ordering="status")
    def state(self, row: Tenant) -> SafeString:
        """Whether its work is let in."""
        return badge("takes work", "good") if row.status == TenantStatus.ACTIVE else badge("refused", "warn")

    @admin.display(description="Keys", ordering="keys_in_all")
    def key_count(self, row: Any) -> int:
        """How many API keys it has, revoked ones too."""
        count: int = row.keys_in_all
        return count

    def write(self, request: HttpRequest, form: Any, row: Tenant | None) -> Tenant:
        """Make or change a tenant."""
        actor = actor_of(request, row)
        fields = {name: form.cleaned_data[name] for name in self.fields}
        return tenants.create_tenant(actor, **fields) if row is None else tenants.change_tenant(actor, row, **fields)

    def erase(self, request: HttpRequest, row: Tenant) -> None:
        """Delete a tenant that never worked."""
        tenants.delete_tenant(actor_of(request, row), row)

    def do_close(self, request: HttpRequest, row: Tenant, fields: dict[str, Any]) -> str:
        """Let nothing new in."""
        tenants.change_tenant(actor_of(request, row), row, status=TenantStatus.PAUSED)
        return f"New work of {row.name} is refused."

    def do_open(self, request: HttpRequest, row: Tenant, fields: dict[str, Any]) -> str:
        """Let its work in again."""
        tenants.change_tenant(actor_of(request, row), row, status=TenantStatus.ACTIVE)
        return f"Work of {row.name} is taken again."


class MemberForm(ChangeForm):
    """Who belongs to a tenant, and what they may do for it."""

    tenant = forms.ModelChoiceField(Tenant.objects.none())
    username = forms.CharField(
        max_length=members.MOST_NAME_CHARS, help_text="Who is not known yet gets a user, and needs a way to sign in."
    )
    email = forms.EmailField(required=False, help_text="Of a new user.")
    role = forms.ChoiceField(
        choices=MemberRole.choices,
        initial=MemberRole.MEMBER,
        help_text="Viewer: figures and jobs. Member: also requests and answers, cancel and retry. Admin: also keys, limits and budgets. "
        "Owner: also who belongs to it.",
    )

    def prepare(self) -> None:
        """The tenants for which one may say who belongs to them."""
        if self.instance.pk:
            if "role" in self.fields:
                self.initial["role"] = self.instance.role
            return
        mine = reach_of(self.request).tenants(Power.OWN)
        self.fields["tenant"] = one_of(mine, (Member, "tenant"), self.admin_site)
        if not reach_of(self.request).is_operator and mine.count() == 1:
            self.initial["tenant"] = mine.first()


@admin.register(Member)
class MemberAdmin(ChangingAdmin):
    """The people of tenants. Owners and operators say who they are."""

    form = MemberForm
    changes = Power.OWN
    list_display = ("person", "tenant", "role", "created_at")
    list_filter = (TenantFilter.over("tenant"), "role")
    list_select_related = ("tenant", "user")
    search_fields = ("user__username", "tenant__name")
    ordering = ("tenant__name", "pk")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whom and where of a new one; the role of an old one."""
        email = ("email",) if reach_of(request).is_operator else ()
        return ("person", "of", "role") if obj else ("tenant", "username", *email, "role")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A person and a tenant stay."""
        return ("person", "of") if obj else ()

    @admin.display(description="Person", ordering="user")
    def person(self, row: Member) -> str:
        """By the name with which they sign in."""
        return row.user.get_username()

    @admin.display(description="Tenant")
    def of(self, row: Member) -> str:
        """To which tenant they belong."""
        return str(row.tenant)

    def write(self, request: HttpRequest, form: Any, row: Member | None) -> Member:
        """Add a member, or give one another role."""
        given = form.cleaned_data
        if row is not None:
            return members.change_member(actor_of(request, row.tenant), row, role=given["role"])
        actor = actor_of(request, given["tenant"])
        return members.add_member(actor, given["tenant"], username=given["username"], role=given["role"], email=given.get("email", ""))

    def erase(self, request: HttpRequest, row: Member) -> None:
        """Take a person out."""
        members.remove_member(actor_of(request, row.tenant), row)
