"""What Valkey held is gone, or it is: FLUSHALL, a crash that keeps its file, a crash that loses it."""

from __future__ import annotations

import dataclasses

from rateguard.torture.site import Site


@dataclasses.dataclass(slots=True)
class Flush:
    """Limits, queues, waiting room, all: gone in a moment, while the server goes on."""

    def begin(self, site: Site) -> str:
        """Empty it."""
        with site.valkey.client() as client:
            keys = client.dbsize()
            client.flushall()
        return f"{keys} keys"

    def end(self, site: Site) -> str:
        """It never went away."""
        return ""


@dataclasses.dataclass(slots=True)
class RestartValkey:
    """Killed as in a power cut, away for a while, and back, with its file or empty."""

    keeps_file: bool

    def begin(self, site: Site) -> str:
        """Kill it."""
        site.valkey.kill()
        return ""

    def end(self, site: Site) -> str:
        """Start it again."""
        site.valkey.start(keeps_file=self.keeps_file)
        return ""
