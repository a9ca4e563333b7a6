"""The last look before a request leaves, in the step that writes it: whether the attempt is still this process's to send.

A process that is stopped between claim and call is taken for dead meanwhile, and its job goes to another. Going on, it would send a second
call: so it sends nothing, its attempt costs nothing, and its job waits again without a try (`never_sent`).
"""

from __future__ import annotations

from collections.abc import Callable

from rateguard.engine.errors import NotSent
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.line.pump import Pump

IsUnbroken = Callable[[float, float], bool]
"""Whether the gate has heard of this process often enough between two moments of time.monotonic()."""


class SendFence:
    """Refuses what may not be sent any more."""

    def __init__(self, pump: Pump, is_unbroken: IsUnbroken) -> None:
        self._pump = pump
        self._is_unbroken = is_unbroken

    def check(self, claimed: Claimed, claimed_at: float, now: float) -> None:
        """claimed_at: when its claim began. Raises NotSent."""
        late_ms = self._pump.gate_now_ms() - claimed.send_by_ms
        if late_ms >= 0:
            raise NotSent(f"its grant was to be sent by {late_ms} ms ago")
        if not self._is_unbroken(claimed_at, now):
            raise NotSent("its worker was silent for so long that it may have been taken for dead")
