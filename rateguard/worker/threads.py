"""Threads for blocking work that do not hold up the process's exit.

`concurrent.futures` joins its threads when the interpreter exits, so one stuck task would keep a stopped worker alive for ever.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Threads:
    """At most `size` daemon threads, started when there is work and no thread is idle."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    @property
    def count(self) -> int:
        """How many threads there are."""
        return self._threads

    def submit(self, work: Callable[[], object]) -> None:
        """Run `work()` in a thread, in the order of submission. An exception is logged."""
        with self._lock:
            self._idle -= 1
            must_start = self._idle < 0 and self._threads < self._size
            if must_start:
                self._threads += 1
                self._idle += 1
            number = self._threads
        self._work.put(work)
        if must_start:
            threading.Thread(target=self._serve, name=f"{self._name}-{number}", daemon=True).start()

    def stop(self) -> None:
        """Let each thread end after the work that it has."""
        for _ in range(self._threads):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except BaseException:
                logger.exception("work in thread %s failed", threading.current_thread().name)
            with self._lock:
                self._idle += 1
