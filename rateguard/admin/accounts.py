"""Provider accounts and their deployments: where work goes, whether it can, and what is used there."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rateguard.admin.base import actor_of, reach_of
from rateguard.admin.changing import ChangeForm
from rateguard.admin.deeds import Deed, DoingAdmin
from rateguard.admin.drawing import NOTHING, badge, bar, per_cent, two_lines
from rateguard.admin.filters import TenantFilter
from rateguard.admin.inputs import one_of
from rateguard.admin.machine.pages import VerbAdmin
from rateguard.admin.machine.pausing import PauseRows, ResumeRows
from rateguard.engine.breaker.rule import BreakerState, Forced
from rateguard.engine.errors import GateError, InvalidRequest
from rateguard.engine.limits.limit import Kind
from rateguard.jobs.controls import breakers
from rateguard.jobs.insight.accounts import ask, key_of
from rateguard.jobs.insight.binding import DeploymentState, Effective
from rateguard.jobs.insight.calibrated import learned
from rateguard.jobs.insight.deployments import states_of
from rateguard.providers import choices
from tenants.access import Access, Power
from tenants.changes import accounts, deployments
from tenants.changes.actor import Actor
from tenants.models import Deployment, PauseKind, ProviderAccount, Tenant

PATIENCE_S = 5.0
MOST_NAMED = 8
OPTIONS = 'What else its provider has to know, as its page in the docs says: {"api_version": "2024-10-21"}. No secrets.'
TEST = Deed("test", "Test the connection", "do_test")


class AccountForm(ChangeForm):
    """An account. Its credentials go in and never come out."""

    name = forms.SlugField(max_length=64)
    tenant = forms.ModelChoiceField(Tenant.objects.none(), required=False)
    provider = forms.ChoiceField(choices=choices)
    base_url = forms.CharField(
        required=False,
        max_length=accounts.MOST_URL_CHARS,
        label="Base URL",
        help_text="Such as https://api.openai.com/v1; of a new account empty: where the provider's preset says that it is.",
    )
    default_limits = forms.BooleanField(
        required=False, initial=True, label="Usual limits", help_text="The limits that its preset has; they can be changed afterwards."
    )
    credentials = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="The provider's API key. It is stored encrypted and never shown.",
    )
    options = forms.JSONField(required=False, initial=dict, help_text=OPTIONS)

    def prepare(self) -> None:
        """As the account is, but its credentials."""
        access = reach_of(self.request)
        self.initial.pop("credentials", None)
        if self.instance.pk:
            for name in {"name", "provider", "base_url", "options"} & set(self.fields):
                self.initial[name] = getattr(self.instance, name)
            if "credentials" in self.fields:
                kept = "Some are stored." if self.instance.credentials else "None are stored."
                self.fields["credentials"].help_text = f"{kept} Leave this empty to keep them as they are; they are never shown."
            return
        mine = access.tenants(Power.MANAGE)
        whose = "Whose account it is; empty: of all tenants." if access.is_operator else ""
        self.fields["tenant"] = one_of(mine, (ProviderAccount, "tenant"), self.admin_site, required=not access.is_operator, help_text=whose)
        if not access.is_operator and mine.count() == 1:
            self.initial["tenant"] = mine.first()


@admin.register(ProviderAccount)
class AccountAdmin(VerbAdmin, DoingAdmin):
    """Credentials and a base URL at one provider."""

    verbs = (PauseRows(PauseKind.ACCOUNT), ResumeRows(PauseKind.ACCOUNT))
    form = AccountForm
    deeds = (TEST,)
    list_display = ("name", "provider", "base_url", "whose")
    list_filter = (TenantFilter.over("tenant"), "provider")
    list_select_related = ("tenant",)
    search_fields = ("name", "base_url", "tenant__name")
    ordering = ("name",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whose it is stays."""
        new = () if obj else ("default_limits",)
        return ("name", "whose" if obj else "tenant", "provider", "base_url", "credentials", "options", *new)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """As above."""
        return ("whose",) if obj else ()

    @admin.display(description="Of", ordering="tenant__name")
    def whose(self, row: ProviderAccount) -> str:
        """Whose it is."""
        return str(row.tenant) if row.tenant else "all tenants"

    def write(self, request: HttpRequest, form: Any, row: ProviderAccount | None) -> ProviderAccount:
        """Make or change an account; without new credentials the old ones stay."""
        given = form.cleaned_data
        fields = {name: given[name] for name in ("name", "provider", "base_url")} | {"options": given["options"] or {}}
        if row is None:
            actor = actor_of(request, given["tenant"])
            limits = None if given["default_limits"] else ()
            return accounts.create_account(actor, **fields, credentials=given["credentials"], tenant=given["tenant"], limits=limits)
        if given["credentials"]:
            fields["credentials"] = given["credentials"]
        return accounts.change_account(actor_of(request, row.tenant), row, **fields)

    def erase(self, request: HttpRequest, row: ProviderAccount) -> None:
        """Delete an account without deployments."""
        accounts.delete_account(actor_of(request, row.tenant), row)

    def do_test(self, request: HttpRequest, row: ProviderAccount, fields: dict[str, Any]) -> str:
        """Ask the provider for its models, which costs nothing. Raises InvalidRequest with what is wrong."""
        key = key_of(row)
        if key is None:
            raise InvalidRequest("Its credentials fit no encryption key of this service: enter them anew.")
        said = ask([(row, key)], PATIENCE_S)[0]
        if said.is_refused:
            raise InvalidRequest(f"{row.base_url} answers HTTP {said.status}: it refuses the credentials.")
        if not said.was_asked:
            raise InvalidRequest(f"{row.provider}: {said.reason}. Submit a job there to see.")
        if said.status == 0:
            raise InvalidRequest(f"{row.base_url} does not answer: {said.reason}.")
        if not said.is_good:
            raise InvalidRequest(
                f"{row.base_url} answers {said.reason} where it should list its models; whether it takes the key nobody knows."
            )
        named = ", ".join(said.models[:MOST_NAMED]) + (", …" if len(said.models) > MOST_NAMED else "")
        there = f"Of models it names {len(said.models):,}: {named}" if named else "It names no models."
        return f"{row.base_url} answers HTTP {said.status} in {said.ms:,} ms and takes the key. {there}"


