"""The ids of events: the attempt and a number in it, `2.17`. A reader that was cut names the last one that it saw."""

from __future__ import annotations

import dataclasses
import re

from rateguard.engine.errors import InvalidRequest

FROM_ROW = 1_000_000_000
"""Numbers from here on are of what the row tells, not the stream: they are the same however often it is told. No stream comes so far."""
WHOLE_ANSWER = FROM_ROW + 1
USAGE = FROM_ROW + 2
END = FROM_ROW + 3
GRANTED = 1
FIRST_CHUNK = 2
"""The first event of every attempt; then its chunks."""

_FORM = re.compile(r"(\d{1,9})\.(\d{1,10})")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class EventId:
    """Where in a job's events something stands."""

    attempt: int
    number: int

    def __str__(self) -> str:
        return f"{self.attempt}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> EventId:
        """An id as a reader names it; the empty text is the start. Raises InvalidRequest."""
        if not text:
            return START
        found = _FORM.fullmatch(text)
        if found is None:
            raise InvalidRequest("Last-Event-ID is the id of one of this job's events, like 2.17", code="invalid_parameter")
        return cls(int(found[1]), int(found[2]))


START = EventId(0, 0)
"""Before everything."""
