"""How many bytes of bodies a process holds at once, against a bound. Counted on one event loop, so without a lock."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True)
class InFlight:
    """most: bytes. held: what is held now; what is there already is counted, over the bound too."""

    most: int
    held: int = 0

    @property
    def is_full(self) -> bool:
        """Take nothing new."""
        return self.held >= self.most

    def take(self, count: int) -> bool:
        """Hold so many more. False: they would be too many. Alone, a body is taken whatever its size."""
        if self.held and self.held + count > self.most:
            return False
        self.held += count
        return True

    def add(self, count: int) -> None:
        """Hold so many more: they are there."""
        self.held += count

    def give_back(self, count: int) -> None:
        """So many are gone."""
        self.held -= count
