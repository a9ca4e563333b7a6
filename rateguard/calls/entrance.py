"""The entrance: where synchronous calls of this process wait for the gate, are let in, and end."""

from __future__ import annotations

import uuid

from rateguard.calls.call import Call, CallEnded, Granted


class Entrance:
    """One a process. All methods are safe from any thread; `enter` belongs to an event loop."""

    def new_id(self) -> uuid.UUID:
        """An id for a call of this process."""
        raise NotImplementedError

    async def enter(self, call: Call, timeout_s: float) -> Granted:
        """Wait until the gate lets the call in, at most so long.

        Raises LimitInTheWay (`no_room_in_time`, `budget_exhausted`), InvalidRequest (`exceeds_limit`), GateUnavailable.
        """
        raise NotImplementedError

    def enter_blocking(self, call: Call, timeout_s: float) -> Granted:
        """The same in a thread."""
        raise NotImplementedError

    def sent(self, granted: Granted, at: float) -> None:
        """Its request is about to be written, at (time.monotonic()). Raises NotSent: it may not be any more."""
        raise NotImplementedError

    def settle(self, granted: Granted, ended: CallEnded) -> None:
        """It ended: its attempt, its entry and the rollups are written, many at a time, then the gate is told."""
        raise NotImplementedError

    def give_back(self, granted: Granted) -> None:
        """Nothing was sent: the gate has it back, and nothing is written."""
        raise NotImplementedError


def entrance() -> Entrance:
    """The one of this process."""
    raise NotImplementedError
