"""What a fault is: something that begins, lasts and ends, at one process or server of a site."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Protocol

from rateguard.torture.site import Site


class Strike(Protocol):
    """One fault under way. Each call may take a while; neither raises for a target that is down by another fault."""

    def begin(self, site: Site) -> str:
        """Strike. Returns what a report says of it, "" where the kind says all."""
        ...

    def end(self, site: Site) -> str:
        """Mend it, and wait until what it struck answers again. Returns more words for the report, or ""."""
        ...


Make = Callable[[str, random.Random], Strike]
"""A fault at a target; what else it needs is drawn from the generator, so that the seed decides."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: whom it strikes, how long it lasts (the least and the most, s), and how one is made.

    is_provider: the provider's bad answers are counted apart. wants_work: a worker is struck while it has a call under way.
    """

    name: str
    targets: tuple[str, ...]
    length_s: tuple[float, float]
    make: Make
    is_provider: bool = False
    wants_work: bool = False
