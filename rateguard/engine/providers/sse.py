"""Server-sent events, taken apart as the network brings them. Source: the HTML standard, "Server-sent events"."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event. name: "" where the provider gave none."""

    data: bytes
    name: str = ""


class EventLines:
    """Takes a stream of bytes apart into events. Comments, ids and retry times are passed over.

    One loop without a call a line: this is what a chunk of a stream costs most.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes."""
        lines = (self._rest + piece if self._rest else piece).split(b"\n")
        self._rest = lines.pop()
        return self._take(lines)

    def finish(self) -> list[Event]:
        """The event that lacks its closing blank line."""
        lines, self._rest = [self._rest, b""], b""
        return self._take(lines)

    def _take(self, lines: list[bytes]) -> list[Event]:
        found: list[Event] = []
        for whole in lines:
            line = whole[:-1] if whole.endswith(b"\r") else whole
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line:
                if self._data:
                    found.append(Event(self._data[0] if len(self._data) == 1 else b"\n".join(self._data), self._name))
                    self._data.clear()
                self._name = ""
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode("utf-8", "replace")
        return found
