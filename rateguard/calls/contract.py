"""What an entrance needs of others: the line to the gate, which is the pump, and who writes ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rateguard.engine.gate.contract import Sent, Settlement, Waiting
from rateguard.jobs.attempts.outcome import Finished


class GateLine(Protocol):
    """What of the pump a call needs."""

    @property
    def is_away(self) -> bool:
        """The gate does not answer."""
        ...

    def kick(self) -> None:
        """Ask the gate, if there is anything to tell or not."""
        ...

    def enqueue(self, jobs: Iterable[Waiting], *, at_once: bool = False) -> None:
        """Calls came in."""
        ...

    def withdraw(self, jobs: Iterable[Waiting]) -> None:
        """Calls left."""
        ...

    def claim(self, sent: Sent, at: float) -> None:
        """A grant has reached its process."""
        ...

    def sent(self, sent: Sent, at: float) -> None:
        """A request left."""
        ...

    def settle(self, settlements: Iterable[tuple[Settlement, float | None]]) -> None:
        """Calls ended."""
        ...


class Writer(Protocol):
    """Writes ends, many at a time, and tells the entrance of each (`written`)."""

    @property
    def is_full(self) -> bool:
        """Too many wait for the database."""
        ...

    def add(self, finished: Finished) -> None:
        """Take an end over, from any thread."""
        ...
