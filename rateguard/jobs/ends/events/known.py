"""What is known of a job's events now: its row, its place in line and what its stream holds, for one reader."""

from __future__ import annotations

from collections.abc import Iterator

from rateguard.jobs.ends.answer import answer_of
from rateguard.jobs.ends.event_stream import read
from rateguard.jobs.ends.events.reading import Ended, Event, Reading
from rateguard.jobs.line.positions import positions
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Job
from rateguard.jobs.rendering import render_job
from rateguard.jobs.states import TERMINAL, WAITING, State


def known(reading: Reading, job: Job) -> Iterator[Event]:
    """What this reader has not been told yet. The row was read before: what the stream holds is at least as new."""
    if job.attempt:
        yield from _streamed(reading, job)
    if job.state in WAITING:
        yield from reading.waits(State(job.state), position_of(job), job.run_at)
    elif job.state in TERMINAL:
        yield from reading.ends(_end_of(job))
    else:
        yield from reading.runs(job.attempt)


def position_of(job: Job) -> int | None:
    """Its place in line, from 1; None where the gate does not tell."""
    return positions([waiting_of(job)]).get(job.pk) if job.state == State.QUEUED else None


def _streamed(reading: Reading, job: Job) -> Iterator[Event]:
    last = reading.told
    while entries := read([(job.pk, last)])[0]:
        yield from reading.take(entries)
        last = entries[-1].id


def _end_of(job: Job) -> Ended:
    told = render_job(job, has_result=False)
    facts = {name: told[name] for name in ("id", "object", "status", "error", "attempts", "cost_usd", "cost_nano_usd", "finished_at")}
    return Ended(State(job.state), job.attempt, answer_of(job), told["usage"], facts)
