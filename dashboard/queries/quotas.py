"""The budgets and limits of a tenant with what is used of them: from the gate, or, while it is gone, from the rows."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import LimitUse
from rateguard.engine.limits.limit import LimitRecord
from rateguard.engine.scopes import instance_of
from tenants.changes.budgets import text_of as budget_text
from tenants.changes.limits import text_of as limit_text
from tenants.models import ApiKey, Budget, BudgetUnit, LedgerEntry, Limit, Scope, ScopeKind, Tenant, UsageQuarter
from tenants.records.limits import budget_record, gate_id
from tenants.usage.sums import INPUT

MOST = 50
"""Budgets, and limits, that are shown; the tenant's own come first."""
_TOKENS = INPUT + F("output_tokens")
_OF_ENTRIES = (ScopeKind.USER, ScopeKind.ROLE, ScopeKind.ROLEGROUP)


@dataclasses.dataclass(frozen=True, slots=True)
class BudgetUse:
    """A budget. used: spent and reserved; None: each node has its own, or nobody knows. begins_at: the next period; None: in total."""

    on: str
    text: str
    is_money: bool
    amount: int
    used: int | None
    reserved: int
    begins_at: dt.datetime | None

    @property
    def share(self) -> float | None:
        """1: all of it."""
        if self.used is None:
            return None
        return self.used / self.amount if self.amount else 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class LimitStand:
    """A limit. used: of `most` (a bucket's capacity, or the amount); None: each node has its own, or nobody knows."""

    on: str
    text: str
    used: int | None
    most: int | None

    @property
    def share(self) -> float | None:
        """1: all of it."""
        return None if self.used is None or not self.most else self.used / self.most


@dataclasses.dataclass(frozen=True, slots=True)
class Quotas:
    """is_live: the gate answered; else what is used of budgets is what was booked, and of limits nobody knows it."""

    budgets: tuple[BudgetUse, ...]
    limits: tuple[LimitStand, ...]
    is_live: bool


def read_quotas(tenant: Tenant) -> Quotas:
    """Two statements and one call of the gate; one more for the names of keys, and up to two while the gate is gone."""
    now = timezone.now()
    budgets, limits = _budgets(tenant), _limits(tenant)
    both: tuple[Budget | Limit, ...] = (*budgets, *limits)
    asked = tuple(name for row in both if (name := _gate_id(row, tenant)))
    keys = _keys(tenant, both)
    uses = _uses(asked)
    if uses is None:
        booked = _booked(tenant, budgets, now)
        of_budgets = tuple(_budget(row, booked.get(row.pk), now, tenant, keys) for row in budgets)
        return Quotas(of_budgets, tuple(_limit(row, None, keys) for row in limits), is_live=False)
    return Quotas(
        tuple(_budget(row, uses.get(_gate_id(row, tenant)), now, tenant, keys) for row in budgets),
        tuple(_limit(row, uses.get(_gate_id(row, tenant)), keys) for row in limits),
        is_live=True,
    )


def _uses(ids: tuple[str, ...]) -> Mapping[str, LimitUse] | None:
    """What the gate says; None while it is gone, or lost what it knew."""
    try:
        gate = wiring.gate()
        return {use.id: use for use in gate.inspect(ids).limits} if ids else {}
    except GateError:
        return None


def _of(tenant: Tenant) -> Q:
    return Q(scope__tenant=tenant) | Q(scope__kind=ScopeKind.TENANT, scope__tenant__isnull=True)


def _budgets(tenant: Tenant) -> list[Budget]:
    rows = Budget.objects.filter(_of(tenant)).select_related("scope__tenant", "downgrade_to").order_by("pk")
    return _in_effect(list(rows), lambda row: (row.unit, row.period))[:MOST]


def _limits(tenant: Tenant) -> list[Limit]:
    rows = Limit.objects.filter(_of(tenant)).select_related("scope__tenant").order_by("pk")
    return _in_effect(list(rows), lambda row: (row.metric, row.window_ms))[:MOST]


def _in_effect(rows: list[Any], key: Callable[[Any], object]) -> list[Any]:
    """Without what every tenant has where this one has its own; the tenant's first, then by kind and name."""
    own = {key(row) for row in rows if row.scope.kind == ScopeKind.TENANT and row.scope.tenant_id is not None}
    kept = [row for row in rows if row.scope.tenant_id is not None or key(row) not in own]
    kinds = list(ScopeKind)
    return sorted(kept, key=lambda row: (kinds.index(ScopeKind(row.scope.kind)), row.scope.name))


