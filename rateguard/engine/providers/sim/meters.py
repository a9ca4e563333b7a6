"""What measures one limit of one account: a sliding window, or a bucket that refills continuously."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from rateguard.engine.providers.sim.config import LimitRule


@dataclasses.dataclass(slots=True)
class Load:
    """What arrived at one moment, in the unit of a limit."""

    at_ms: float
    amount: int


class Meter(Protocol):
    """The load of one limit. Moments are epoch milliseconds and never go back."""

    rule: LimitRule

    def used(self, now_ms: float) -> int:
        """The load that counts now."""
        ...

    def has_room(self, now_ms: float, need: int) -> bool:
        """Whether so much may come in now."""
        ...

    def add(self, now_ms: float, need: int) -> Load:
        """Count what was let in."""
        ...

    def change(self, load: Load, amount: int, now_ms: float) -> None:
        """What was let in turned out to be another amount."""
        ...

    def wait_ms(self, now_ms: float, need: int) -> float | None:
        """How long until what was refused would have room; None if it never has."""
        ...

    def full_in_ms(self, now_ms: float) -> float:
        """How long until the whole limit is free again."""
        ...
