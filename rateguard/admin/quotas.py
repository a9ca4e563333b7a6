"""Quotas: the limits and budgets, as people type them, with what really binds and what is used now."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import F, OrderBy, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rateguard.admin.base import actor_of, reach_of
from rateguard.admin.changing import ChangeForm, ChangingAdmin
from rateguard.admin.drawing import NOTHING, bar, two_lines
from rateguard.admin.filters import TenantFilter
from rateguard.admin.inputs import one_of
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.gate.contract import MOST_SHOWN, LimitUse
from rateguard.engine.money import NANO, format_usd
from rateguard.jobs.insight.quotas import Row, Standing, is_default, standings
from tenants.access import Access, Power
from tenants.changes import budgets, limits
from tenants.changes.scopes import scope_for, words_of
from tenants.models import ApiKey, Budget, BudgetUnit, Deployment, Limit, LimitKind, ProviderAccount, Scope, ScopeKind, Tenant

GATE_IS_AWAY = (
    "The gate does not answer: what is used now is not known. Limits can be set all the same; the gate hears of it when it is back."
)
SHARED: dict[str, str] = {ScopeKind.GLOBAL: "all tenants together", ScopeKind.TENANT: "a tenant (or * for every tenant)"}
BELOW: dict[str, str] = {
    ScopeKind.TEAM: "a team",
    ScopeKind.ROLEGROUP: "a group of roles",
    ScopeKind.ROLE: "a role",
    ScopeKind.USER: "a user",
    ScopeKind.KEY: "an API key",
}
ACCOUNT, DEPLOYMENT = "account", "deployment"
LIMIT_HELP = (
    "As you would say it: 600/min · 280000 tokens/10s · 1M tokens/h burst 10% · bucket 60/min burst 20% · 50 concurrent · "
    "600/min reserve 20% for high. It acts on what waits already, within a second."
)
BUDGET_HELP = (
    "As you would say it: $500/month · $5/day hold · $250 in total · 2M tokens/month · $5/day downgrade to a-model · "
    "$500/month tell at 80%, 100%. What is spent stays spent."
)


def in_order(*fields: str) -> tuple[OrderBy, ...]:
    """By these; what has none first, on every database."""
    return tuple(F(field).asc(nulls_first=True) for field in fields)


class PlaceForm(ChangeForm):
    """What a new limit or budget is on, and how much."""

    called: ClassVar[dict[str, str]] = {"scope_kind": "on", "scope": "name"}
    places: ClassVar[dict[str, str]] = {}

    on = forms.ChoiceField(label="On")
    tenant = forms.ModelChoiceField(Tenant.objects.none(), required=False)
    name = forms.CharField(
        required=False,
        max_length=128,
        help_text="Of the team, role, user … Write * for each one of the kind. An API key is named by its first characters.",
    )

    def prepare(self) -> None:
        """The kinds and tenants within reach; where there is one tenant, it goes without saying."""
        if "on" not in self.fields:
            return
        access = reach_of(self.request)
        kinds: dict[str, str] = {**(SHARED if access.is_operator else {}), **BELOW, **self.places}
        self.fields["on"].choices = list(kinds.items())  # type: ignore[attr-defined]
        mine = access.tenants(Power.MANAGE)
        self.fields["tenant"] = one_of(mine, (Scope, "tenant"), self.admin_site, required=False, help_text="Whose team, user, key …")
        self.initial["on"] = ScopeKind.TENANT if access.is_operator else ScopeKind.TEAM
        if not access.is_operator and len(access.tenant_ids(Power.MANAGE) or ()) == 1:
            self.initial["tenant"] = mine.first()

    def scope(self) -> Scope:
        """The node that was named. Raises InvalidRequest."""
        kind, tenant, name = self.cleaned_data["on"], self.cleaned_data["tenant"], self.cleaned_data["name"].strip()
        if tenant is None and not reach_of(self.request).is_operator:
            raise InvalidRequest("name the tenant", code="invalid_field", pointer="/tenant")
        if kind == ScopeKind.KEY and tenant is not None and name not in {"", "*"}:
            name = _key_named(tenant, name)
        return scope_for(kind, tenant, name)


def _key_named(tenant: Tenant, name: str) -> str:
    """The id of a key that people name by its first characters, its name or its id. Raises InvalidRequest."""
    named = Q(prefix=name.removesuffix("…")) | Q(name=name) | (Q(pk=int(name)) if name.isdecimal() and len(name) < 19 else Q(pk__in=()))
    found = list(ApiKey.objects.filter(named, tenant=tenant)[:2])
    if len(found) != 1:
        said = "there is no such key of this tenant" if not found else "several keys are called so: name this one by its first characters"
        raise InvalidRequest(said, code="invalid_field", pointer="/scope")
    return str(found[0].pk)


class LimitForm(PlaceForm):
    """A limit on a node, a provider account or a deployment."""

    account = forms.ModelChoiceField(ProviderAccount.objects.none(), required=False)
    deployment = forms.ModelChoiceField(Deployment.objects.none(), required=False)
    limit = forms.CharField(max_length=limits.LONGEST_TEXT, help_text=LIMIT_HELP)
    places: ClassVar[dict[str, str]] = {ACCOUNT: "a provider account", DEPLOYMENT: "a deployment"}

    def prepare(self) -> None:
        """What a limit can be on."""
        super().prepare()
        if self.instance.pk:
            self.initial["limit"] = limits.text_of(self.instance)
            return
        access = reach_of(self.request)
        accounts = access.within(ProviderAccount.objects.all(), "tenant", Power.MANAGE)
        deployments = access.within(Deployment.objects.all(), "account__tenant", Power.MANAGE)
        for name, rows in ((ACCOUNT, accounts), (DEPLOYMENT, deployments)):
            self.fields[name] = one_of(rows, (Limit, name), self.admin_site, required=False)

    def place(self) -> Scope | ProviderAccount | Deployment:
        """What the limit is on. Raises InvalidRequest."""
        kind = self.cleaned_data["on"]
        if kind not in self.places:
            return self.scope()
        found: ProviderAccount | Deployment | None = self.cleaned_data[kind]
        if found is None:
            raise InvalidRequest(f"name the {kind}", code="invalid_field", pointer=f"/{kind}")
        return found


class BudgetForm(PlaceForm):
    """A budget on a node."""

    budget = forms.CharField(max_length=budgets.LONGEST_TEXT, help_text=BUDGET_HELP)

    def prepare(self) -> None:
        """The budget as it stands."""
        super().prepare()
        if self.instance.pk:
            self.initial["budget"] = budgets.text_of(self.instance)


class QuotaAdmin(ChangingAdmin):
    """What limits and budgets have in common: where they are, what binds, what is used."""

    quota: ClassVar[str]
    list_display_links = ("where",)
    conditional_fields: ClassVar[dict[str, str]] = {
        "tenant": "!['global', 'account', 'deployment'].includes(on)",
        "name": "!['global', 'account', 'deployment'].includes(on)",
        "account": "on == 'account'",
        "deployment": "on == 'deployment'",
    }

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Where, how much, what binds, what is used."""
        return ("where", self.quota, "effective", "used")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Where it is stays, once it is there."""
        return ("where",) if obj else ()

    def _is_set_by_operators(self, row: Row | None) -> bool:
        return row is not None and row.scope is not None and row.scope.kind in SHARED

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A tenant's own and what is above it, operators alone."""
        is_reached = reach_of(request).is_operator or not self._is_set_by_operators(obj)
        return is_reached and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As to change it."""
        return self.has_change_permission(request, obj)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The page, with how its rows stand: one call of the gate."""
        page = super().get_changelist_instance(request)
        page.result_list = list(page.result_list)
        found = standings(page.result_list, sees_all=reach_of(request).is_operator)
        for row in page.result_list:
            row.standing = found.by_row[row.pk]
        if page.result_list and found.seen is None and request.method == "GET":
            messages.warning(request, GATE_IS_AWAY)
        return page

    @admin.display(description="On")
    def where(self, row: Any) -> str:
        """What it is on, in words."""
        standing: Standing | None = getattr(row, "standing", None)
        if standing is not None:
            return standing.place
        return limits.place_of(row) if isinstance(row, Limit) else words_of(row.scope)

    @admin.display(description="Effective")
    def effective(self, row: Any) -> SafeString:
        """What really binds, and why it is another than what is written here."""
        standing: Standing = row.standing
        if standing.stricter is not None:
            return two_lines(_text(standing.stricter), f"{_place(standing.stricter)} lets less through")
        if standing.instead_of is not None:
            return two_lines(_text(row), f"instead of {_text(standing.instead_of)} of {_place(standing.instead_of)}")
        if is_default(row):
            others = f"{standing.own_ones:,} with their own instead" if standing.own_ones else ""
            return two_lines(f"{_text(row)} each", others)
        return two_lines(_text(row), "")

    @admin.display(description="Used now")
    def used(self, row: Any) -> SafeString | str:
        """A bar with figures; nothing where the gate said nothing."""
        standing: Standing = row.standing
        if standing.use is None:
            return NOTHING if standing.nodes is None else "by nobody"
        if not is_default(row):
            return _drawn(row, standing.use)
        nodes = standing.nodes or 1
        others = "the only one" if nodes == 1 else f"the fullest of {nodes:,}" if nodes <= MOST_SHOWN else f"one of {nodes:,}"
        return two_lines(_drawn(row, standing.use), f"{standing.node}, {others}")


