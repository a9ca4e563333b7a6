"""A random world for a gate: nodes and their limits, deployments, models, paths."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable

from rateguard.engine.breaker.rule import BreakerRule
from rateguard.engine.gate.contract import Configuration, DeploymentRecord, ModelRecord, ScopeRecord
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind, Level, LimitRecord, Metric
from rateguard.engine.routing.contract import Mode
from tests.contract.gate_line import START_MS, bucket, budget, places, window

DAY_MS = 86_400_000
TENANTS = ("1", "2", "3")
MODELS = {"m": ("1",), "n": ("1", "2"), "p": ("2", "3"), "q": ("1", "2", "3"), "o": ("4",), "none": ()}
LISTS = (*MODELS, "n", "p", "q", "q", "n!-1", "p!+3", "q!-1", "q!-2+3", "q!+9*1*2", "q!-1-2-3", "none!-1")
"""What jobs ask for: models, and their lists with marks."""
PATHS = tuple(
    tenant + rest
    for tenant in TENANTS
    for rest in (
        "",
        "|user:a",
        "|user:b",
        "|user:c",
        "|team:x|user:a",
        "|team:x|user:b",
        "|team:y",
        "|user:b|key:k",
        "|team:x|user:c|run:r1",
        "|user:a|run:r1|run:r2",
        "|team:x|rolegroup:g|role:w|user:a|run:r1|run:r2|run:r3|run:r4|key:k",
    )
)
"""What jobs charge; the longest path has ten nodes below the global one."""


def periods(every_ms: int) -> tuple[int, ...]:
    """Beginnings for as long as a run of random steps lasts, and a little before."""
    return tuple(START_MS - DAY_MS + at for at in range(0, 40 * DAY_MS, every_ms))


PERIODS = (periods(DAY_MS), periods(7 * DAY_MS), ())


def random_settings(rnd: random.Random) -> GateSettings:
    return GateSettings(unsent_per_worker=rnd.choice([3, 100]), most_nodes=rnd.choice([4, 100, 100]))


def candidates_of(node: str) -> tuple[str, ...]:
    """The ids of the limits that a node may get."""
    tenant, _, part = node.partition("|")
    by_part = {"": "wkcb", "user:a": "c", "team:x": "k", "key:k": "w", "run:r1": "bn"}
    return tuple(f"{node}:{letter}" for letter in by_part.get(part, "")) if tenant else ("g:r",)


def defaults_of(tenant: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What every node of a kind may have by default."""
    return (("user", (f"u{tenant}:w", f"u{tenant}:b")), ("team", (f"e{tenant}:k",)), ("run", (f"r{tenant}:c",)))


def _money(rnd: random.Random, name: str, level: Level) -> LimitRecord:
    return budget(
        name,
        rnd.choice([3_000, 20_000, 10**9]),
        level,
        on_exhausted=rnd.choice(list(Exhausted)),
        periods=rnd.choice(PERIODS),
        thresholds=rnd.choice([(), (50, 80, 100)]),
        reserve_permille=rnd.choice([0, 0, 300]),
        reserve_lane=int(Lane.HIGH),
    )


def _limits_of_tenant(rnd: random.Random, tenant: str) -> list[LimitRecord]:
    pace = {"burst_permille": rnd.choice([1000, 300])}
    kept = {"reserve_permille": rnd.choice([0, 250]), "reserve_lane": int(rnd.choice([Lane.CRITICAL, Lane.NORMAL]))}
    return [
        window(f"{tenant}:w", Metric.TOKENS, rnd.choice([1_500, 40_000]), rnd.choice([1_000, 10_000, 7_777]), Level.TENANT, **kept),
        bucket(f"{tenant}:k", rnd.choice([4_000, 90_000]), 60_000, Level.TENANT, Metric.TOKENS, **pace, **kept),
        places(f"{tenant}:c", rnd.choice([1, 3, 20]), Level.TENANT, **kept),
        _money(rnd, f"{tenant}:b", Level.TENANT),
        places(f"{tenant}|user:a:c", rnd.choice([1, 4]), Level.LEAF),
        bucket(f"{tenant}|team:x:k", rnd.choice([3, 60]), 10_000, Level.LEAF, Metric.REQUESTS, **pace),
        window(f"{tenant}|key:k:w", Metric.INPUT_TOKENS, rnd.choice([900, 9_000]), 60_000, Level.LEAF, **pace),
        _money(rnd, f"{tenant}|run:r1:b", Level.LEAF),
        LimitRecord(f"{tenant}|run:r1:n", Kind.BUDGET, Metric.REQUESTS, rnd.choice([2, 30]), Level.LEAF),
        window(f"u{tenant}:w", Metric.REQUESTS, rnd.choice([2, 30]), rnd.choice([1_000, 60_000]), Level.LEAF, **pace),
        _money(rnd, f"u{tenant}:b", Level.LEAF),
        bucket(f"e{tenant}:k", rnd.choice([300, 9_000]), 10_000, Level.LEAF, Metric.OUTPUT_TOKENS),
        places(f"r{tenant}:c", rnd.choice([1, 5]), Level.LEAF),
    ]


