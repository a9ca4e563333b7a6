"""Keeps what is fetched and runs out: tokens and temporary keys, for as long as they are good, and renews them before they are over.

Shortly before its end a new one is fetched while the old one is used; only one that is over is waited for. Of each there is one fetch at a
time, for whoever wants it, in whichever thread or loop. A renewal that fails keeps the old one until it is over, and is tried again after a
pause. Secrets are known by a digest alone.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import hashlib
import threading
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from rateguard.engine.errors import ErrorKind, ProviderError

Value = TypeVar("Value")

PAUSE_S = 10.0
"""Between two fetches ahead of time: whoever hands them out may be away, or give the same one again."""
MOST_KEPT = 1_024


@dataclasses.dataclass(frozen=True, slots=True)
class Fresh(Generic[Value]):
    """What was fetched. until_s: when it is over, by the keeper's clock."""

    value: Value = dataclasses.field(repr=False)
    until_s: float


Fetch = Callable[[], Awaitable[Fresh[Value]]]


def named(*secrets: str) -> str:
    """A name under which what belongs to these secrets is kept, so that none of them lies about as a key."""
    return hashlib.sha256("\n".join(secrets).encode()).hexdigest()


class Keeper(Generic[Value]):
    """Thread-safe. clock: seconds, of the wall or monotonic, as `until_s` counts.

    early_s: so long before its end a new one is fetched; last_use_s: one with less left could run out on the way, and is over.
    """

    def __init__(self, clock: Callable[[], float], *, early_s: float, last_use_s: float) -> None:
        self._clock = clock
        self._early_s = early_s
        self._last_use_s = last_use_s
        self._lock = threading.Lock()
        self._kept: dict[str, Fresh[Value]] = {}
        self._coming: dict[str, concurrent.futures.Future[Value]] = {}
        self._again_at: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, name: str, fetch: Fetch[Value]) -> Value:
        """One that is good now. Raises what `fetch` raises, where there is none left to use."""
        with self._lock:
            kept = self._good(name)
            if kept is not None and not self._is_due(name, kept):
                return kept.value
            coming = self._coming.get(name) or self._begin(name, fetch)
        return kept.value if kept is not None else await asyncio.shield(asyncio.wrap_future(coming))

    def now(self, name: str, fetch: Fetch[Value]) -> Value:
        """The same for a thread without an event loop, which waits."""
        with self._lock:
            kept = self._good(name)
        return kept.value if kept is not None else asyncio.run(self.get(name, fetch))

    def forget(self, name: str) -> None:
        """It was refused: the next one to ask waits for another."""
        with self._lock:
            self._kept.pop(name, None)

    def _good(self, name: str) -> Fresh[Value] | None:
        kept = self._kept.get(name)
        return kept if kept is not None and kept.until_s - self._clock() > self._last_use_s else None

    def _is_due(self, name: str, kept: Fresh[Value]) -> bool:
        now_s = self._clock()
        return kept.until_s - now_s <= self._early_s and now_s >= self._again_at.get(name, now_s)

    def _begin(self, name: str, fetch: Fetch[Value]) -> concurrent.futures.Future[Value]:
        """Start the one fetch, on the loop of whoever asked first."""
        coming: concurrent.futures.Future[Value] = concurrent.futures.Future()
        self._coming[name] = coming
        task = asyncio.get_running_loop().create_task(self._fetch(name, fetch, coming))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return coming

    async def _fetch(self, name: str, fetch: Fetch[Value], coming: concurrent.futures.Future[Value]) -> None:
        """What goes wrong is told to those who wait; who asked ahead of time does not."""
        fresh: Fresh[Value] | None = None
        try:
            fresh = await fetch()
        except asyncio.CancelledError:
            coming.set_exception(ProviderError("what was being fetched is not coming: its event loop ended", kind=ErrorKind.CONNECT))
            raise
        except Exception as error:  # noqa: BLE001 - as above
            coming.set_exception(error)
        finally:
            self._fetched(name, fresh)
        if fresh is not None:
            coming.set_result(fresh.value)

    def _fetched(self, name: str, fresh: Fresh[Value] | None) -> None:
        with self._lock:
            self._coming.pop(name, None)
            self._again_at[name] = self._clock() + PAUSE_S
            if fresh is not None:
                self._kept[name] = fresh
            for held in (self._kept, self._again_at):
                while len(held) > MOST_KEPT:
                    del held[next(iter(held))]