def _text(row: Row) -> str:
    return limits.text_of(row) if isinstance(row, Limit) else budgets.text_of(row)


def _place(row: Row) -> str:
    return limits.place_of(row) if isinstance(row, Limit) else words_of(row.scope)


def _drawn(row: Row, use: LimitUse) -> SafeString:
    """A bar. What the gate has not heard of yet is said."""
    is_money = isinstance(row, Budget) and row.unit == BudgetUnit.USD
    words = f"{_figure(use.used, is_money=is_money)} of {_figure(use.amount, is_money=is_money)}"
    drawn = bar(use.used, use.amount, words, use.reserved)
    if isinstance(row, Limit) and row.kind == LimitKind.BUCKET:
        return two_lines(drawn, "of what may come at once")
    if isinstance(row, Limit) and row.scope_id is None and (use.foreign or use.amount != row.amount):
        return two_lines(drawn, f"of what is granted now; {use.foreign:,} used by others" if use.foreign else "of what is granted now")
    if use.amount != row.amount:
        return two_lines(drawn, "the gate was not told yet")
    return two_lines(drawn, f"{_figure(use.reserved, is_money=is_money)} held by calls under way" if use.reserved else "")


def _figure(amount: int, *, is_money: bool) -> str:
    """In cents, below a dollar in hundredths of them, and never more than it is."""
    part = 10_000_000 if amount >= NANO else 100_000
    return format_usd(amount // part * part) if is_money else f"{amount:,}"


@admin.register(Limit)
class LimitAdmin(QuotaAdmin):
    """Limits on nodes, provider accounts and deployments."""

    quota = "limit"
    form = LimitForm
    list_filter = (TenantFilter.over("scope__tenant", "account__tenant", "deployment__account__tenant"), "scope__kind", "metric")
    list_select_related = ("scope__tenant", "account__tenant", "deployment__account__tenant")
    search_fields = ("scope__name", "scope__tenant__name", "account__name", "deployment__name")
    search_help_text = "A team, user, tenant, account or deployment"
    ordering = (
        *in_order("scope__tenant__name", "scope__kind", "scope__name", "account__name", "deployment__name"),
        "metric",
        "window_ms",
        "pk",
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Where a new one goes; of an old one the text alone."""
        return ("where", "limit") if obj else ("on", "tenant", "name", "account", "deployment", "limit")

    def within(self, access: Access, rows: QuerySet[Any]) -> QuerySet[Any]:
        """By the tenant of what it is on."""
        ids = access.tenant_ids(self.sees)
        if ids is None:
            return rows
        return rows.filter(Q(scope__tenant__in=ids) | Q(account__tenant__in=ids) | Q(deployment__account__tenant__in=ids))

    def tenant_id_of(self, row: Any) -> int | None:
        """By the tenant of what it is on."""
        owner = limits.tenant_of(row)
        return owner.pk if owner else None

    @admin.display(description="Limit")
    def limit(self, row: Limit) -> str:
        """As people type it."""
        return limits.text_of(row)

    def write(self, request: HttpRequest, form: Any, row: Limit | None) -> Limit:
        """Make or change a limit."""
        if row is not None:
            return limits.change_limit(actor_of(request, limits.tenant_of(row)), row, form.cleaned_data["limit"])
        on = form.place()
        owner = on.account.tenant if isinstance(on, Deployment) else on.tenant
        return limits.create_limit(actor_of(request, owner), on, form.cleaned_data["limit"])

    def erase(self, request: HttpRequest, row: Limit) -> None:
        """Delete a limit."""
        limits.delete_limit(actor_of(request, limits.tenant_of(row)), row)


@admin.register(Budget)
class BudgetAdmin(QuotaAdmin):
    """Budgets of money or tokens."""

    quota = "budget"
    form = BudgetForm
    tenant_field = "scope__tenant"
    list_filter = (TenantFilter.over("scope__tenant"), "scope__kind", "period", "on_exhausted")
    list_select_related = ("scope__tenant", "downgrade_to")
    search_fields = ("scope__name", "scope__tenant__name")
    search_help_text = "A team, user or tenant"
    ordering = (*in_order("scope__tenant__name", "scope__kind", "scope__name"), "unit", "period", "pk")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Where a new one goes; of an old one the text alone."""
        return ("where", "budget") if obj else ("on", "tenant", "name", "budget")

    @admin.display(description="Budget")
    def budget(self, row: Budget) -> str:
        """As people type it."""
        return budgets.text_of(row)

    def write(self, request: HttpRequest, form: Any, row: Budget | None) -> Budget:
        """Make or change a budget."""
        if row is not None:
            return budgets.change_budget(actor_of(request, row.scope.tenant), row, form.cleaned_data["budget"])
        scope = form.scope()
        return budgets.create_budget(actor_of(request, scope.tenant), scope, form.cleaned_data["budget"])

    def erase(self, request: HttpRequest, row: Budget) -> None:
        """Delete a budget."""
        budgets.delete_budget(actor_of(request, row.scope.tenant), row)
