"""How the limits and budgets of a page stand: what really binds, and what is used now, from one call of the gate for all of them.

A node's own limit takes the place of the default of its kind. A limit above it binds in its stead where it lets less through: 600/min
for a user is worth 100/min where the tenant has 100/min.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Count, Q

from rateguard import wiring
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Inspection, LimitUse
from rateguard.engine.scopes import kind_of, name_of
from tenants.changes.limits import place_of
from tenants.changes.scopes import words_of
from tenants.models import EVERY, ApiKey, Budget, BudgetPeriod, Limit, LimitKind, Scope, ScopeKind, Tenant
from tenants.records.limits import gate_id

Row = Limit | Budget
Key = tuple[str, int | str]
"""What of a node a row is: its own takes the place of the default with the same."""

_DAY_MS = 86_400_000
_SPANS_MS = {BudgetPeriod.DAY: _DAY_MS, BudgetPeriod.WEEK: 7 * _DAY_MS, BudgetPeriod.MONTH: 31 * _DAY_MS, BudgetPeriod.TOTAL: None}


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """How a limit or a budget stands.

    place: what it is on, in words. stricter: the row above it that lets less through, if any. instead_of: the default that it takes the
    place of. own_ones: of a default, how many nodes have their own instead. use: what the gate says, of a default that of the fullest
    node; None where it says nothing. nodes: of a default, how many have a use by it now, None where the gate did not answer; node: what
    people call the fullest one.
    """

    place: str
    stricter: Row | None = None
    instead_of: Row | None = None
    own_ones: int = 0
    use: LimitUse | None = None
    nodes: int | None = None
    node: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Standings:
    """Those of a page by the rows' ids. seen: None where the gate did not answer."""

    by_row: Mapping[int, Standing]
    seen: Inspection | None


def standings(rows: Sequence[Row], *, sees_all: bool) -> Standings:
    """How these rows of one kind stand; with their scopes, accounts and deployments read already. A few statements for all of them.

    sees_all: an operator; a tenant is not told what all tenants share.
    """
    if not rows:
        return Standings({}, None)
    above = _Above(rows, sees_all=sees_all)
    own_ones, names = _own_ones(rows), _names_of_keys(rows)
    try:
        seen = wiring.gate().inspect(tuple(f"{gate_id(row)}@*" if is_default(row) else gate_id(row) for row in rows))
    except GateError:
        seen = None
    uses = _uses(seen)
    counts, nodes = dict(seen.defaults) if seen else {}, _named_nodes(rows, uses)
    found = {
        row.pk: Standing(
            place=_place(row, names),
            stricter=above.stricter_than(row),
            instead_of=above.default_for(row),
            own_ones=own_ones.get((row.scope_id, _key(row)), 0),
            use=uses.get(gate_id(row)),
            nodes=counts.get(gate_id(row)),
            node=nodes.get(row.pk, ""),
        )
        for row in rows
    }
    return Standings(found, seen)


def is_default(row: Row) -> bool:
    """Whether it stands for every node of a kind, each with a use of its own."""
    return row.scope is not None and row.scope.is_default


def _uses(seen: Inspection | None) -> dict[str, LimitUse]:
    """By limit; of a default the use of the fullest node."""
    found: dict[str, LimitUse] = {}
    for use in seen.limits if seen else ():
        base = use.id.partition("@")[0]
        if base not in found or use.used > found[base].used:
            found[base] = use
    return found


def _named_nodes(rows: Sequence[Row], uses: Mapping[str, LimitUse]) -> dict[int, str]:
    """Whose the fullest use of a default is: `user ada` of `l17@user:ada`; tenants and keys by their names."""
    parts = {row.pk: uses[gate_id(row)].id.partition("@")[2] for row in rows if is_default(row) and gate_id(row) in uses}
    tenants = Tenant.objects.in_bulk([int(part) for part in parts.values() if part.isdecimal()])
    keys = ApiKey.objects.in_bulk([int(name_of(part)) for part in parts.values() if part.startswith("key:") and name_of(part).isdecimal()])
    return {pk: _called(part, tenants, keys) for pk, part in parts.items()}


def _called(part: str, tenants: Mapping[int, Tenant], keys: Mapping[int, ApiKey]) -> str:
    if ":" not in part:
        return f"tenant {tenants.get(int(part), part)}" if part.isdecimal() else part
    kind, name = kind_of(part), name_of(part)
    return f"key {keys.get(int(name), name)}" if kind == ScopeKind.KEY and name.isdecimal() else f"{kind} {name}"


# ---- what lets less through


