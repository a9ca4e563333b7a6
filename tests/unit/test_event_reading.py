"""What a reader of a job's events is told: wherever it is cut and comes back, it has the whole answer, once, and one end."""

import random

import pytest

from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.ends.events.ids import START, EventId
from rateguard.jobs.ends.events.reading import Ended, Entry, Event, Kind, Reading, as_text
from rateguard.jobs.states import State
from tests.eventreading import Told, parts_of, voided

ENDS = {"succeeded", "failed", "cancelled", "expired"}


class World:
    """A job with its stream and its row, to which everything may happen."""

    def __init__(self, chance):
        self.chance = chance
        self.stream = []
        self.state = State.QUEUED
        self.attempt = self.number = 0
        self.said = []
        self.is_streamed = chance.random() < 0.8

    def happen(self):
        if self.state == State.QUEUED:
            self.start()
        elif self.state == State.RUNNING:
            self.chance.choices((self.say, self.die, self.flush, self.finish, self.fail), (10, 1, 1, 2, 0.3))[0]()
        else:
            self.flush()

    def write(self, kind, data=""):
        self.number += 1
        if self.is_streamed and self.chance.random() < 0.99:
            self.stream.append(Entry(EventId(self.attempt, self.number), kind, data))

    def start(self):
        self.state, self.attempt, self.number, self.said = State.RUNNING, self.attempt + self.chance.choice((1, 1, 2)), 0, []
        if self.chance.random() < 0.9:
            self.stream = []
        self.write(Kind.GRANTED)

    def say(self):
        self.said.append(f"{self.attempt}-{len(self.said)} ")
        self.write(Kind.CHUNK, self.said[-1])

    def die(self):
        self.state = State.QUEUED

    def flush(self):
        self.stream = []

    def finish(self):
        self.write(Kind.WHOLE)
        self.state = State.SUCCEEDED

    def fail(self):
        self.state = State.FAILED

    @property
    def end(self):
        answer = "".join(self.said) if self.state == State.SUCCEEDED else None
        return Ended(self.state, self.attempt, answer, {"total_tokens": 3}, {"status": self.state.value})


class Reader:
    """Reads, is cut, and comes back with the last id that it saw."""

    def __init__(self, world):
        self.world = world
        self.seen = []
        self.connect()

    def connect(self):
        told = next((event.id for event in reversed(self.seen) if event.id), START)
        self.reading, self.read_to = Reading(told), told

    def look(self):
        told = []
        self.read_to = max(self.read_to, self.reading.told)
        page = [entry for entry in self.world.stream if entry.id > self.read_to]
        if page:
            self.read_to = page[-1].id
            told += self.reading.take(page)
        if self.world.state == State.QUEUED:
            told += self.reading.waits(State.QUEUED, self.world.chance.randrange(3))
        elif self.world.state == State.RUNNING:
            told += self.reading.runs(self.world.attempt)
        else:
            told += self.reading.ends(self.world.end)
        if self.world.chance.random() < 0.3:  # the connection is cut somewhere in what was sent
            self.seen += told[: self.world.chance.randrange(len(told) + 1)]
            self.connect()
        else:
            self.seen += told

    @property
    def has_end(self):
        return any(event.name in ENDS for event in self.seen)


@pytest.mark.parametrize("seed", range(40))
def test_a_reader_that_is_cut_anywhere_has_the_whole_answer_once_and_one_end(seed):
    for part in range(20):
        chance = random.Random(seed * 1000 + part)
        world = World(chance)
        reader = Reader(world)
        while not reader.has_end:
            if chance.random() < 0.6 and world.state not in {State.FAILED, State.SUCCEEDED}:
                world.happen()
            elif chance.random() < 0.05:
                world.flush()
            else:
                reader.look()
        ids = [event.id for event in reader.seen if event.id]
        assert ids == sorted(set(ids))
        assert [event.name for event in reader.seen if event.name in ENDS] == [world.state.value]
        assert sum(event.name == "usage" for event in reader.seen) == 1
        if world.state == State.SUCCEEDED:
            assert "".join(event.data for event in voided(reader.seen)) == "".join(world.said)
        assert not list(Reading(reader.seen[-1].id).ends(world.end))


def test_a_flush_after_some_chunks_voids_them_and_the_answer_comes_in_one_piece():
    reading = Reading(EventId(1, 4))
    ended = Ended(State.SUCCEEDED, 1, "whole", {}, {})
    assert [(event.name, str(event.id)) for event in reading.ends(ended)] == [
        ("restarted", "1.1000000000"),
        ("chunk", "1.1000000001"),
        ("usage", "1.1000000002"),
        ("succeeded", "1.1000000003"),
    ]


def test_a_place_is_told_once_until_it_moves():
    reading = Reading()
    told = [event.data for place in (3, 3, 2) for event in reading.waits(State.QUEUED, place)]
    assert len(told) == 2
    assert '"position":3' in told[0]


@pytest.mark.parametrize("text", ["17", "2.", "a.b", "2.17.1", "-1.2", "2.17 ", "9" * 40])
def test_what_is_no_id_is_refused_with_what_an_id_looks_like(text):
    with pytest.raises(InvalidRequest, match=r"like 2\.17"):
        EventId.parse(text)


def test_an_event_is_written_as_browsers_read_it_whatever_line_breaks_it_holds():
    told = as_text(Event("chunk", EventId(1, 2), '{"a":\r\n1}\u2028'))
    assert list(parts_of(told)) == [Told("chunk", "1.2", '{"a":\n1}\u2028')]
