"""The provider's bad answers, each kind that the simulated one knows. Nothing of ours is struck: they are counted apart."""

from __future__ import annotations

import dataclasses
import random

from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.torture.site import Site

REQUESTS = (1, 3)
WAITS_MS = (300, 2_000)


@dataclasses.dataclass(slots=True)
class BadAnswer:
    """The next requests meet it."""

    fault: Fault

    def begin(self, site: Site) -> str:
        """Put it into the provider's script."""
        site.provider.control.add_faults(self.fault)
        return f"{self.fault.count} requests"

    def end(self, _: Site) -> str:
        """The script runs out by itself."""
        return ""


def bad_answer(kind: FaultKind, chance: random.Random) -> BadAnswer:
    """One of that kind, for a request or a few."""
    form = chance.choice(list(RetryAfterForm))
    return BadAnswer(Fault(kind, count=chance.randint(*REQUESTS), wait_ms=chance.randint(*WAITS_MS), retry_after=form))
