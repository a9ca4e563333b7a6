"""Who may run now: the pool's slots and threads, and the line of messages that wait for them.

A message leaves the broker's prefetch window when it is acknowledged, with early acknowledgement at accept. So the pool accepts
only what it can run; what waits here is still unacknowledged and bounded by the prefetch count.
"""

from __future__ import annotations

import threading
from collections import deque

from rateguard.worker.delivery import Delivery

MAX_THREADS = 32


class Slots:
    """`limit` slots, and for synchronous tasks also a thread each, `limit` but at most MAX_THREADS. Thread-safe.

    Each method that may make room returns the deliveries that are now admitted; the caller starts them. First come, first served
    within a kind; a synchronous task that waits for a thread holds up no coroutine.
    """

    def __init__(self, limit: int) -> None:
        self._lock = threading.RLock()  # a signal handler may come in while the main thread holds it
        self._limit = limit
        self._used = 0
        self._threads_used = 0
        self._is_open = False
        self._lines: dict[tuple[int, bool], deque[Delivery]] = {}

    @property
    def limit(self) -> int:
        """How many deliveries may run at once."""
        return self._limit

    @property
    def used(self) -> int:
        """How many slots are taken."""
        return self._used

    @property
    def waiting(self) -> int:
        """How many deliveries wait."""
        return sum(len(line) for line in self._lines.values())

    def open(self) -> list[Delivery]:
        """Begin to admit."""
        with self._lock:
            self._is_open = True
            return self._admit()

    def close(self) -> list[Delivery]:
        """Admit nothing any more; returns those that waited."""
        with self._lock:
            self._is_open = False
            return self.flush()

    def enter(self, delivery: Delivery) -> list[Delivery]:
        """Put a delivery in line."""
        with self._lock:
            self._lines.setdefault((delivery.slots, delivery.is_coroutine), deque()).append(delivery)
            admitted = self._admit()
            delivery.has_waited = delivery not in admitted
            return admitted

    def leave(self, delivery: Delivery) -> list[Delivery]:
        """Give back what an admitted delivery held."""
        with self._lock:
            self._used -= delivery.slots
            self._threads_used -= not delivery.is_coroutine
            return self._admit()

    def resize(self, by: int) -> list[Delivery]:
        """Change the limit, never below 1. Who runs goes on running."""
        with self._lock:
            self._limit = max(1, self._limit + by)
            return self._admit()

    def flush(self) -> list[Delivery]:
        """Forget those that wait; returns them."""
        with self._lock:
            waiting = [delivery for line in self._lines.values() for delivery in line]
            self._lines.clear()
            return waiting

    def _admit(self) -> list[Delivery]:
        admitted = []
        while (line := self._next_line()) is not None:
            delivery = line.popleft()
            self._used += delivery.slots
            self._threads_used += not delivery.is_coroutine
            admitted.append(delivery)
        return admitted

    def _next_line(self) -> deque[Delivery] | None:
        if not self._is_open:
            return None
        ready = (line for line in self._lines.values() if line and self._fits(line[0]))
        return min(ready, key=lambda line: line[0].number, default=None)

    def _fits(self, delivery: Delivery) -> bool:
        has_slot = self._used + delivery.slots <= self._limit or not delivery.slots
        has_thread = delivery.is_coroutine or self._threads_used < min(self._limit, MAX_THREADS)
        return has_slot and has_thread
