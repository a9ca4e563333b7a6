"""Celery's callbacks, brought to Celery's main thread: they touch the broker connection, which belongs to that thread.

A deque carries them, a socket pair wakes the hub. `hub.call_soon` keeps no order, so accept could come after success.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class Callbacks:
    """The line of callbacks. With `is_direct` (no hub turns) each runs at once in the thread that posts it."""

    def __init__(self, *, is_direct: bool) -> None:
        self._is_direct = is_direct
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_woken = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def register(self, hub: Any) -> None:
        """Let kombu's hub run the callbacks. Called again after each reset of the hub (a lost connection forgets all readers)."""
        hub.add_reader(self._reader.fileno(), self.run)

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Run `callback(*args)` in the main thread, in the order of posting. From any thread."""
        if self._is_direct:
            _call(callback, args)
        else:
            self._posted.append((callback, args))
        self.wake()

    def wake(self) -> None:
        """Make the main thread look: the hub, or `wait`. From any thread, and from a signal handler."""
        if self._is_woken:
            return
        self._is_woken = True
        with contextlib.suppress(OSError):  # full: there is a byte to wake it already; closed: nobody waits
            self._writer.send(b"\0")

    def run(self) -> None:
        """Run what was posted. In the main thread."""
        with contextlib.suppress(OSError):
            while self._reader.recv(4096):
                pass
        # Between the last byte and the first callback: cleared earlier, a new byte could be read away and the flag stay set for
        # good; cleared later, a callback could be posted without a byte and stay behind.
        self._is_woken = False
        try:
            while self._posted:
                _call(*self._posted.popleft())
        finally:
            if self._posted:
                self.wake()

    def wait(self, timeout_s: float) -> None:
        """Sleep until something is posted, at most `timeout_s`, then run it. For the main thread when its hub no longer turns."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            selector.select(timeout_s)
        self.run()

    def close(self) -> None:
        """Close the socket pair; later posts are kept and run by nobody."""
        self._is_woken = True
        self._reader.close()
        self._writer.close()


def _call(callback: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        callback(*args)
    except Exception:
        # One task's broken callback (a result backend that is away) must not keep back those of the others.
        logger.exception("callback %r failed", callback)