def _gate_id(row: Budget | Limit, tenant: Tenant) -> str:
    """What the gate calls it; "" for what each team or user has for himself."""
    scope = row.scope
    if scope is None or (scope.is_default and scope.tenant_id is not None):
        return ""
    return instance_of(gate_id(row), f"tenant:{tenant.pk}") if scope.tenant_id is None else gate_id(row)


def _on(scope: Scope | None, keys: Mapping[str, str]) -> str:
    """A node below the tenant in words: `team ml`, `each user`, a key by its name."""
    if scope is None or scope.kind == ScopeKind.TENANT:
        return "every tenant" if scope is not None and scope.tenant_id is None else "this tenant"
    name = keys.get(scope.name, scope.name) if scope.kind == ScopeKind.KEY else scope.name
    return f"each {scope.kind}" if scope.is_default else f"{scope.kind} {name}"


def _keys(tenant: Tenant, rows: Iterable[Budget | Limit]) -> Mapping[str, str]:
    """The names of the keys that have a budget or a limit of their own."""
    named = {row.scope.name for row in rows if row.scope is not None and row.scope.kind == ScopeKind.KEY and not row.scope.is_default}
    found = ApiKey.objects.filter(tenant=tenant, pk__in=[int(name) for name in named]).values_list("pk", "name") if named else ()
    return {str(pk): name for pk, name in found}


def _budget(row: Budget, use: LimitUse | None, now: dt.datetime, tenant: Tenant, keys: Mapping[str, str]) -> BudgetUse:
    begins_ms = budget_record(row, now).next_period_ms(int(now.timestamp() * 1000))
    is_known = bool(_gate_id(row, tenant))
    return BudgetUse(
        on=_on(row.scope, keys),
        text=budget_text(row),
        is_money=row.unit == BudgetUnit.USD,
        amount=row.amount,
        used=(use.used if use else 0) if is_known else None,
        reserved=use.reserved if use else 0,
        begins_at=None if begins_ms is None else dt.datetime.fromtimestamp(begins_ms / 1000, dt.UTC),
    )


def _limit(row: Limit, use: LimitUse | None, keys: Mapping[str, str]) -> LimitStand:
    return LimitStand(_on(row.scope, keys), limit_text(row), use.used if use else None, use.amount if use else None)


# ---- while the gate is gone


def _booked(tenant: Tenant, rows: Iterable[Budget], now: dt.datetime) -> Mapping[int, LimitUse]:
    """What the period of each budget holds by the rollups, or, of users and roles, by the ledger."""
    of_quarters: dict[str, Any] = {}
    of_entries: dict[str, Any] = {}
    for row in rows:
        if not _gate_id(row, tenant):
            continue
        start = _begun(budget_record(row, now), now)
        is_of_entries = row.scope.kind in _OF_ENTRIES
        column = "created_at" if is_of_entries else "starts_at"
        wanted = _node(row.scope) & (Q() if start is None else Q((f"{column}__gte", start)))
        amount = F("nano_usd") if row.unit == BudgetUnit.USD else _TOKENS
        (of_entries if is_of_entries else of_quarters)[gate_id(row)] = Coalesce(Sum(amount, filter=wanted or Q(pk__isnull=False)), 0)
    sums: dict[str, int] = {}
    if of_quarters:
        sums |= UsageQuarter.objects.filter(tenant=tenant).aggregate(**of_quarters)
    if of_entries:
        sums |= LedgerEntry.objects.filter(tenant=tenant).aggregate(**of_entries)
    return {int(name[1:]): LimitUse(name, int(found), 0) for name, found in sums.items()}


def _begun(record: LimitRecord, now: dt.datetime) -> dt.datetime | None:
    began_ms = record.period_began_ms(int(now.timestamp() * 1000))
    return dt.datetime.fromtimestamp(began_ms / 1000, dt.UTC) if began_ms else None


def _node(scope: Scope) -> Q:
    match ScopeKind(scope.kind):
        case ScopeKind.TENANT:
            return Q()
        case ScopeKind.KEY:
            return Q(api_key_id=int(scope.name))
        case kind:
            return Q((kind.value, scope.name))