class _Above:
    """The limits or budgets that rows of a page meet above them."""

    def __init__(self, rows: Sequence[Row], *, sees_all: bool) -> None:
        tenants = {row.scope.tenant_id for row in rows if row.scope is not None and row.scope.tenant_id is not None}
        wanted = Q(scope__kind=ScopeKind.TENANT) & (Q(scope__tenant__in=tenants) | Q(scope__tenant__isnull=True))
        wanted |= Q(scope__name=EVERY, scope__tenant__in=tenants)
        if sees_all:
            wanted |= Q(scope__kind=ScopeKind.GLOBAL)
        model = type(rows[0])
        self._by_place: dict[Any, list[Row]] = defaultdict(list)
        for row in model._default_manager.filter(wanted).select_related("scope__tenant"):  # noqa: SLF001 - Django's own name for it
            self._by_place[_node(row.scope)].append(row)
        accounts = {row.deployment.account_id for row in rows if isinstance(row, Limit) and row.deployment is not None}
        for limit in Limit.objects.filter(account__in=accounts).select_related("account") if accounts else ():
            self._by_place["account", limit.account_id].append(limit)

    def default_for(self, row: Row) -> Row | None:
        """The default that a node's own row takes the place of."""
        if row.scope is None or row.scope.is_default or row.scope.kind == ScopeKind.GLOBAL:
            return None
        tenant = None if row.scope.kind == ScopeKind.TENANT else row.scope.tenant_id
        defaults = self._by_place[row.scope.kind, tenant, EVERY]
        return next((one for one in defaults if _key(one) == _key(row)), None)

    def stricter_than(self, row: Row) -> Row | None:
        """The row above that lets the least through in this one's time, where that is less than this one does."""
        span = _span_ms(row)
        own = _most_in(row, span)
        found = [(most, one) for one in self._over(row) if (most := _most_in(one, span)) is not None and own is not None and most < own]
        return min(found, key=lambda pair: (pair[0], pair[1].pk))[1] if found else None

    def _over(self, row: Row) -> Iterable[Row]:
        """Those that count the same and stand above for certain: of the account; of the tenant, or its default; of all tenants."""
        if isinstance(row, Limit) and row.deployment is not None:
            rows = self._by_place["account", row.deployment.account_id]
        elif row.scope is None or row.scope.kind == ScopeKind.GLOBAL:
            rows = []
        else:
            rows = list(self._by_place[ScopeKind.GLOBAL, None, ""])
            rows += self._of_tenant(row.scope.tenant_id) if row.scope.kind != ScopeKind.TENANT else []
        return [one for one in rows if _counts(one) == _counts(row)]

    def _of_tenant(self, tenant: int | None) -> list[Row]:
        own = self._by_place[ScopeKind.TENANT, tenant, ""]
        taken = {_key(one) for one in own}
        return [*own, *(one for one in self._by_place[ScopeKind.TENANT, None, EVERY] if _key(one) not in taken)]


def _node(scope: Scope | None) -> Any:
    return (scope.kind, scope.tenant_id, scope.name) if scope is not None else None


def _key(row: Row) -> Key:
    return (row.metric, row.window_ms) if isinstance(row, Limit) else (row.unit, row.period)


def _counts(row: Row) -> str:
    return row.metric if isinstance(row, Limit) else row.unit


def _span_ms(row: Row) -> int | None:
    """The time for which a row says how much; None: for good."""
    return row.window_ms if isinstance(row, Limit) else _SPANS_MS[BudgetPeriod(row.period)]


def _most_in(row: Row, span_ms: int | None) -> int | None:
    """The most that a row lets through in so much time; None: it never ends."""
    own_ms = _span_ms(row)
    if own_ms is None or (isinstance(row, Limit) and row.kind == LimitKind.CONCURRENCY):
        return row.amount
    if span_ms is None:
        return None
    if isinstance(row, Limit) and row.kind == LimitKind.BUCKET:
        return row.amount * row.burst_permille // 1_000 + row.amount * span_ms // own_ms
    return row.amount * max(1, -(-span_ms // own_ms))


# ---- in words


def _own_ones(rows: Sequence[Row]) -> dict[tuple[int | None, Key], int]:
    """Of defaults: how many nodes have their own instead, by the default's scope and key."""
    defaults = {(row.scope.kind, row.scope.tenant_id): row.scope_id for row in rows if row.scope is not None and row.scope.is_default}
    if not defaults:
        return {}
    kinds, tenants = {kind for kind, _ in defaults}, {tenant for _, tenant in defaults}
    mine = Q(scope__tenant__in=tenants) | (Q(scope__kind=ScopeKind.TENANT) if None in tenants else Q(pk__in=()))
    fields = ("metric", "window_ms") if isinstance(rows[0], Limit) else ("unit", "period")
    model = type(rows[0])
    own = model._default_manager.filter(mine, scope__kind__in=kinds).exclude(scope__name=EVERY)  # noqa: SLF001 - Django's own name for it
    found: dict[tuple[int | None, Key], int] = defaultdict(int)
    for kind, tenant, first, second, count in own.values_list("scope__kind", "scope__tenant", *fields).annotate(Count("pk")).order_by():
        at = None if kind == ScopeKind.TENANT else tenant
        if (kind, at) in defaults:
            found[defaults[kind, at], (first, second)] += count
    return found


def _names_of_keys(rows: Sequence[Row]) -> dict[str, str]:
    """What people recognise the API keys by that rows are on, by the names of their scopes."""
    scopes = [row.scope for row in rows if row.scope is not None]
    ids = [int(scope.name) for scope in scopes if scope.kind == ScopeKind.KEY and scope.name.isdecimal()]
    return {str(key.pk): str(key) for key in ApiKey.objects.filter(pk__in=ids)} if ids else {}


def _place(row: Row, names: Mapping[str, str]) -> str:
    scope = row.scope
    if scope is not None and scope.kind == ScopeKind.KEY and scope.name in names:
        return f"key {names[scope.name]} of {scope.tenant}"
    return place_of(row) if isinstance(row, Limit) else words_of(row.scope)
