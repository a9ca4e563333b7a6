"""The one place where settings and rows become engine objects: the gate, its configuration, the directory.

Configuration flows one way, database → gate. A change is pushed on commit with its version; the caretaker compares each second and
repairs; every reply of the gate carries the version, and a process whose directory is older reads it anew.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import redis
from django.conf import settings
from django.db import models

from rateguard.conf import conf
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Configuration, DeploymentRecord, Gate, ModelRecord, PathRecord
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.limits.limit import Kind, Level, LimitRecord, Metric
from tenants.directory import Directory, Place, read_directory
from tenants.models import ApiKey, Budget, ConfigVersion, Limit, ModelRoute, Scope, ScopeKind, Tenant
from tenants.signals import configuration_changed

logger = logging.getLogger(__name__)

_METRICS = {
    "requests": Metric.REQUESTS,
    "tokens": Metric.TOKENS,
    "input_tokens": Metric.INPUT_TOKENS,
    "output_tokens": Metric.OUTPUT_TOKENS,
    "concurrency": Metric.CONCURRENCY,
}

# ---- Redis and the gate


def redis_client() -> redis.Redis:
    """The one client of this process for the gate's server; thread-safe. It gives up after GATE_TIMEOUT_MS and never retries."""
    return _connected(settings.REDIS_URL, conf().gate_timeout_ms)


@functools.cache
def _connected(url: str, timeout_ms: int) -> redis.Redis:
    return connect(url, timeout_ms)


@functools.cache
def gate() -> Gate:
    """The gate of this process."""
    values = conf()
    gate_settings = GateSettings(values.send_by_ms, values.dead_after_ms, values.unsent_per_worker)
    return RedisGate(redis_client(), gate_settings, values.partition)


# ---- the directory

_directory_lock = threading.Lock()
_directory: Directory | None = None
_read_at = 0.0
_known_version = 0

DIRECTORY_S = 60.0
"""The directory is read anew after so long even where nothing changed: a price may have come into force."""


def directory() -> Directory:
    """The models, deployments and prices, not older than the newest version that this process has heard of."""
    global _directory, _read_at  # noqa: PLW0603 - one a process, guarded by the lock
    found = _directory
    if found is None or _is_stale(found):
        with _directory_lock:
            found = _directory
            if found is None or _is_stale(found):
                _directory = found = read_directory()
                _read_at = time.monotonic()
    return found


def _is_stale(found: Directory) -> bool:
    return found.version < _known_version or time.monotonic() - _read_at > DIRECTORY_S


def note_version(version: int) -> None:
    """A reply of the gate, or a change in this process, carried this version of the configuration."""
    global _known_version  # noqa: PLW0603 - only rises; a lost race is repeated by the next reply
    _known_version = max(_known_version, version)


def forget_directory() -> None:
    """Read the directory anew at the next use."""
    global _directory  # noqa: PLW0603 - as above
    _directory = None


@functools.lru_cache(maxsize=10_000)
def _limits_of_tenant(tenant_id: int, version: int) -> tuple[LimitRecord, ...]:  # noqa: ARG001 - part of the key: an older answer is unreachable
    return path_records(Tenant.objects.filter(pk=tenant_id))[0]


def limits_of_tenant(tenant_id: int) -> tuple[LimitRecord, ...]:
    """The limits and budgets on a tenant's path, as new as the directory."""
    return _limits_of_tenant(tenant_id, directory().version)


# ---- rows to records


def path_id(tenant_id: int) -> str:
    """The path of a tenant's work."""
    return f"t{tenant_id}"


def limit_record(row: Limit) -> LimitRecord:
    """A limit as the gate keeps it. On an account or deployment it is the provider's: counted as he counts, with a guard for the way."""
    is_ours = row.scope_id is not None
    metric = _METRICS[row.metric]
    return LimitRecord(
        id=f"l{row.pk}",
        kind=Kind.CONCURRENCY if metric == Metric.CONCURRENCY else Kind.WINDOW,
        metric=Metric.PROVIDER_TOKENS if metric == Metric.TOKENS and not is_ours else metric,
        amount=row.amount,
        level=Level.TENANT if row.scope is not None and row.scope.kind == ScopeKind.TENANT else Level.SHARED,
        window_ms=row.window_ms,
        burst_permille=row.burst_permille,
        guard_ms=0 if is_ours else conf().guard_ms,
        gives_back=is_ours or metric == Metric.CONCURRENCY,
    )


def budget_record(row: Budget) -> LimitRecord:
    """A budget as the gate keeps it."""
    return LimitRecord(f"b{row.pk}", Kind.BUDGET, Metric.COST, row.amount_nano_usd, Level.TENANT)


def _enforced_scopes() -> models.Q:
    return models.Q(scope__kind__in=[ScopeKind.TENANT, ScopeKind.GLOBAL])


