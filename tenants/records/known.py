"""The limits on a path, from the rows alone: what is asked at submit, before the gate is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from django.utils import timezone

from rateguard.engine import scopes
from rateguard.engine.gate.paths import Paths
from rateguard.engine.limits.limit import Kind, LimitRecord
from tenants.models import Run
from tenants.records.runs import run_records
from tenants.records.scopes import NodeRecords, global_records, node_records


class KnownNodes:
    """The nodes of a tenant and the global one as they were read."""

    def __init__(self, found: Iterable[NodeRecords]) -> None:
        self._paths = Paths()
        self._limits: dict[str, LimitRecord] = {}
        for records in found:
            self._paths.records.update((record.id, record) for record in records.scopes)
            self._limits.update((record.id, record) for record in records.limits if record.kind != Kind.PAUSE)

    def limits_of(self, path: str) -> tuple[LimitRecord, ...]:
        """The limits and budgets on a path without runs; `l17@user:alice` what a node has by a default. Pauses are left out."""
        found = self._paths.resolve(path)
        named = ((name, self._limits.get(name.partition("@")[0])) for name in (found.limits if found else ()))
        return tuple(record if record.id == name else dataclasses.replace(record, id=name) for name, record in named if record)


def known_nodes(tenant_id: int) -> KnownNodes:
    """Read a tenant's nodes."""
    now = timezone.now()
    return KnownNodes([global_records(now), node_records(now, tenant_id)])


def limits_of_run(key: str) -> tuple[LimitRecord, ...]:
    """What one run may use; nothing where there is no such run."""
    return tuple(record for row in Run.objects.filter(pk=key) for record in run_records(row) if record.kind != Kind.PAUSE)


def without_runs(path: str) -> tuple[str, list[str]]:
    """A path without its runs, and their ids, the outermost first."""
    parts = scopes.parts_of(path)
    runs = [scopes.name_of(part) for part in parts if scopes.kind_of(part) == scopes.NodeKind.RUN]
    rest = [part for part in parts if scopes.kind_of(part) != scopes.NodeKind.RUN]
    return "|".join([scopes.tenant_of(path), *rest]), runs
