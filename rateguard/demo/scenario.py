"""Who takes part: three tenants of weights 3 : 2 : 1, one provider account whose token limit binds, one model, its price."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rateguard.demo.observe import Watched
from rateguard.demo.workload import DEFAULT_JOBS, MODEL, TENANTS
from rateguard.engine.money import NANO
from rateguard.engine.providers.sim.config import LimitRule, ModelPrice
from tenants.keys import issue_key
from tenants.models import (
    Budget,
    Deployment,
    Limit,
    LimitKind,
    Metric,
    ModelRoute,
    Price,
    ProviderAccount,
    RouteTarget,
    Scope,
    ScopeKind,
    Tenant,
)
from tenants.records.limits import gate_id

WEIGHTS = dict(zip(TENANTS, (3, 2, 1), strict=True))
ACCOUNT = "sim"
DEPLOYMENT = "sim-one"
WINDOW_MS = 10_000
TOKENS_A_WINDOW = 280_000
REQUESTS_A_WINDOW = 1_000
PACE_PERMILLE = 100
"""A tenth of the token limit may come at once, so that a backlog flows instead of in one gulp a window."""
PRICE = ModelPrice(input=150_000, output=600_000)
LATENCY = {"base_ms": 300.0, "per_token_ms": 6.0, "jitter": 0.3}
"""About 170 tokens a second, as a fast model answers."""


def simulator_configuration(provider_key: str, seed: int = 1) -> dict[str, Any]:
    """What the simulated provider is told: the same limits and prices, by its own count."""
    return {
        "seed": seed,
        "keys": [provider_key],
        "models": [MODEL],
        "limits": {
            provider_key: [
                LimitRule("tokens", TOKENS_A_WINDOW, WINDOW_MS),
                LimitRule("requests", REQUESTS_A_WINDOW, WINDOW_MS),
            ]
        },
        "prices": {MODEL: PRICE},
        "latency": LATENCY,
    }


def make_provider(base_url: str, provider_key: str) -> tuple[Limit, Limit]:
    """The account with its limits, its deployment, the model and its price. Returns the limits on tokens and on requests."""
    account = ProviderAccount.objects.create(name=ACCOUNT, provider="sim", base_url=base_url, credentials=provider_key)
    deployment = Deployment.objects.create(account=account, name=DEPLOYMENT, upstream_model=MODEL)
    RouteTarget.objects.create(route=ModelRoute.objects.create(name=MODEL), deployment=deployment)
    Price.objects.create(
        provider="sim",
        model=MODEL,
        valid_from=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        input_pico=PRICE.input,
        cached_input_pico=PRICE.input,
        cache_write_pico=PRICE.input,
        output_pico=PRICE.output,
    )
    tokens = Limit(account=account, metric=Metric.TOKENS, amount=TOKENS_A_WINDOW, burst_permille=PACE_PERMILLE)
    requests = Limit(account=account, metric=Metric.REQUESTS, amount=REQUESTS_A_WINDOW)
    for limit in (tokens, requests):
        limit.kind, limit.window_ms = LimitKind.WINDOW, WINDOW_MS
        limit.save()
    return tokens, requests


def make_tenants(jobs: int) -> dict[str, Budget]:
    """The tenants, each with a money budget that its part of so many jobs cannot use up. Returns the budgets by tenant."""
    dollars = -(-jobs // DEFAULT_JOBS)
    budgets = {}
    for name, weight in WEIGHTS.items():
        tenant = Tenant.objects.create(name=name, weight=weight)
        scope = Scope.objects.create(kind=ScopeKind.TENANT, tenant=tenant)
        budgets[name] = Budget.objects.create(scope=scope, amount=dollars * NANO)
    return budgets


def make_keys() -> dict[str, str]:
    """One API key for each tenant: its secret, by the tenant's name."""
    return {tenant.name: issue_key(tenant, "demo")[1] for tenant in Tenant.objects.filter(name__in=TENANTS).order_by("name")}


def watched(limits: tuple[Limit, Limit], budgets: dict[str, Budget]) -> Watched:
    """What the viewer sees of the gate: the account's limits and the tenants' budgets."""
    names = {gate_id(limit): f"{ACCOUNT}: {limit.metric} in {limit.window_ms // 1000} s" for limit in limits}
    money = {gate_id(budget): tenant for tenant, budget in budgets.items()}
    return Watched(names | money, frozenset(money))
