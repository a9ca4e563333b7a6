"""What happens during a run, in one line each: deaths of processes, the caretaker's work, warnings of the logs."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from typing import NamedTuple

from rateguard.embedded.supervisor import Death

KEPT = 50
_COUNT = re.compile(r"(\w+)=([1-9]\d*)")


_CARETAKER = "the caretaker: "
_DONE = {
    "abandoned": "calls of a dead process charged as estimated, their jobs wait again",
    "returned": "unclaimed grants given back",
    "settled": "reservations of ended calls settled",
    "adopted": "reservations given to their holders",
    "released": "retries released",
}


class Event(NamedTuple):
    """One line. at_s: seconds since the start of whoever supervises."""

    at_s: float
    text: str


class News:
    """Collects events from several threads; `began_at` is time.monotonic() of the start."""

    def __init__(self, began_at: float) -> None:
        self._began_at = began_at
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._count = 0

    def add(self, text: str) -> None:
        """Something happened."""
        with self._lock:
            self._events.append(Event(time.monotonic() - self._began_at, text))
            self._count += 1

    def latest(self, most: int) -> list[Event]:
        """The last so many, the oldest first."""
        with self._lock:
            return list(self._events)[-most:] if most > 0 else []

    def since(self, count: int) -> tuple[int, list[Event]]:
        """The events after the first `count`, and the new count."""
        with self._lock:
            new = self._count - count
            return self._count, list(self._events)[-new:] if new else []

    # ---- what the supervisor tells

    def on_death(self, death: Death) -> None:
        """A process ended and nobody had asked it to."""
        after = "stays down" if death.restarts_in_s is None else f"starts again in {death.restarts_in_s:g} s"
        self.add(f"{death.name} died: {death.reason}; it {after}")

    def on_line(self, name: str, line: str) -> None:
        """A process wrote a line of its log: warnings of ours and what the caretaker did are news."""
        text = told_by(line)
        if text:
            self.add(text if text.startswith(_CARETAKER) else f"{name}: {text}")


def told_by(line: str) -> str | None:
    """What a log line tells a viewer, None if nothing.

    >>> told_by('{"event": "caretaker: Counts(expired=0, abandoned=3)", "logger": "rateguard.worker.caretaker", "level": "info"}')
    'the caretaker: 3 calls of a dead process charged as estimated, their jobs wait again'
    """
    try:
        fields = json.loads(line)
        event, logger, level = str(fields["event"]), str(fields["logger"]), fields["level"]
    except (ValueError, KeyError, TypeError):
        return None
    if not logger.startswith("rateguard."):
        return None
    if event.startswith("caretaker: "):
        return _CARETAKER + ", ".join(f"{count} {_DONE.get(what, what)}" for what, count in _COUNT.findall(event))
    return event.splitlines()[0] if level in {"warning", "error", "critical"} else None
