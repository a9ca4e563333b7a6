"""What runs beside a test, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

from tests.simprovider import wait_for

_T = TypeVar("_T")


def in_thread(action: Callable[[], object]) -> threading.Thread:
    """Run it beside the test, with a connection of its own."""

    def run() -> None:
        try:
            action()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


async def until(condition: Callable[[], object]) -> None:
    """Until it holds; the loop goes on meanwhile."""
    await asyncio.to_thread(wait_for, condition)


async def in_database(action: Callable[[], _T]) -> _T:
    """What touches rows runs beside the loop, and leaves no connection behind."""

    def run() -> _T:
        try:
            return action()
        finally:
            connection.close()

    return await asyncio.to_thread(run)