# ---- deployments


def _as_operator(*states: str) -> Any:
    def offered(access: Access, row: Deployment) -> bool:
        return access.is_operator and row.breaker_forced in states

    return offered


BREAKER_DEEDS = (
    Deed(
        "open",
        "Force the breaker open",
        "do_open",
        asks="Nothing is sent there until somebody says otherwise. Work goes to the other deployments of its models, or waits.",
        offered=_as_operator("no", "closed"),
        is_danger=True,
    ),
    Deed(
        "close",
        "Force it closed",
        "do_close",
        asks="Work is sent there whatever happens, until somebody says otherwise.",
        offered=_as_operator("no", "open"),
    ),
    Deed("auto", "Let it follow its rule", "do_auto", offered=_as_operator("open", "closed")),
    Deed("reset", "Reset the breaker", "do_reset", offered=_as_operator("no", "open", "closed")),
)
SWITCHES = (
    Deed("disable", "Take it out", "do_disable", asks="It takes nothing new. What runs there ends.", offered=lambda _, row: row.is_enabled),
    Deed("enable", "Put it in", "do_enable", offered=lambda _, row: not row.is_enabled),
)


class DeploymentForm(ChangeForm):
    """A deployment's own values."""

    account = forms.ModelChoiceField(ProviderAccount.objects.none())

    class Meta:
        model = Deployment
        fields = deployments.FIELDS
        help_texts: ClassVar[dict[str, str]] = {
            "upstream_model": "As the provider calls it.",
            "is_enabled": "Out: it takes nothing new.",
            "options": OPTIONS,
            **dict.fromkeys(deployments.BREAKER, "Empty: as the settings say."),
        }
        labels: ClassVar[dict[str, str]] = {
            "upstream_model": "Model at the provider",
            "is_enabled": "Takes work",
            **{name: name.removeprefix("breaker_").replace("_ms", " (ms)").replace("_", " ") for name in deployments.BREAKER},
        }

    def clean_options(self) -> Any:
        """Empty: none."""
        return self.cleaned_data["options"] or {}

    def prepare(self) -> None:
        """The accounts within reach."""
        if not self.instance.pk:
            mine = reach_of(self.request).within(ProviderAccount.objects.all(), "tenant", Power.MANAGE)
            self.fields["account"] = one_of(mine, (Deployment, "account"), self.admin_site)


