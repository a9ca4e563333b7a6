"""What several people look at is made once a second: whoever comes meanwhile gets the same."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")

FRESH_S = 1.0
MOST_KEPT = 200
"""Reaches of which something is kept; the one that was asked for longest ago goes first."""


@dataclasses.dataclass(slots=True)
class _Entry(Generic[Value]):
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    made_at: float = 0.0
    value: Value | None = None


class Shared(Generic[Value]):
    """Values by key, each made by one thread at a time and good for FRESH_S."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: collections.OrderedDict[Hashable, _Entry[Value]] = collections.OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of the last second, or a new one. What `make` raises is raised."""
        entry = self._entry(key)
        with entry.lock:
            if entry.value is None or time.monotonic() - entry.made_at > FRESH_S:
                entry.value = make()
                entry.made_at = time.monotonic()
            return entry.value

    def forget(self) -> None:
        """Make everything anew at the next use."""
        with self._lock:
            self._entries.clear()

    def _entry(self, key: Hashable) -> _Entry[Value]:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            if len(self._entries) > MOST_KEPT:
                self._entries.popitem(last=False)
            return entry
