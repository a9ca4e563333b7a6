"""One thread for the database: Django's own connection, kept open, used by the event loop through `run`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import Error, connection

Result = TypeVar("Result")


class DatabaseThread:
    """Runs functions one after another in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "rateguard-database")

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run a function there and return what it returns. After a database error its connection is made anew."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _guarded, function, args)

    def close(self) -> None:
        """Close the connection and end the thread, after what was asked of it."""
        self._thread.submit(_close)
        self._thread.shutdown(wait=True)


def _close() -> None:
    connection.close()  # looked up in the thread that runs this: `connection` is another one in each


def _guarded(function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    try:
        return function(*args)
    except Error:
        connection.close()
        raise
