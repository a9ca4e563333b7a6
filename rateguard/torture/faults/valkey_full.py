"""Valkey answers, but takes nothing more: its memory is full, or its disk."""

from __future__ import annotations

import dataclasses

from rateguard.torture.site import Site

ROOM_BYTES = 64 * 1024
"""A few writes still go through before it is full."""


@dataclasses.dataclass(slots=True)
class FullMemory:
    """maxmemory just above what it uses; nothing is evicted, so writes are refused with OOM."""

    def begin(self, site: Site) -> str:
        """Leave it no room."""
        with site.valkey.client() as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", used + ROOM_BYTES)
        return f"at {used / 1_048_576:.1f} MiB"

    def end(self, site: Site) -> str:
        """Give it room."""
        with site.valkey.client() as client:
            client.config_set("maxmemory", 0)
        return ""


@dataclasses.dataclass(slots=True)
class FullDisk:
    """Its append-only file cannot grow (RLIMIT_FSIZE, lowered while it runs), so writes are refused with MISCONF."""

    def begin(self, site: Site) -> str:
        """Leave its file no room."""
        return "" if site.valkey.fill_disk() else "not on this machine: no process's limits can be changed while it runs"

    def end(self, site: Site) -> str:
        """Give it room."""
        site.valkey.empty_disk()
        return ""
