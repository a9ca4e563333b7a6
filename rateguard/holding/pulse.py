"""Whether a process can have been taken for dead: what it knows itself of its heartbeats. Times are time.monotonic() seconds."""

from __future__ import annotations

import math


class Pulse:
    """The beats that the gate took. Written by the heartbeat's thread, read by the one that sends."""

    def __init__(self, dead_after_s: float) -> None:
        self._dead_after_s = dead_after_s
        self._last_s = -math.inf
        self._resumed_s = -math.inf

    def beat(self, asked_s: float, answered_s: float) -> None:
        """The gate took a beat that was sent and answered at these times: it arrived somewhere between."""
        if answered_s - self._last_s >= self._dead_after_s:
            self._resumed_s = answered_s
        self._last_s = asked_s

    def is_unbroken(self, since_s: float, now_s: float) -> bool:
        """Whether the gate has heard of this process often enough from then until now."""
        return self._resumed_s <= since_s and now_s - self._last_s < self._dead_after_s
