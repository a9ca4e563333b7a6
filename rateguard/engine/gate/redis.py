"""The gate in Redis or Valkey: each method is one server function, atomic, on keys of one hash tag. Twin of memory.py."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import redis

from rateguard.engine.errors import GateEpochLost, GateUnavailable
from rateguard.engine.gate import wire
from rateguard.engine.gate.codec import pack_reservation
from rateguard.engine.gate.connection import connect
from rateguard.engine.gate.contract import (
    Charge,
    Configuration,
    HeldReservation,
    Holder,
    Inspection,
    LimitReading,
    Notice,
    ReservationId,
    Running,
    Step,
    StepReply,
    Waiting,
)
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.library import library
from rateguard.engine.keys import GATE_KEYS, gate_prefix

__all__ = ["RedisGate", "connect"]

CONFIGURE_AT_ONCE = 1_000
"""Limits, or paths, in one call."""

RESTORE_AT_ONCE = 2_000
"""Rows in one call of a rebuild: a few milliseconds of the server's time."""

MAY_NOT_NOW = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.AskError,
)
"""A server that is full, became a replica or serves another slot is as good as away: the call is repeated, nothing of it is dropped."""
MAY_NOT_NOW_CODES = ("MISCONF", "NOREPLICAS", "BUSY")
"""The same of errors that the client has no class for: its disk is full, its replicas are gone, a script holds it."""


def _parts(configuration: Configuration) -> Iterator[Configuration]:
    """A large configuration in pieces that hold the server for milliseconds: limits first, what names them next, the rest at the end."""
    limits, scopes = configuration.limits, configuration.scopes
    for at in range(0, len(limits) - CONFIGURE_AT_ONCE, CONFIGURE_AT_ONCE):
        yield Configuration(configuration.version, limits=limits[at : at + CONFIGURE_AT_ONCE])
        configuration = dataclasses.replace(configuration, limits=limits[at + CONFIGURE_AT_ONCE :])
    for at in range(0, len(scopes) - CONFIGURE_AT_ONCE, CONFIGURE_AT_ONCE):
        yield Configuration(configuration.version, limits=configuration.limits, scopes=scopes[at : at + CONFIGURE_AT_ONCE])
        configuration = dataclasses.replace(configuration, limits=(), scopes=scopes[at + CONFIGURE_AT_ONCE :])
    yield configuration


def _is_unknown(error: redis.ResponseError) -> bool:
    """Whether the server does not have the library; right after it was loaded: it was taken away again, or another server answers."""
    return "function not found" in str(error).lower()


@contextlib.contextmanager
def _errors_mapped() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        if str(error).startswith("EPOCH"):
            raise GateEpochLost(str(error)) from error
        if _is_unknown(error) or isinstance(error, MAY_NOT_NOW) or str(error).startswith(MAY_NOT_NOW_CODES):
            raise GateUnavailable(f"the gate's server refuses: {type(error).__name__}: {error}") from error
        raise
    except (redis.RedisError, OSError) as error:
        raise GateUnavailable(f"the gate did not answer: {type(error).__name__}: {error}") from error