def path_records(tenants: Iterable[Tenant]) -> tuple[tuple[LimitRecord, ...], tuple[PathRecord, ...]]:
    """The limits and budgets on the paths of tenants, and the paths."""
    found = list(tenants)
    mine = models.Q(scope__tenant__in=found) | models.Q(scope__kind=ScopeKind.GLOBAL)
    limits = list(Limit.objects.filter(_enforced_scopes() & mine).select_related("scope"))
    budgets = list(Budget.objects.filter(_enforced_scopes() & mine).select_related("scope"))
    records = {row: limit_record(row) for row in limits} | {row: budget_record(row) for row in budgets}
    by_tenant: dict[int | None, list[str]] = {}
    for row, record in records.items():
        by_tenant.setdefault(row.scope.tenant_id if row.scope else None, []).append(record.id)
    shared = by_tenant.get(None, [])
    paths = (PathRecord(path_id(t.pk), str(t.pk), t.weight, (*by_tenant.get(t.pk, []), *shared)) for t in found)
    return tuple(records.values()), tuple(paths)


def model_records(found: Directory) -> tuple[tuple[LimitRecord, ...], tuple[ModelRecord, ...]]:
    """The limits of accounts and deployments, and the models."""
    rows = list(Limit.objects.filter(scope__isnull=True).select_related("scope"))
    by_account: dict[int | None, list[str]] = {}
    by_deployment: dict[int | None, list[str]] = {}
    for row in rows:
        by_account.setdefault(row.account_id, []).append(f"l{row.pk}")
        by_deployment.setdefault(row.deployment_id, []).append(f"l{row.pk}")
    pools = _pools(found)
    models_ = tuple(
        ModelRecord(name, pools[name], tuple(_deployment_record(place, by_account, by_deployment) for place in places))
        for name, places in found.gate_models().items()
    )
    return tuple(map(limit_record, rows)), (*models_, *_closed_models())


def _closed_models() -> Iterator[ModelRecord]:
    """Disabled models have no deployments: their jobs wait until they are enabled, cancelled or too late."""
    routes = ModelRoute.objects.filter(is_enabled=False).values_list("name", "targets__deployment__account__tenant")
    for name, owner in routes:
        yield closed_model(name)
        if owner is not None:
            yield closed_model(f"{name}@{owner}")


def closed_model(name: str) -> ModelRecord:
    """A model that nobody serves."""
    return ModelRecord(name, name, ())


def _deployment_record(
    place: Place, by_account: dict[int | None, list[str]], by_deployment: dict[int | None, list[str]]
) -> DeploymentRecord:
    limits = (*by_account.get(place.account_id, []), *by_deployment.get(place.id, []))
    cools = (account_target(place.account_id), deployment_target(place.id))
    return DeploymentRecord(str(place.id), limits, cools, place.price.dearest_input_pico, place.price.output_pico)


def account_target(account_id: int) -> str:
    """What a cooldown of an account is known by."""
    return f"a{account_id}"


def deployment_target(deployment_id: int) -> str:
    """What a cooldown of a deployment is known by."""
    return f"d{deployment_id}"


def _pools(found: Directory) -> dict[str, str]:
    """Models that reach a common account, directly or through others, share a pool; it is named by its least account."""
    groups: list[tuple[set[int], set[str]]] = []
    for name, places in found.gate_models().items():
        accounts, names = {place.account_id for place in places}, {name}
        apart = [group for group in groups if not group[0] & accounts]
        for near in (group for group in groups if group[0] & accounts):
            accounts, names = accounts | near[0], names | near[1]
        groups = [*apart, (accounts, names)]
    return {name: f"a{min(accounts)}" if accounts else name for accounts, names in groups for name in names}


# ---- database → gate


def whole_configuration() -> Configuration:
    """Everything that the gate must know, as of a version that is read before the rows: they are at least as new."""
    version = ConfigVersion.current()
    on_paths, paths = path_records(Tenant.objects.all())
    on_models, models_ = model_records(read_directory())
    return Configuration(version, on_paths + on_models, paths, models_)


def push_configuration(configuration: Configuration | None = None) -> bool:
    """Write configuration to the gate; everything by default. False: the gate is away; the caretaker or the next rebuild brings it."""
    try:
        gate().configure(configuration or whole_configuration())
    except GateError as error:
        logger.warning("configuration not pushed, the caretaker will: %s", error)
        return False
    return True


def _changed(
    sender: type[models.Model], instance: models.Model | None, version: int, pk: int | None, *, is_deleted: bool, **_: Any
) -> None:
    """One change was committed: push what it touches."""
    note_version(version)
    if sender is ApiKey:
        return
    forget = (f"{'l' if sender is Limit else 'b'}{pk}",) if is_deleted and sender in (Limit, Budget) else ()
    tenant = _tenant_of(instance)
    if tenant is None or (sender is Tenant and is_deleted):
        configuration = whole_configuration()
        gone = (closed_model(instance.name),) if is_deleted and isinstance(instance, ModelRoute) else ()
        push_configuration(dataclasses.replace(configuration, forget_limits=forget, models=configuration.models + gone))
    else:
        read_version = ConfigVersion.current()  # before the rows: what is read is at least as new
        limits, paths = path_records([tenant])
        push_configuration(Configuration(read_version, limits, paths, (), forget))


def _tenant_of(instance: models.Model | None) -> Tenant | None:
    """The tenant whose path alone a change touches; None where it is gone, or where more is touched."""
    scope = instance if isinstance(instance, Scope) else getattr(instance, "scope", None)
    tenant = instance if isinstance(instance, Tenant) else getattr(scope, "tenant", None)
    return tenant if tenant is not None and tenant.pk is not None else None


def connect_configuration() -> None:
    """Follow committed changes; called once, when the apps are ready."""
    configuration_changed.connect(_changed, dispatch_uid="rateguard.wiring")
