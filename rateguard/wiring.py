"""The one place where settings and rows become engine objects: the gate, its configuration, the directory.

Configuration flows one way, database → gate. A change is pushed on commit with its version; the caretaker compares each second and
repairs; every reply of the gate carries the version, and a process whose directory is older reads it anew. How rows become records is
in `tenants.records`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import functools
import logging
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection, models, transaction
from django.db.models.functions import Now

from rateguard.conf import conf
from rateguard.engine import scopes
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Configuration, Gate
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.limits.limit import LimitRecord
from rateguard.engine.scopes import NodeKind
from tenants.directory import Directory, read_directory
from tenants.models import ApiKey, ConfigVersion, Forgotten, Run, RunState, Tenant, WebhookEndpoint
from tenants.models.runs import runs_changed
from tenants.records import configuration as parts
from tenants.records.known import KnownNodes, known_nodes, limits_of_run, without_runs
from tenants.records.models import account_target, deployment_target
from tenants.records.ranking import NOTHING, Known, models_by_statistics
from tenants.records.runs import run_records, runs_in_gate
from tenants.signals import configuration_changed

__all__ = [
    "account_target",
    "connect_configuration",
    "deployment_target",
    "directory",
    "forget_directory",
    "gate",
    "limits_of_path",
    "look",
    "note_version",
    "path_of",
    "push_configuration",
    "push_run",
    "ranks",
    "redis_client",
    "run_records",
    "show_uncommitted",
    "tenant_named",
    "whole_configuration",
]

logger = logging.getLogger(__name__)

# ---- Redis and the gate


def redis_client() -> redis.Redis:
    """The one client of this process for the gate's server; thread-safe. It gives up after GATE_TIMEOUT_MS and never retries."""
    return _connected(settings.REDIS_URL, conf().gate_timeout_ms, conf().partition)


@functools.cache
def _connected(url: str, timeout_ms: int, partition: str) -> redis.Redis:
    return connect(url, timeout_ms, partition)


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
    """The models, deployments and prices, not older than the newest version that this process has heard of.

    In a transaction that made a model: with it, see `show_uncommitted`. On an event loop, where nobody may ask the database, what is known
    is used as it is, and read anew beside.
    """
    return _own_directory() or _committed_directory()


def _committed_directory() -> Directory:
    global _directory, _read_at  # noqa: PLW0603 - one a process, guarded by the lock
    found = _directory
    if found is not None and _is_stale(found) and _is_on_event_loop():
        _read_beside()
        return found
    if found is None or _is_stale(found):
        with _directory_lock:
            found = _directory
            if found is None or _is_stale(found):
                _directory = found = read_directory()
                _read_at = time.monotonic()
    return found


def _is_stale(found: Directory) -> bool:
    return found.version < _known_version or time.monotonic() - _read_at > DIRECTORY_S


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_reader: threading.Thread | None = None


def _read_beside() -> None:
    """One thread at a time."""
    global _reader  # noqa: PLW0603 - a lost race costs one more look
    if _reader is None or not _reader.is_alive():
        _reader = threading.Thread(target=_read_and_close, name="rateguard-directory", daemon=True)
        _reader.start()


def _read_and_close() -> None:
    try:
        _committed_directory()
    except DatabaseError as error:
        logger.info("the models are not read anew: %s", error)
    finally:
        connection.close()


def note_version(version: int) -> None:
    """A reply of the gate, or a change in this process, carried this version of the configuration."""
    global _known_version  # noqa: PLW0603 - only rises; a lost race is repeated by the next reply
    _known_version = max(_known_version, version)


class _Uncommitted(threading.local):
    """What a thread's open transaction made. mark: lies among what Django calls on commit, so that a rollback takes it away."""

    directory: Directory | None = None
    mark: object = None


_uncommitted = _Uncommitted()


def show_uncommitted() -> None:
    """A model was made: this thread sees it at once, everybody else when its transaction commits, if there is one.

    What is kept by the directory's version must not come to hold what may roll back: so it keeps the version that is committed.
    """
    if not connection.in_atomic_block:
        note_version(ConfigVersion.current())
        return

    def mark() -> None:
        """The commit: from here on the directory that all have is good, which its raised version has read anew."""

    version = directory().version
    transaction.on_commit(mark)
    _uncommitted.directory, _uncommitted.mark = dataclasses.replace(read_directory(), version=version), mark


def _own_directory() -> Directory | None:
    found = _uncommitted.directory
    if found is not None and not any(function is _uncommitted.mark for _, function, *_ in connection.run_on_commit):
        found = _uncommitted.directory = None
    return found


def forget_directory() -> None:
    """Read the directory, and the limits of tenants and runs, anew at the next use."""
    global _directory, _known_version
    _directory, _known_version = None, 0
    _uncommitted.directory = None
    _known_limits.cache_clear()
    _known_nodes.cache_clear()
    _known_run.cache_clear()
    _known_tenant.cache_clear()


def tenant_named(name: str) -> Tenant | None:
    """A tenant's row, as new as the directory: for reading alone. None where there is none; that is never remembered."""
    try:
        return _known_tenant(name, directory().version, _read_at)
    except Tenant.DoesNotExist:
        return None


