"""The gate's Redis or Valkey: whether it answers, how fast, its version, what it keeps, and whether the gate is open there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import redis
from django.conf import settings

from rateguard import wiring
from rateguard.conf import conf
from rateguard.doctor.finding import Finding, fail, ok, warn
from rateguard.engine.errors import ConfigurationError, GateError
from rateguard.jobs.upkeep.rebuild import is_lost

OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
PINGS = 20
SLOW_MS = 5.0
FULL = 0.8
_START = "start it, or set REDIS_URL to one that runs; jobs are accepted and wait meanwhile"
_START_UP = "it is the one of `manage.py up`: start that, or see logs/valkey.log in its state"


def look() -> list[Finding]:
    """Everything, in order; nothing further where it does not answer."""
    try:
        client = wiring.redis_client()
        facts: dict[str, Any] = client.info()
    except (redis.RedisError, OSError, ConfigurationError) as error:
        return [fail(f"Redis does not answer: {error}", _START_UP if _is_ups() else _START)]
    return [_latency(client, *_version(facts)), *_age(facts), *_memory(facts), _persistence(facts), *_role(facts), _gate()]


def _is_ups() -> bool:
    """Whether the server is a Valkey that `up` starts."""
    state = os.environ.get("RATEGUARD_STATE_DIR")
    return state is not None and (Path(state) / "valkey.conf").exists() and "@127.0.0.1:" in settings.REDIS_URL


def _version(facts: dict[str, Any]) -> tuple[str, str]:
    """Which server, and its version; Valkey tells Redis's beside its own."""
    if "valkey_version" in facts:
        return "valkey", str(facts["valkey_version"])
    return "redis", str(facts.get("redis_version", "?"))


def _latency(client: redis.Redis, name: str, version: str) -> Finding:
    times = sorted(_ping_ms(client) for _ in range(PINGS))
    p50, p99 = times[PINGS // 2], times[-1]
    told = f"{name.capitalize()} {version} answers in {p50:.2f} ms (median of {PINGS}), {p99:.2f} ms at worst"
    timeout_ms = conf().gate_timeout_ms
    near = f"this is near GATE_TIMEOUT_MS ({timeout_ms} ms), after which it counts as away: bring it nearer to the workers, or raise that"
    if p50 > timeout_ms / 2:
        return fail(told, near)
    if p99 > timeout_ms / 2:
        return warn(told, near)
    return ok(told) if p50 <= SLOW_MS else warn(told, "each job takes round trips to it: bring workers and Redis nearer together")


def _ping_ms(client: redis.Redis) -> float:
    began_at = time.monotonic()
    client.ping()
    return (time.monotonic() - began_at) * 1_000


def _age(facts: dict[str, Any]) -> list[Finding]:
    name, version = _version(facts)
    oldest = OLDEST[name]
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if parts >= oldest:
        return []
    return [fail(f"{name.capitalize()} {version} has no functions that the gate needs", f"upgrade to {oldest[0]}.{oldest[1]} or newer")]


def _memory(facts: dict[str, Any]) -> list[Finding]:
    policy, most, used = str(facts.get("maxmemory_policy", "")), int(facts.get("maxmemory", 0)), int(facts.get("used_memory", 0))
    found = []
    if policy != "noeviction":
        found.append(
            fail(f"maxmemory-policy is {policy!r}: limits and waiting jobs would be evicted", "CONFIG SET maxmemory-policy noeviction")
        )
    else:
        found.append(ok("maxmemory-policy is noeviction"))
    if most and used > most * FULL:
        found.append(warn(f"{used / most:.0%} of its memory is used", "raise maxmemory; a full server counts as away"))
    return found


def _persistence(facts: dict[str, Any]) -> Finding:
    if not facts.get("aof_enabled"):
        told = "it keeps no append-only file: after a restart the gate is rebuilt from the rows, and messages to workers are lost"
        return warn(told, "CONFIG SET appendonly yes")
    if facts.get("aof_last_write_status", "ok") != "ok":
        return fail("its append-only file cannot be written", "see its log and its disk")
    return ok("it keeps an append-only file")


def _role(facts: dict[str, Any]) -> list[Finding]:
    if facts.get("role") == "master":
        return []
    return [fail("it is a replica and takes no writes", "set REDIS_URL to the master, or name the Sentinels: docs/operating.md")]


def _gate() -> Finding:
    gate = wiring.gate()
    try:
        if is_lost(gate):
            return warn("the gate is not open: it was emptied, or never filled", "start a worker: it rebuilds the gate within seconds")
        return ok(f"the gate is open, at epoch {gate.epoch()}")
    except GateError as error:
        return fail(f"the gate does not decide: {error}", "its user needs functions, its keys and publish/subscribe: docs/operating.md")
