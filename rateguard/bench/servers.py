"""The servers of a benchmark: started for it, in temporary folders, and gone with it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from rateguard.embedded.valkey import ValkeyServer, start_valkey

POSTGRES = {"shared_buffers": "256MB", "max_wal_size": "2GB"}
"""What any installation would set; durability stays on."""


@contextlib.contextmanager
def bench_valkey() -> Iterator[ValkeyServer]:
    """A Valkey with the configuration that rateguard asks for (AOF synced each second)."""
    with tempfile.TemporaryDirectory(prefix="rateguard-bench-") as folder:
        server = start_valkey(Path(folder))
        try:
            yield server
        finally:
            server.stop()


def server_version(client: redis.Redis) -> str:
    """`valkey 9.1.0` or `redis 7.4.2`."""
    facts: Any = client.info("server")
    name = "valkey" if "valkey_version" in facts else "redis"
    return f"{name} {facts[f'{name}_version']}"


def used_memory(client: redis.Redis) -> int:
    """Bytes that the server's data and their overhead take."""
    facts: Any = client.info("memory")
    return int(facts["used_memory"])


class ScriptTime:
    """The server's own wall time in functions, by its command statistics."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._from_us = self._now_us()

    def lap_us(self) -> float:
        """Microseconds spent in functions since the last lap."""
        now_us = self._now_us()
        spent, self._from_us = now_us - self._from_us, now_us
        return spent

    def _now_us(self) -> float:
        facts: Any = self._client.info("commandstats")
        return float(facts.get("cmdstat_fcall", {}).get("usec", 0))
