"""Streams that nobody read to the end and nobody closed: they are ended in a thread of their own once their caller has forgotten them.

Python may forget an object in the middle of anything, also where this thread holds a lock that the end needs. A `SimpleQueue` may be put
into from there; whatever else is to be done, the thread does.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

_ends: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
_starting = threading.Lock()
_threads: list[threading.Thread] = []


def watch() -> None:
    """Somebody begins a stream: from now on there is a thread for those that are forgotten."""
    if not _threads:
        with _starting:
            if not _threads:
                thread = threading.Thread(target=_run, name="rateguard-transport-ends", daemon=True)
                thread.start()
                _threads.append(thread)


def end_later(end: Callable[[], object]) -> None:
    """To be called from a destructor."""
    _ends.put(end)


def _run() -> None:
    while True:
        end = _ends.get()
        try:
            end()
        except Exception:
            logger.exception("a stream that was left behind could not be ended: it is charged as reserved when this process is gone")
        del end


def _forget() -> None:
    """Threads stay with the parent, and so do its streams."""
    global _ends, _starting
    _ends, _starting = queue.SimpleQueue(), threading.Lock()
    _threads.clear()


os.register_at_fork(after_in_child=_forget)
