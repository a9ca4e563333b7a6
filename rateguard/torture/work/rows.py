"""The rows of a campaign, written before it begins."""

from __future__ import annotations

import base64
import datetime as dt
import secrets

from rateguard.engine.providers.sim.config import LimitRule
from rateguard.torture.work.receiver import NAME
from rateguard.torture.work.world import ACCOUNTS, MOST_WAITING, PRICES, SHARES, SMALL, TYPICAL_NANO_USD, Caller
from tenants.keys import issue_key
from tenants.models import (
    Budget,
    Deployment,
    Limit,
    LimitKind,
    ModelRoute,
    OnExhausted,
    Price,
    ProviderAccount,
    RouteTarget,
    Scope,
    ScopeKind,
    Tenant,
    WebhookEndpoint,
)


def make_providers(base_url: str, limits: dict[str, tuple[LimitRule, ...]]) -> None:
    """Two accounts with all models on each; the first is asked first."""
    routes = {name: ModelRoute.objects.create(name=name) for name in PRICES}
    since = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    for name, price in PRICES.items():
        Price.objects.create(provider="sim", model=name, valid_from=since, input_pico=price.input, output_pico=price.output)
    for position, (account_name, key) in enumerate(zip(ACCOUNTS, limits, strict=True)):
        account = ProviderAccount.objects.create(name=account_name, provider="sim", base_url=base_url, credentials=key)
        for rule in limits[key]:
            Limit.objects.create(
                account=account, metric=rule.metric, kind=LimitKind.WINDOW, amount=rule.amount, window_ms=rule.window_ms, burst_permille=500
            )
        for name, route in routes.items():
            place = Deployment.objects.create(
                account=account, name=f"{account_name}-{name}", upstream_model=name, breaker_failures=8, breaker_open_ms=3_000
            )
            RouteTarget.objects.create(route=route, deployment=place, position=position)


def make_tenants(team: LimitRule, jobs: int) -> tuple[Caller, ...]:
    """Acme pays without a budget and has a team with a limit of its own; the others' budgets end in each way that a budget can."""
    acme, acme_caller = _tenant("acme", 3, "none")
    scope = Scope.objects.create(kind=ScopeKind.TEAM, tenant=acme, name="ml")
    Limit.objects.create(scope=scope, metric=team.metric, kind=LimitKind.WINDOW, amount=team.amount, window_ms=team.window_ms)
    callers = [acme_caller]
    for name, share, exhausted, budget in (
        ("beta", 0.6, OnExhausted.REJECT, "reject"),
        ("gamma", 0.5, OnExhausted.HOLD, "hold"),
        ("delta", 0.5, OnExhausted.DOWNGRADE, "downgrade"),
    ):
        tenant, caller = _tenant(name, 1, budget)
        cheaper = ModelRoute.objects.get(name=SMALL) if exhausted == OnExhausted.DOWNGRADE else None
        Budget.objects.create(
            scope=Scope.objects.get(tenant=tenant, kind=ScopeKind.TENANT),
            amount=round(share * SHARES[name] * jobs * TYPICAL_NANO_USD),
            on_exhausted=exhausted,
            downgrade_to=cheaper,
        )
        callers.append(caller)
    return tuple(callers)


def make_webhook(tenant: str, url: str) -> str:
    """An endpoint that hears of those jobs that name it. Returns its secret."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    WebhookEndpoint.objects.create(tenant=Tenant.objects.get(name=tenant), name=NAME, url=url, secret=secret, hears_all=False)
    return secret


def _tenant(name: str, weight: int, budget: str) -> tuple[Tenant, Caller]:
    made = Tenant.objects.create(name=name, weight=weight, max_waiting=None if budget == "none" else MOST_WAITING)
    Scope.objects.create(kind=ScopeKind.TENANT, tenant=made)
    _, secret = issue_key(made, "torture")
    return made, Caller(name, secret, budget)
