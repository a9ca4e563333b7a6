"""Readers of server-sent events in tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

__all__ = ["Told", "parts_of", "voided"]


@dataclasses.dataclass(frozen=True)
class Told:
    """One event as it came over the wire."""

    name: str
    id: str
    data: str


def parts_of(text: str) -> Iterator[Told]:
    """The whole events of a stream; comments and an unfinished rest are left out."""
    for block in text.split("\n\n")[:-1]:
        fields: dict[str, list[str]] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            fields.setdefault(name, []).append(value)
        if "event" in fields:
            yield Told(fields["event"][0], fields.get("id", [""])[0], "\n".join(fields.get("data", [])))


def voided(events: Iterable[Told]) -> list[Told]:
    """The chunks that count: those since the last `restarted`."""
    kept: list[Told] = []
    for event in events:
        if event.name == "restarted":
            kept.clear()
        elif event.name == "chunk":
            kept.append(event)
    return kept