@functools.lru_cache(maxsize=10_000)
def _known_tenant(name: str, version: int, read_at: float) -> Tenant:  # noqa: ARG001 - part of the key: an older answer is unreachable
    return Tenant.objects.get(name=name)


# ---- paths and their limits

RUN_S = 5.0
"""What is known of a run's limits is at most so old."""


def path_of(
    tenant_id: int,
    *,
    team: str = "",
    rolegroup: str = "",
    role: str = "",
    user: str = "",
    runs: Iterable[uuid.UUID] = (),
    key: int | None = None,
) -> str:
    """The path of a tenant's work that charges these nodes. runs: the outermost first. key: the API key's id."""
    named = [(NodeKind.TEAM, team), (NodeKind.ROLEGROUP, rolegroup), (NodeKind.ROLE, role), (NodeKind.USER, user)]
    inside = [(NodeKind.RUN, run.hex) for run in runs]
    return scopes.path_of(str(tenant_id), [*named, *inside, (NodeKind.KEY, "" if key is None else str(key))])


def limits_of_path(path: str) -> tuple[LimitRecord, ...]:
    """All limits and budgets on a path but pauses, as new as the directory; `l17@user:alice` what a node has by a default."""
    plain, runs = without_runs(path)
    age = int(time.monotonic() / RUN_S)
    return (*_known_limits(plain, directory().version), *(record for run in runs for record in _known_run(run, age)))


@functools.lru_cache(maxsize=10_000)
def _known_limits(path: str, version: int) -> tuple[LimitRecord, ...]:
    return tuple(_known_nodes(int(scopes.tenant_of(path)), version).limits_of(path))


@functools.lru_cache(maxsize=10_000)
def _known_nodes(tenant_id: int, version: int) -> KnownNodes:  # noqa: ARG001 - part of the key: an older answer is unreachable
    return known_nodes(tenant_id)


@functools.lru_cache(maxsize=10_000)
def _known_run(run: str, age: int) -> tuple[LimitRecord, ...]:  # noqa: ARG001 - as above
    return limits_of_run(run)


# ---- database → gate

JUST_STOPPED_S = 60
"""A run that was stopped while everything was read is written once more; nobody reads and writes for longer than this."""
MOST_PUSHES = 5
"""A run changes once or twice in its life: more often it is not written in a row."""


def whole_configuration() -> Configuration:
    """Everything that the gate must know, as of a version that is read before the rows: they are at least as new."""
    return parts.whole(look).configuration


def look(limits: Sequence[str]) -> Known:
    """What the gate says of these limits and of all deployments; nothing where it is away: then all deployments look alike."""
    try:
        return Known.of(gate().inspect(tuple(limits)))
    except GateError:
        return NOTHING


def ranks() -> Configuration | None:
    """The lists of models that choose by what the gate sees, as they are to be now. None: there are none, or a change is on its way."""
    found = directory()
    return parts.of_ranks(found, look) if models_by_statistics(found) else None


def push_configuration(configuration: Configuration | None = None) -> bool:
    """Write configuration to the gate; everything by default. False: the gate is away; the caretaker or the next rebuild brings it."""
    try:
        if configuration is not None:
            gate().configure(configuration)
        else:
            _push_whole()
    except GateError as error:
        logger.warning("configuration not pushed, the caretaker will: %s", error)
        return False
    return True


def _push_whole() -> None:
    whole = parts.whole(look)
    gate().configure(whole.configuration)
    Forgotten.objects.filter(pk__in=whole.forgotten).delete()
    just_stopped = Now() - dt.timedelta(seconds=JUST_STOPPED_S)
    stopped = runs_in_gate().filter(state=RunState.STOPPED, stopped_at__gte=just_stopped)
    if pks := list(stopped.values_list("pk", flat=True)):
        gate().configure(parts.of_runs(pks))


def push_run(run: Run) -> bool:
    """Write a run to the gate; this happens by itself when a change of it commits. False: the gate is away, as above."""
    return _push_runs([run.pk])


def _push_runs(pks: Collection[uuid.UUID]) -> bool:
    """A run that changed while it was written is written again, so that whoever writes last writes what stands."""
    written: Configuration | None = None
    for _ in range(MOST_PUSHES):
        found = parts.of_runs(pks)
        if written is not None and found.limits == written.limits:
            break
        if not push_configuration(found):
            return False
        written = found
    return True


def _changed(sender: type[models.Model], instance: models.Model | None, version: int, pk: int | None, **_: Any) -> None:
    """One change was committed: push what it touches."""
    note_version(version)
    if sender not in {ApiKey, WebhookEndpoint}:  # the gate knows neither
        push_configuration(parts.touched_by(sender, instance, pk, look))


def _runs_changed(pks: Collection[uuid.UUID], **_: Any) -> None:
    _known_run.cache_clear()
    _push_runs(pks)


def connect_configuration() -> None:
    """Follow committed changes; called once, when the apps are ready."""
    configuration_changed.connect(_changed, dispatch_uid="rateguard.wiring")
    runs_changed.connect(_runs_changed, dispatch_uid="rateguard.wiring.runs")
