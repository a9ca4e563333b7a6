"""Nodes as the gate keeps them: the global one, the tenants', and those that people named; with their limits, weights and defaults."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from django.db.models import Q

from rateguard.engine.gate.contract import ScopeRecord
from rateguard.engine.limits.limit import Level, LimitRecord
from rateguard.engine.scopes import GLOBAL
from tenants.models import Budget, Limit, Pause, PauseKind, Scope, ScopeKind, Tenant
from tenants.records.limits import budget_record, limit_record, pause_record

Key = tuple[str, str, int | str]
"""What a limit or budget is of: a node's own one takes the place of the default with the same."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Attached:
    """A limit or budget on a scope."""

    record: LimitRecord
    key: Key


@dataclasses.dataclass(frozen=True, slots=True)
class NodeRecords:
    """Limits and the nodes that have them."""

    limits: tuple[LimitRecord, ...]
    scopes: tuple[ScopeRecord, ...]


def node_records(now: dt.datetime, tenant_id: int | None = None) -> NodeRecords:
    """The nodes of one tenant, or (None) all of them and the global one."""
    mine = Q() if tenant_id is None else Q(tenant=tenant_id) | Q(tenant__isnull=True)
    scopes = list(Scope.objects.filter(mine).order_by("pk"))
    attached = _attached(now, tenant_id)
    tenants = Tenant.objects.all() if tenant_id is None else Tenant.objects.filter(pk=tenant_id)
    pauses = _pauses(tenant_id)
    by_tenant: dict[int | None, list[Scope]] = defaultdict(list)
    for scope in scopes:
        by_tenant[scope.tenant_id].append(scope)
    above = _defaults(by_tenant[None], attached)
    found = [record for tenant in tenants for record in _of_tenant(tenant, by_tenant[tenant.pk], attached, above, pauses)]
    if tenant_id is None:
        found.append(_global(by_tenant[None], attached, above, pauses))
    limits = (one.record for scope in scopes if tenant_id is None or scope.tenant_id is not None for one in attached[scope.pk])
    return NodeRecords((*limits, *pauses.values()), tuple(found))


def global_records(now: dt.datetime) -> NodeRecords:
    """The global node alone."""
    scopes = list(Scope.objects.filter(tenant__isnull=True).order_by("pk"))
    attached = _attached(now, None, is_global=True)
    pauses = {key: record for key, record in _pauses(None).items() if key == ""}
    record = _global(scopes, attached, _defaults(scopes, attached), pauses)
    return NodeRecords((*(one.record for scope in scopes for one in attached[scope.pk]), *pauses.values()), (record,))


def _attached(now: dt.datetime, tenant_id: int | None, *, is_global: bool = False) -> Mapping[int, list[_Attached]]:
    """The limits and budgets by scope."""
    mine = Q(scope__isnull=False)
    if is_global or tenant_id is not None:
        mine &= Q(scope__tenant__isnull=True) if is_global else Q(scope__tenant=tenant_id) | Q(scope__tenant__isnull=True)
    found: dict[int, list[_Attached]] = defaultdict(list)
    for limit in Limit.objects.filter(mine).select_related("scope").order_by("pk"):
        found[limit.scope_id or 0].append(_Attached(limit_record(limit), ("limit", limit.metric, limit.window_ms)))
    for budget in Budget.objects.filter(mine).select_related("scope__tenant").order_by("pk"):
        found[budget.scope_id].append(_Attached(budget_record(budget, now), ("budget", budget.unit, budget.period)))
    return found


def _pauses(tenant_id: int | None) -> dict[str, LimitRecord]:
    """Pauses of tenants by the tenant's id, and under "" that of everything."""
    rows = Pause.objects.filter(target_kind=PauseKind.TENANT)
    rows = rows | Pause.objects.filter(target_kind=PauseKind.ALL) if tenant_id is None else rows.filter(target=str(tenant_id))
    return {row.target: pause_record(row, Level.TENANT if row.target else Level.SHARED) for row in rows.order_by("pk")}


def _defaults(scopes: Iterable[Scope], attached: Mapping[int, list[_Attached]]) -> dict[str, list[_Attached]]:
    """What every node of a kind has, by kind."""
    return {scope.kind: attached[scope.pk] for scope in scopes if scope.is_default and attached[scope.pk]}


def _ids(attached: Iterable[_Attached]) -> tuple[str, ...]:
    return tuple(one.record.id for one in attached)


def _without(own: Iterable[_Attached], defaults: Iterable[_Attached]) -> tuple[str, ...]:
    """The defaults that a node does not have because it has its own."""
    keys = {one.key for one in own}
    return _ids(one for one in defaults if one.key in keys)


def _as_defaults(defaults: Mapping[str, list[_Attached]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((kind, _ids(attached)) for kind, attached in sorted(defaults.items()))


def _of_tenant(
    tenant: Tenant,
    scopes: list[Scope],
    attached: Mapping[int, list[_Attached]],
    above: Mapping[str, list[_Attached]],
    pauses: Mapping[str, LimitRecord],
) -> Iterator[ScopeRecord]:
    """A tenant's node, and the nodes below it that have a row: one without limits tells the gate that it has none any more."""
    defaults = _defaults(scopes, attached)
    own = [one for scope in scopes if scope.kind == ScopeKind.TENANT for one in attached[scope.pk]]
    node = str(tenant.pk)
    pause = (pauses[node].id,) if node in pauses else ()
    without = _without(own, above.get(ScopeKind.TENANT, ()))
    yield ScopeRecord(node, (*_ids(own), *pause), tenant.weight, without, _as_defaults(defaults))
    for scope in scopes:
        if scope.kind != ScopeKind.TENANT and not scope.is_default:
            mine = attached[scope.pk]
            yield ScopeRecord(scope.node, _ids(mine), scope.weight, _without(mine, defaults.get(scope.kind, ())))


def _global(
    scopes: Iterable[Scope],
    attached: Mapping[int, list[_Attached]],
    defaults: Mapping[str, list[_Attached]],
    pauses: Mapping[str, LimitRecord],
) -> ScopeRecord:
    own = (one for scope in scopes if scope.kind == ScopeKind.GLOBAL for one in attached[scope.pk])
    pause = (pauses[GLOBAL].id,) if GLOBAL in pauses else ()
    return ScopeRecord(GLOBAL, (*_ids(own), *pause), defaults=_as_defaults(defaults))
