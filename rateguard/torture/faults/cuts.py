"""A connection is cut in the middle of a commit: before it reaches the server, or after the server has it and before the answer."""

from __future__ import annotations

import dataclasses

from rateguard.torture.site import Site
from rateguard.torture.wires import DATABASE


@dataclasses.dataclass(slots=True)
class Cut:
    """One process's next commits, one for each of `whens`. server: the wire that is cut, PostgreSQL's or the gate's."""

    target: str
    whens: tuple[str, ...]
    server: str = DATABASE

    def begin(self, site: Site) -> str:
        """Arm the wire."""
        site.wires.arm(self.target, self.server, self.whens)
        return f"to {self.server}"

    def end(self, site: Site) -> str:
        """Disarm it."""
        cut = site.wires.disarm(self.target, self.server)
        return "cut " + ", ".join(f"{when} the server had it" for when in cut) if cut else "nothing was on its way"
