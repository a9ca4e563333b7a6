"""Server-sent events, taken apart as the network brings them. Source: the HTML standard, "Server-sent events"."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event. name: "" where the provider gave none."""

    data: bytes
    name: str = ""


class EventLines:
    """Takes a stream of bytes apart into events. Comments, ids and retry times are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that this piece completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield from self._take(line.removesuffix(b"\r"))

    def finish(self) -> Iterator[Event]:
        """The event that lacks its closing blank line."""
        yield from self._take(self._rest.removesuffix(b"\r"))
        yield from self._take(b"")

    def _take(self, line: bytes) -> Iterator[Event]:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"event:"):
            self._name = line[6:].strip().decode("utf-8", "replace")
        elif not line:
            if self._data:
                yield Event(b"\n".join(self._data), self._name)
                self._data.clear()
            self._name = ""
