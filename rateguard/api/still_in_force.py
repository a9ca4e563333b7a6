"""Answers that go on end when the key that asked for them is in force no more: all keys of a process are asked for together.

    with watched(key.pk, on_gone):     # on the event loop; on_gone is called there, once
        ...

One statement every LOOK_S for all who listen. A database that does not answer ends nobody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from django.db import DatabaseError, connections

from tenants.keys import in_force_among

logger = logging.getLogger(__name__)

LOOK_S = 5.0

OnGone = Callable[[], object]


class _Watched:
    """Who is called when a key is gone, by key. Belongs to one event loop: another begins anew."""

    def __init__(self) -> None:
        self.listening: dict[int, list[OnGone]] = {}
        self.looking: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Until nobody listens."""
        while self.listening:
            await asyncio.sleep(LOOK_S)
            try:
                in_force = await asyncio.to_thread(_asked, list(self.listening))
            except DatabaseError as error:
                logger.info("it is not known which keys are in force: %s", error)
                continue
            for key in self.listening.keys() - in_force:
                for on_gone in self.listening[key]:
                    on_gone()


def _asked(keys: list[int]) -> set[int]:
    try:
        return in_force_among(keys)
    finally:
        connections.close_all()


_watched = _Watched()


@contextlib.contextmanager
def watched(key: int, on_gone: OnGone) -> Iterator[None]:
    """Hear when this key was revoked or has expired, or its tenant was paused; within LOOK_S and a moment, perhaps more than once."""
    _watched.listening.setdefault(key, []).append(on_gone)
    if _watched.looking is None or _watched.looking.done() or _watched.looking.get_loop() is not asyncio.get_running_loop():
        _watched.looking = asyncio.get_running_loop().create_task(_watched.look())
    try:
        yield
    finally:
        left = _watched.listening[key]
        left.remove(on_gone)
        if not left:
            del _watched.listening[key]
