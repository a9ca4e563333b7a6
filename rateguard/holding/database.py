"""One thread for the database: Django's own connection, kept open, used by an event loop through `run`."""

from __future__ import annotations

import queue
import threading
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from django.db import Error, connection

Result = TypeVar("Result")

_Work = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class DatabaseThread:
    """Runs functions one after another in a thread of its own, also while the interpreter is about to exit."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="rateguard-database", daemon=True)
        self._lock = threading.Lock()

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run a function there and return what it returns. After a database error its connection is made anew."""
        future: Future[Result] = Future()
        self._start()
        self._work.put((future, function, args))
        return await wrap_future(future)

    def close(self) -> None:
        """Close the connection and end the thread, after what was asked of it."""
        self._start()
        self._work.put(None)
        self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread.ident is None:
                self._thread.start()

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            _do(*work)
            del work  # what was done is not held until the next
        connection.close()


def _do(future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function(*args))
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        if isinstance(error, Error):
            connection.close()
        future.set_exception(error)
