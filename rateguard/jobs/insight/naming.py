"""Limits in people's words: not `l17@user:alice` but `user alice: 20 requests per minute`."""

from __future__ import annotations

import uuid

from rateguard.engine.money import format_usd
from rateguard.engine.scopes import kind_of, name_of
from tenants.models import (
    ApiKey,
    Budget,
    BudgetPeriod,
    BudgetUnit,
    Deployment,
    Limit,
    LimitKind,
    Metric,
    ProviderAccount,
    Run,
    Scope,
    ScopeKind,
    Tenant,
)

_UNITS_MS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000), ("millisecond", 1))
_SPANS = {
    BudgetPeriod.DAY: "a day",
    BudgetPeriod.WEEK: "a week",
    BudgetPeriod.MONTH: "a month",
    BudgetPeriod.TOTAL: "in total",
}


def in_words(limit_id: str) -> str:
    """A limit, budget or pause by the gate's id of it, with the node that it is on; the id itself where its row is gone.

    `l17` → `tenant acme: 600 requests per minute`; `b3@user:alice` → `user alice: $5.00 a day`; `rc<hex>` → `run research: 80 calls`;
    of what is cooled: `a3` → `account main`, `d7` → `deployment mini`.
    """
    base, _, node = limit_id.partition("@")
    for letters, read in _READERS.items():
        key = base.removeprefix(letters)
        if key != base and (found := read(key, node)):
            return found
    return limit_id


def node_in_words(kind: str, name: str) -> str:
    """A node below a tenant: `user alice`; of a key, what people recognise it by; of a run, its name."""
    if kind == ScopeKind.KEY and name.isdecimal():
        key = ApiKey.objects.filter(pk=int(name)).first()
        return f"key {key}" if key else f"key {name}"
    if kind == "run":
        return run_in_words(name)
    return f"{kind} {name}"


def run_in_words(text: str) -> str:
    """A run by its id: `run research (6f1c…)`, or its id alone."""
    try:
        run = Run.objects.filter(pk=uuid.UUID(text)).first()
    except ValueError:
        return f"run {text}"
    return f"run {run.name} ({run.pk})" if run and run.name else f"run {uuid.UUID(text)}"


# ---- each kind of id


def _limit(key: str, node: str) -> str:
    row = Limit.objects.select_related("scope__tenant", "account", "deployment").filter(pk=key).first() if key.isdecimal() else None
    if row is None:
        return ""
    who = f"account {row.account.name}" if row.account else f"deployment {row.deployment.name}" if row.deployment else _who(row.scope, node)
    return f"{who}: {_amount(row)}"


def _amount(row: Limit) -> str:
    if row.kind == LimitKind.CONCURRENCY:
        return f"{row.amount:,} at the same time"
    learned = "learned from " if row.kind == LimitKind.LEARNED else ""
    return f"{learned}{row.amount:,} {Metric(row.metric).value.replace('_', ' ')} per {_span(row.window_ms)}"


def _span(window_ms: int) -> str:
    """`minute`, `10 seconds`: the largest unit that the window is whole in."""
    unit, unit_ms = next((unit, unit_ms) for unit, unit_ms in _UNITS_MS if window_ms % unit_ms == 0)
    count = window_ms // unit_ms
    return unit if count == 1 else f"{count:,} {unit}s"


def _budget(key: str, node: str) -> str:
    row = Budget.objects.select_related("scope__tenant").filter(pk=key).first() if key.isdecimal() else None
    if row is None:
        return ""
    amount = format_usd(row.amount) if row.unit == BudgetUnit.USD else f"{row.amount:,} tokens"
    return f"{_who(row.scope, node)}: {amount} {_SPANS[BudgetPeriod(row.period)]}"


def _who(scope: Scope | None, node: str) -> str:
    """Whose limit it is; node: who has it by a default."""
    if scope is None or scope.kind == ScopeKind.GLOBAL:
        return "all tenants together"
    kind, name = (kind_of(node), name_of(node)) if node else (scope.kind, scope.name)
    if kind == ScopeKind.TENANT:
        tenant = scope.tenant or (Tenant.objects.filter(pk=name).first() if name.isdecimal() else None)
        return f"tenant {tenant.name if tenant else name}"
    return f"each {kind}" if scope.is_default and not node else node_in_words(kind, name)


def _run_budget(key: str, _node: str) -> str:
    run = _run(key)
    return f"{run_in_words(key)}: {format_usd(run.budget_nano_usd)} in total" if run and run.budget_nano_usd is not None else ""


def _run_calls(key: str, _node: str) -> str:
    run = _run(key)
    return f"{run_in_words(key)}: {run.max_calls:,} calls" if run and run.max_calls is not None else ""


def _run_pause(key: str, _node: str) -> str:
    return f"{run_in_words(key)}: stopped" if _run(key) else ""


def _run(key: str) -> Run | None:
    try:
        return Run.objects.filter(pk=uuid.UUID(key)).first()
    except ValueError:
        return None


def _account(key: str, _node: str) -> str:
    found = ProviderAccount.objects.filter(pk=key).first() if key.isdecimal() else None
    return f"account {found.name}" if found else ""


def _deployment(key: str, _node: str) -> str:
    found = Deployment.objects.filter(pk=key).first() if key.isdecimal() else None
    return f"deployment {found.name}" if found else ""


_READERS = {"a": _account, "d": _deployment, "l": _limit, "b": _budget, "rb": _run_budget, "rc": _run_calls, "rp": _run_pause}