class RedisGate:
    """See contract.Gate. `now_ms` injects a time for tests and simulations; without it the server's TIME decides."""

    def __init__(
        self, client: redis.Redis, settings: GateSettings | None = None, partition: str = "default", now_ms: Callable[[], int] | None = None
    ) -> None:
        self._client = client
        self._settings = settings or GateSettings()
        self._prefix = gate_prefix(partition)
        self._epoch_key = self._prefix + GATE_KEYS["epoch"]
        self._now_ms = now_ms
        self._rebuild_key = (self._prefix + GATE_KEYS["rebuild"]).encode()
        self._rebuild = ""

    # ---- decisions

    def epoch(self) -> int | None:
        """See contract.Gate."""
        epoch = self._run("epoch")
        return None if epoch is None else int(epoch)

    def step(self, step: Step) -> StepReply:
        """See contract.Gate."""
        return wire.step_reply(self._run("step", *wire.step_fields(step, self._settings)))

    # ---- holders

    def beat(self, holder: Holder) -> int:
        """See contract.Gate."""
        return int(self._run("beat", holder.id, holder.slots, list(map(int, holder.lanes)), wire.settings_fields(self._settings)))

    def leave(self, holder: str) -> None:
        """See contract.Gate."""
        self._run("leave", holder)

    def adopt(self, reservation: ReservationId, holder: str) -> None:
        """See contract.Gate."""
        self._run("adopt", pack_reservation(reservation), holder)

    def suspects(self, most: int) -> tuple[HeldReservation, ...]:
        """See contract.Gate."""
        return wire.held_reservations(wire.unpack(self._run("suspects", most, wire.settings_fields(self._settings))))

    def held(self, cursor: int, most: int) -> tuple[int, tuple[HeldReservation, ...]]:
        """See contract.Gate."""
        following, rows = wire.unpack(self._run("held", cursor, most, wire.settings_fields(self._settings)))
        return int(following), wire.held_reservations(rows)

    # ---- configuration and rebuild

    def configure(self, configuration: Configuration) -> None:
        """See contract.Gate."""
        parts = list(_parts(configuration))
        for part in parts:
            self._run("configure", *wire.configuration_fields(part, is_last=part is parts[-1]))

    def clear(self) -> None:
        """See contract.Gate. What follows until `open` counts for this rebuild alone, and on the server where it began."""
        self._rebuild = uuid.uuid4().hex
        self._run("clear", self._rebuild)
        with _errors_mapped():
            keys = (key for key in self._client.scan_iter(self._prefix + "*", count=1000) if key != self._rebuild_key)
            while page := list(itertools.islice(keys, 500)):
                self._run("drop", self._rebuild, page)

    def restore(self, charges: tuple[Charge, ...], running: tuple[Running, ...], waiting: tuple[Waiting, ...]) -> None:
        """See contract.Gate."""
        for at in range(0, len(charges), RESTORE_AT_ONCE):
            self._run("restore", wire.charge_fields(charges[at : at + RESTORE_AT_ONCE]), [], [], self._rebuild)
        for at in range(0, len(running), RESTORE_AT_ONCE):
            self._run("restore", [], wire.running_fields(running[at : at + RESTORE_AT_ONCE]), [], self._rebuild)
        for at in range(0, len(waiting), RESTORE_AT_ONCE):
            self._run("restore", [], [], wire.waiting_fields(waiting[at : at + RESTORE_AT_ONCE]), self._rebuild)

    def open(self, epoch: int) -> None:
        """See contract.Gate."""
        self._run("open", epoch, self._rebuild)

    # ---- looking

    def inspect(self, limits: tuple[str, ...] | None = None) -> Inspection:
        """See contract.Gate."""
        return wire.inspection(self._run("inspect", False if limits is None else list(limits)))

    def limits_of(self, path: str) -> tuple[str, ...] | None:
        """See contract.Gate."""
        found = wire.unpack(self._run("limits_of", path))
        return None if found is False else tuple(limit.decode() for limit in found or ())

    def notices(self, acknowledged: tuple[str, ...], most: int) -> tuple[Notice, ...]:
        """See contract.Gate."""
        return wire.notices(self._run("notices", list(acknowledged), most))

    def sync(self, lifted: tuple[str, ...], readings: tuple[LimitReading, ...]) -> None:
        """See contract.Gate."""
        self._run("sync", list(lifted), wire.reading_fields(readings))

    def reset_breaker(self, deployment: str) -> None:
        """See contract.Gate."""
        self._run("reset_breaker", deployment)

    # ---- the line

    def _run(self, operation: str, *fields: Any) -> Any:
        """Call a function; load the library where the server does not have it (another server, another version)."""
        functions = library()
        packed = wire.pack([self._now_ms() if self._now_ms else False, *fields])
        with _errors_mapped():
            try:
                return self._client.fcall(functions.prefix + operation, 1, self._epoch_key, packed)
            except redis.ResponseError as error:
                if not _is_unknown(error):
                    raise
            self._client.function_load(functions.source, replace=True)
            return self._client.fcall(functions.prefix + operation, 1, self._epoch_key, packed)
