"""What was promised and did not end: by the rows, and by what the API tells."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from rateguard.jobs.states import RESUBMIT, TERMINAL, State
from rateguard.torture.checks.evidence import Evidence, Found, JobSeen, StreamSeen
from rateguard.torture.record import Accepted

AFTER = "after "
"""How the line of a step of a canvas begins: the jobs that must succeed before it is promised."""


def unfinished(evidence: Evidence) -> Found:
    """Accepted jobs without an end. One that waits for others in a canvas is promised once all of them succeeded."""
    found = Found()
    for one in evidence.record.accepted:
        job = evidence.jobs.get(one.job)
        if job is None and not _is_promised(one, evidence.jobs):
            continue
        if job is None:
            found.add(f"job {one.job}, accepted by {one.door}, has no row")
        elif State(job.state) not in TERMINAL:
            found.add(f"job {one.job}, accepted by {one.door}, is {job.state}; {_course(evidence, one.job)}")
        elif (told := evidence.told.get(one.job, job.state)) != job.state:
            found.add(f"job {one.job}: the API tells {told}, its row says {job.state}")
    for stream in evidence.streams:
        if trouble := _misled(evidence, stream):
            found.add(f"the reader of job {stream.job} {trouble}")
    return found


def _misled(evidence: Evidence, stream: StreamSeen) -> str:
    """What a reader was told wrongly: no end, another than the job's, or another text than the answer."""
    job = evidence.jobs.get(stream.job)
    if len(stream.ends) != 1:
        return f"was told {len(stream.ends)} ends"
    if job is None or any(event.kind == RESUBMIT.name for event in evidence.events.get(stream.job, ())):
        return ""
    if stream.ends[0] != job.state:
        return f"was told {stream.ends[0]}, its row says {job.state}"
    if job.state == State.SUCCEEDED and stream.text != stream.kept:
        return f"has a text of {len(stream.text)} characters, the answer has {len(stream.kept)}"
    return ""


def _is_promised(one: Accepted, jobs: Mapping[uuid.UUID, JobSeen]) -> bool:
    if not one.line.startswith(AFTER):
        return True
    before = [jobs.get(uuid.UUID(text)) for text in one.line.removeprefix(AFTER).split()]
    return all(job is not None and job.state == State.SUCCEEDED for job in before)


def _course(evidence: Evidence, job: uuid.UUID) -> str:
    """Its last events, with when they were."""
    events = evidence.events.get(job, ())
    return ", ".join(f"{event.kind} {event.attempt} at {evidence.record.since(event.at).strip()}" for event in events[-6:])
