"""`kill -9` of a process of ours: its supervisor starts it again after a second."""

from __future__ import annotations

import dataclasses

from rateguard.torture.site import Site

BACK_S = 90.0


@dataclasses.dataclass(slots=True)
class Kill:
    """The fault ends when the process takes work again."""

    target: str

    def begin(self, site: Site) -> str:
        """Kill it and all that it started."""
        pid = site.processes[self.target].pid
        site.processes[self.target].kill()
        return f"pid {pid}"

    def end(self, site: Site) -> str:
        """Wait until it is back."""
        site.processes[self.target].wait_ready(BACK_S)
        return ""
