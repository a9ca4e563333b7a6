"""An asyncio event loop in a thread of its own, so that Celery's hub keeps the main thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_S = 2.0


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop where there is one, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - not everywhere installed
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class LoopThread:
    """The loop and its thread. It connects to nothing: a loop that died while the main thread waits for it would hang the worker."""

    def __init__(self) -> None:
        self.loop = new_event_loop()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._main, name="rateguard-loop", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Run `function(*args)` on the loop; nothing once the loop is closed. From any thread, and from a signal handler."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop. From any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def stop(self, timeout_s: float) -> bool:
        """Stop and close the loop, waiting at most `timeout_s`; False if something blocks it (its thread ends with the process)."""
        self._is_stopping = True
        self.call(self.loop.stop)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._is_stopping:
            try:
                self.loop.run_forever()
            except BaseException:
                # SystemExit out of a background task of somebody's ends run_forever; the other tasks go on.
                logger.exception("the event loop was left; it goes on")
        self._close()

    def _close(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSE_S))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
