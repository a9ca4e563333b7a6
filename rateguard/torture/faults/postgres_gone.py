"""PostgreSQL is killed, away for a while, and recovers from its log."""

from __future__ import annotations

import dataclasses

from rateguard.torture.site import Site


@dataclasses.dataclass(slots=True)
class RestartPostgres:
    """What was committed is there afterwards; what was not is not."""

    def begin(self, site: Site) -> str:
        """Kill it, as a power cut would."""
        site.postgres.kill()
        return ""

    def end(self, site: Site) -> str:
        """Start it again, until it answers."""
        site.postgres.start_again()
        return ""