@admin.register(Deployment)
class DeploymentAdmin(VerbAdmin, DoingAdmin):
    """One model at one account."""

    verbs = (PauseRows(PauseKind.DEPLOYMENT), ResumeRows(PauseKind.DEPLOYMENT))
    form = DeploymentForm
    tenant_field = "account__tenant"
    deeds = (*BREAKER_DEEDS, *SWITCHES)
    list_display = ("name", "at", "state", "breaker", "use", "counts", "weight")
    list_filter = (TenantFilter.over("account__tenant"), "is_enabled", "breaker_forced")
    list_select_related = ("account__tenant",)
    search_fields = ("name", "upstream_model", "account__name")
    ordering = ("name",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The breaker's rule apart."""
        own = [name for name in deployments.FIELDS if name not in deployments.BREAKER]
        rule = {"fields": deployments.BREAKER, "classes": ("collapse",)}
        return ((None, {"fields": ("of" if obj else "account", *own)}), ("When its breaker opens", rule))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Its account stays."""
        return ("of",) if obj else ()

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The page, with how its rows stand: one call of the gate."""
        page = super().get_changelist_instance(request)
        page.result_list = list(page.result_list)
        try:
            found = states_of(page.result_list) if page.result_list else {}
        except GateError:
            found = {}
            if request.method == "GET":
                messages.warning(request, "The gate does not answer: breakers, cooldowns and what is used now are not known.")
        for row in page.result_list:
            row.standing = found.get(row.pk)
        return page

    # ---- what is shown

    @admin.display(description="Input, of our count")
    def counts(self, row: Deployment) -> str:
        """How far our counts are from the provider's, and what is reserved of them."""
        known = learned().get(row.pk)
        if known is None:
            return NOTHING
        return f"{known.mean_permille / 10:.1f} % on average, {known.reserve_permille / 10:.1f} % reserved"

    @admin.display(description="Account")
    def of(self, row: Deployment) -> str:
        """Where it is."""
        return str(row.account)

    @admin.display(description="At", ordering="account__name")
    def at(self, row: Deployment) -> SafeString:
        """Which model, at which account."""
        return two_lines(row.upstream_model, f"{row.account}{f', {row.region}' if row.region else ''}")

    @admin.display(description="State", ordering="is_enabled")
    def state(self, row: Any) -> SafeString:
        """Whether it takes work."""
        if not row.is_enabled:
            return badge("out", "idle")
        standing: DeploymentState | None = row.standing
        if standing is not None and standing.cooling_ms:
            return two_lines(badge("cooling", "warn"), f"{standing.cooling_ms / 1_000:,.0f} s more, as the provider asked")
        return badge("takes work", "good")

    @admin.display(description="Breaker")
    def breaker(self, row: Any) -> SafeString | str:
        """What work meets, and whether a person or the rule did it."""
        standing: DeploymentState | None = row.standing
        if standing is not None and standing.forced == Forced.NO:
            view = standing.breaker
            is_counted = view is not None and view.calls
            counted = f"{view.failures:,} of {view.calls:,} calls failed" if view is not None and is_counted else ""
            return two_lines(_breaker_badge(view.state if view else BreakerState.CLOSED), counted)
        if row.breaker_forced != "no":
            return two_lines(badge(row.breaker_forced, "bad" if row.breaker_forced == "open" else "warn"), "forced by hand")
        return NOTHING

    @admin.display(description="Used now")
    def use(self, row: Any) -> SafeString | str:
        """The fullest of its limits and its account's."""
        standing: DeploymentState | None = row.standing
        if standing is None:
            return NOTHING
        found = [one for one in standing.limits if one.record.kind != Kind.PAUSE]
        if len(found) < len(standing.limits):
            return badge("paused", "warn")
        if not found:
            return "no limits"
        fullest = max(found, key=_share)
        words = f"{fullest.use.used:,} of {fullest.use.amount:,} {fullest.record.metric.name.lower().replace('_', ' ')}"
        more = f"the fullest of {len(found)} limits" if len(found) > 1 else ""
        return two_lines(bar(fullest.use.used, fullest.use.amount, words), more)

    # ---- what is done

    def write(self, request: HttpRequest, form: Any, row: Deployment | None) -> Deployment:
        """Make or change a deployment."""
        fields = {name: form.cleaned_data[name] for name in deployments.FIELDS}
        if row is not None:
            return deployments.change_deployment(_actor(request, row), row, **fields)
        account = form.cleaned_data["account"]
        return deployments.create_deployment(actor_of(request, account.tenant), account=account, **fields)

    def erase(self, request: HttpRequest, row: Deployment) -> None:
        """Delete a deployment with its limits."""
        deployments.delete_deployment(_actor(request, row), row)

    def do_open(self, request: HttpRequest, row: Deployment, fields: dict[str, Any]) -> str:
        """Send nothing there."""
        breakers.force_open(row, _actor(request, row).by)
        return f"The breaker of {row.name} is forced open: nothing is sent there."

    def do_close(self, request: HttpRequest, row: Deployment, fields: dict[str, Any]) -> str:
        """Send work there whatever happens."""
        breakers.force_close(row, _actor(request, row).by)
        return f"The breaker of {row.name} is forced closed: work is sent there whatever happens."

    def do_auto(self, request: HttpRequest, row: Deployment, fields: dict[str, Any]) -> str:
        """Take back what was forced."""
        breakers.follow_rule(row, _actor(request, row).by)
        return f"The breaker of {row.name} follows its rule again."

    def do_reset(self, request: HttpRequest, row: Deployment, fields: dict[str, Any]) -> str:
        """Forget what it counted. Raises GateError."""
        breakers.reset(row, _actor(request, row).by)
        return f"The breaker of {row.name} is closed and has forgotten what it counted."

    def do_disable(self, request: HttpRequest, row: Deployment, fields: dict[str, Any]) -> str:
        """Send nothing new there."""
        deployments.change_deployment(_actor(request, row), row, is_enabled=False)
        return f"{row.name} takes nothing new."

    def do_enable(self, request: HttpRequest, row: Deployment, fields: dict[str, Any]) -> str:
        """Send work there again."""
        deployments.change_deployment(_actor(request, row), row, is_enabled=True)
        return f"{row.name} takes work."


def _actor(request: HttpRequest, row: Deployment) -> Actor:
    return actor_of(request, row.account.tenant)


def _share(limit: Effective) -> int:
    return per_cent(limit.use.used, limit.use.amount)


def _breaker_badge(state: BreakerState) -> SafeString:
    tones = {BreakerState.CLOSED: "good", BreakerState.OPEN: "bad"}
    return badge(state.name.lower().replace("_", "-"), tones.get(state, "warn"))
