"""Which limits a path has, from the configured nodes, for the memory twin. paths.lua is the same, name by name."""

from __future__ import annotations

import dataclasses

from rateguard.engine import scopes
from rateguard.engine.gate.contract import ScopeRecord


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """A path resolved. user: who shares with the tenant's other users, "" for work without one. limits: without the deployment's."""

    id: str
    tenant: str
    weight: int
    user: str
    user_weight: int
    limits: tuple[str, ...]


class Paths:
    """The configured nodes; every path is looked up in them when it is used, so an edit acts on what waits."""

    def __init__(self) -> None:
        self.records: dict[str, ScopeRecord] = {}

    def resolve(self, path: str) -> Path | None:
        """The path with its limits: the tenant's, then those of each node as the path names them, then the global ones.

        None where its tenant or one of its runs is not configured.
        """
        tenant = scopes.tenant_of(path)
        record = self.records.get(tenant)
        if record is None or self.missing_run(path) is not None:
            return None
        above = self.records.get(scopes.GLOBAL, ScopeRecord(scopes.GLOBAL))
        limits = [*record.limits, *_inherited(above, "tenant", f"tenant:{tenant}", record.without)]
        user, user_weight = "", 1
        for part in scopes.parts_of(path):
            node = self.records.get(f"{tenant}|{part}", ScopeRecord(part))
            limits += [*node.limits, *_inherited(record, scopes.kind_of(part), part, node.without)]
            if part.startswith("user:"):
                user, user_weight = part, node.weight
        return Path(path, tenant, record.weight, user, user_weight, (*limits, *above.limits))

    def missing(self, path: str) -> str:
        """The node for want of which a path cannot be resolved: its tenant, or a run."""
        tenant = scopes.tenant_of(path)
        return tenant if tenant not in self.records else self.missing_run(path) or ""

    def missing_run(self, path: str) -> str | None:
        """The first run of a path that is not configured."""
        nodes = (f"{scopes.tenant_of(path)}|{part}" for part in scopes.parts_of(path) if part.startswith("run:"))
        return next((node for node in nodes if node not in self.records), None)


def _inherited(above: ScopeRecord, kind: str, part: str, without: tuple[str, ...]) -> list[str]:
    """What a node has by the defaults of its kind."""
    defaults = dict(above.defaults).get(kind, ())
    return [scopes.instance_of(limit, part) for limit in defaults if limit not in without]
