"""What one reader is told, from what is known of a job: a pure machine that loses nothing and tells nothing twice.

It is fed with what stands in the stream and with what the row says, in any pieces. Where a new attempt begins, or what the stream held is
gone, `restarted` voids the chunks that the reader has, and the rest is the whole answer from the row. So the chunks since the last
`restarted` are the answer, wherever a reader is cut and comes back.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from rateguard.jobs.ends.events.ids import END, FIRST_CHUNK, FROM_ROW, GRANTED, START, USAGE, WHOLE_ANSWER, EventId
from rateguard.jobs.states import State

QUEUED, CHUNK = "queued", "chunk"


class Kind(enum.StrEnum):
    """What an entry of the stream is. WHOLE is not told: the chunks before it, where there are some, are the whole answer."""

    GRANTED = "granted"
    CHUNK = "chunk"
    WHOLE = "whole"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What stands in a job's stream. data: of a chunk the provider's JSON; of WHOLE the answer, where the row does not keep it."""

    id: EventId
    kind: Kind
    data: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """What a reader is told. id: None for what is told again to whoever comes back. data: JSON."""

    name: str
    id: EventId | None
    data: str

    @property
    def value(self) -> Any:
        """What `data` says."""
        return orjson.loads(self.data)

    @property
    def text(self) -> str:
        """Of a chunk the visible text that it adds; empty for every other event."""
        choices = self.value.get("choices") if self.name == CHUNK else None
        first = choices[0] if choices else {}
        said = (first.get("delta") or first.get("message") or {}).get("content")
        return said if isinstance(said, str) else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """The end of a job, as its row tells it. answer: None where there is none, or it is not kept. facts: what the last event says."""

    state: State
    attempt: int
    answer: str | None
    usage: Mapping[str, int]
    facts: Mapping[str, Any]


class Reading:
    """One reader. `told`: the last id that it has."""

    def __init__(self, told: EventId = START) -> None:
        self.told = told
        self._whole_attempt = 0
        self._place: tuple[object, ...] | None = None

    # ---- what is known

    def waits(self, state: State, position: int | None, run_at: dt.datetime | None = None) -> Iterator[Event]:
        """The job waits at this place; told where it moves."""
        place = (state, position, run_at)
        if place != self._place:
            self._place = place
            at = run_at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if run_at and state == State.SCHEDULED else None
            yield Event(QUEUED, None, _json({"status": state.value, "position": position, "run_at": at}))

    def runs(self, attempt: int) -> Iterator[Event]:
        """The row says that this attempt runs; its stream may say more."""
        self._place = None
        yield from self._reach(attempt)

    def take(self, entries: Iterable[Entry]) -> Iterator[Event]:
        """What the stream holds behind `told`, in its order. Behind a gap nothing of that attempt is told any more."""
        for entry in entries:
            attempt, number = entry.id.attempt, entry.id.number
            if attempt > self.told.attempt and number == GRANTED:
                yield from self._reach(attempt)
            elif entry.id == EventId(self.told.attempt, self.told.number + 1):
                if entry.kind is not Kind.WHOLE:
                    yield self._tell(entry.kind.value, number, entry.data)
                elif number > FIRST_CHUNK:
                    self._whole_attempt = attempt

    def ends(self, end: Ended) -> Iterator[Event]:
        """The row says that the job has ended."""
        yield from self._restart(end.attempt)
        if end.state == State.SUCCEEDED and not self._has_answer(end.attempt):
            yield from self._reach(end.attempt)
            if GRANTED < self.told.number < FROM_ROW:
                yield self._tell("restarted", FROM_ROW, _json({"attempt": end.attempt}))
            if end.answer is not None:
                yield self._tell(CHUNK, WHOLE_ANSWER, end.answer)
        if self.told.number < USAGE:
            yield self._tell("usage", USAGE, _json(end.usage))
        if self.told.number < END:
            yield self._tell(end.state.value, END, _json(end.facts))

    # ---- what is told

    def _has_answer(self, attempt: int) -> bool:
        return self._whole_attempt == attempt or self.told.number >= WHOLE_ANSWER

    def _restart(self, attempt: int) -> Iterator[Event]:
        """What the reader has of another attempt is void."""
        if self.told.attempt == attempt:
            return
        was_told = self.told != START
        self.told = EventId(attempt, 0)
        if was_told:
            yield Event("restarted", self.told, _json({"attempt": attempt}))

    def _reach(self, attempt: int) -> Iterator[Event]:
        """The attempt was granted; what is told already is not told again."""
        if self.told.attempt > attempt:
            return
        yield from self._restart(attempt)
        if self.told.number < GRANTED:
            yield self._tell(Kind.GRANTED.value, GRANTED, _json({"attempt": attempt}))

    def _tell(self, name: str, number: int, data: str) -> Event:
        self.told = EventId(self.told.attempt, number)
        return Event(name, self.told, data)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def as_text(event: Event) -> str:
    r"""An event as `text/event-stream` writes it.

    >>> as_text(Event("chunk", EventId(2, 17), "{}"))
    'event: chunk\nid: 2.17\ndata: {}\n\n'
    """
    lines = event.data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    named = [f"event: {event.name}", *([] if event.id is None else [f"id: {event.id}"])]
    return "\n".join([*named, *(f"data: {line}" for line in lines), "", ""])
