"""SIGSTOP: a process or server that stops answering without closing a connection, and later goes on as if nothing had been."""

from __future__ import annotations

import dataclasses
import signal

from rateguard.torture.site import Site


@dataclasses.dataclass(slots=True)
class FreezeProcess:
    """A web process or a worker. Longer than 12 s, its heartbeat's death, others take its work over, and it comes back to find that."""

    target: str

    def begin(self, site: Site) -> str:
        """Stop it."""
        pid = site.processes[self.target].pid
        site.processes[self.target].signal(signal.SIGSTOP)
        return f"pid {pid}"

    def end(self, site: Site) -> str:
        """Let it go on."""
        site.processes[self.target].signal(signal.SIGCONT)
        return ""


@dataclasses.dataclass(slots=True)
class FreezeValkey:
    """The gate and the broker hang."""

    def begin(self, site: Site) -> str:
        """Stop it."""
        site.valkey.freeze()
        return ""

    def end(self, site: Site) -> str:
        """Let it go on, until it answers."""
        site.valkey.thaw()
        site.valkey.wait_answers()
        return ""


@dataclasses.dataclass(slots=True)
class FreezePostgres:
    """Every query hangs, and every new connection."""

    def begin(self, site: Site) -> str:
        """Stop it and all its connections."""
        site.postgres.freeze()
        return ""

    def end(self, site: Site) -> str:
        """Let it go on, until it answers."""
        site.postgres.thaw()
        site.postgres.wait_answers()
        return ""