def _nodes_of_tenant(rnd: random.Random, tenant: str) -> list[ScopeRecord]:
    def some(node: str) -> tuple[str, ...]:
        return tuple(limit for limit in candidates_of(node) if rnd.random() < 0.5)

    defaults = tuple(default for default in defaults_of(tenant) if rnd.random() < 0.5)
    without = (f"u{tenant}:w",) if rnd.random() < 0.5 else ()
    return [
        ScopeRecord(tenant, some(tenant), rnd.choice([1, 2, 7]), (), defaults),
        ScopeRecord(f"{tenant}|user:a", some(f"{tenant}|user:a"), rnd.choice([1, 3]), without),
        *(ScopeRecord(f"{tenant}|{part}", some(f"{tenant}|{part}")) for part in ("team:x", "key:k", "run:r1", "run:r2")),
        *(ScopeRecord(f"{tenant}|run:{name}") for name in ("r3", "r4")),
    ]


def _deployments(rnd: random.Random) -> dict[str, DeploymentRecord]:
    patience = {"failures": rnd.choice([1, 2, 5]), "open_ms": rnd.choice([1_000, 30_000]), "probes": rnd.choice([1, 2])}
    rule = BreakerRule(window_ms=10_000, slow_ms=rnd.choice([0, 800]), **patience)
    limits = {"1": ("d1:r", "a1:t"), "2": ("a1:t", "d2:c"), "3": ("d3:o", "d3:l"), "4": ("d4:t",)}
    cools = {"1": ("a1", "d1"), "2": ("a1", "d2"), "3": ("a3", "d3"), "4": ("a4", "d4")}
    return {name: DeploymentRecord(name, limits[name], cools[name], 1_000, 3_000 + int(name), rule) for name in limits}


def _models(rnd: random.Random) -> tuple[ModelRecord, ...]:
    """Models that share an account's limit have one pool."""
    known = _deployments(rnd)
    return tuple(rerouted(rnd, ModelRecord(name, "xy"[name == "o"], tuple(known[one] for one in ids))) for name, ids in MODELS.items())


def rerouted(rnd: random.Random, model: ModelRecord) -> ModelRecord:
    """The same model by another strategy, and with other weights, tiers and waits."""
    found = [
        dataclasses.replace(one, tier=rnd.choice([0, 0, 1]), weight=rnd.choice([1, 3, 1_000]), after_ms=rnd.choice([0, 0, 0, 40, 5_000]))
        for one in model.deployments
    ]
    return dataclasses.replace(model, deployments=in_order(found), mode=rnd.choice(list(Mode)))


def in_order(deployments: Iterable[DeploymentRecord]) -> tuple[DeploymentRecord, ...]:
    """As lists stand: by tier, and those that take all before those that take only what has waited."""
    return tuple(sorted(deployments, key=lambda one: (one.tier, one.after_ms)))


def random_configuration(rnd: random.Random) -> Configuration:
    kept = {"gives_back": False, "guard_ms": rnd.choice([0, 100])}
    limits = [
        window("g:r", Metric.REQUESTS, rnd.choice([6, 90]), rnd.choice([1_000, 10_000]), burst_permille=rnd.choice([1000, 400])),
        places("g:t", rnd.choice([2, 20]), Level.TENANT),
        window("d1:r", Metric.REQUESTS, rnd.choice([5, 50]), rnd.choice([1_000, 60_000]), **kept),
        window("a1:t", Metric.PROVIDER_TOKENS, rnd.choice([5_000, 50_000]), 60_000, burst_permille=rnd.choice([1000, 200]), **kept),
        places("d2:c", rnd.choice([1, 6])),
        window("d3:o", Metric.OUTPUT_TOKENS, rnd.choice([120, 4_000]), 10_000, output_permille=rnd.choice([1_000, 2_500])),
        window("d3:l", Metric.TOKENS, 10**6, 10_000, learns_from=rnd.choice([300, 3_000]), learns_floor=rnd.choice([1, 200])),
        bucket("d4:t", rnd.choice([5_000, 50_000]), 60_000, Level.SHARED, Metric.PROVIDER_TOKENS, counts_cached=rnd.random() < 0.5),
    ]
    nodes = [ScopeRecord("", ("g:r",), defaults=(("tenant", ("g:t",)),) if rnd.random() < 0.5 else ())]
    for tenant in TENANTS:
        limits += _limits_of_tenant(rnd, tenant)
        nodes += _nodes_of_tenant(rnd, tenant)
    return Configuration(1, tuple(limits), tuple(nodes), _models(rnd))
