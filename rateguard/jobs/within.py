"""A look that may hang, with a deadline: whoever looks goes on, what hangs is left behind in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Seen = TypeVar("Seen")


class Look(Generic[Seen]):
    """A function that runs in a daemon thread from now on."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._seen: list[Seen] = []
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="rateguard-look", daemon=True)
        self._thread.start()

    def wait(self, deadline_s: float) -> Seen:
        """What it saw. Raises what it raised, TimeoutError where it has seen nothing after `deadline_s`."""
        self._thread.join(deadline_s)
        if self._failed:
            raise self._failed[0]
        if not self._seen:
            raise TimeoutError
        return self._seen[0]

    def _run(self) -> None:
        try:
            self._seen.append(self._look())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._failed.append(error)
        finally:
            _close_connections()


def _close_connections() -> None:
    """What this thread opened of the database."""
    from django.db import connections  # noqa: PLC0415 - a look at a provider needs no Django

    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
