"""What the gate is told: the records that configuration writes. Part of the contract."""

from __future__ import annotations

import dataclasses

from rateguard.engine.breaker.rule import DEFAULT_RULE, BreakerRule
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import LimitRecord
from rateguard.engine.routing.contract import Mode


@dataclasses.dataclass(frozen=True, slots=True)
class ScopeRecord:
    """A node that people have configured. Only the tenants' own nodes and those of runs must exist; any other may be unknown.

    id: "" the global node, "5" a tenant, "5|team:ml" a node below it (see scopes). limits: ids on it. weight: of a tenant among tenants, of
    a user among the users of his tenant; 1–1000. without: ids of defaults that the node does not have, because it has its own.
    defaults: of a tenant, (kind, ids): what every node of that kind below it has, known or not; of the global node: ("tenant", ids).
    """

    id: str
    limits: tuple[str, ...] = ()
    weight: int = 1
    without: tuple[str, ...] = ()
    defaults: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """One deployment in a model's ranked list.

    limits: its own and its account's. cools: the ids whose cooldown closes it (its own, its account's).
    input_pico, output_pico: its dearest prices, pico-dollars a token.
    tier: a later one is asked only where none before has room. weight: its share of the turns or lots of its tier, 1–1000.
    after_ms: it takes only work that has waited for so long since it came; within its tier it is asked behind those that take all.
    """

    id: str
    limits: tuple[str, ...]
    cools: tuple[str, ...]
    input_pico: int
    output_pico: int
    breaker: BreakerRule = DEFAULT_RULE
    tier: int = 0
    weight: int = 1
    after_ms: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRecord:
    """A public model: deployments in order of tier, after_ms and preference. mode: how one is chosen among those of a tier with room.

    Models that share an account's limit have one pool: there tenants share across them.
    """

    name: str
    pool: str
    deployments: tuple[DeploymentRecord, ...]
    mode: Mode = Mode.FIRST

    def deployment(self, id: str) -> DeploymentRecord | None:  # noqa: A002 - as the record calls it
        """The deployment of this id, where it is in the list."""
        return next((found for found in self.deployments if found.id == id), None)


@dataclasses.dataclass(frozen=True, slots=True)
class PausedLane:
    """A lane that takes nothing until a moment, ms; 0: until it is lifted."""

    lane: Lane
    until_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """Records to write. `forget_…` no longer exist. `version` is the database's config_version that they belong to.

    paused_lanes: all of them, or None where nothing is said about lanes. Any other pause is a limit of kind PAUSE.
    """

    version: int
    limits: tuple[LimitRecord, ...] = ()
    scopes: tuple[ScopeRecord, ...] = ()
    models: tuple[ModelRecord, ...] = ()
    forget_limits: tuple[str, ...] = ()
    forget_scopes: tuple[str, ...] = ()
    forget_models: tuple[str, ...] = ()
    paused_lanes: tuple[PausedLane, ...] | None = None
