"""What was promised and did not end: by the rows, and by what the API tells."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from rateguard.jobs.states import TERMINAL, State
from rateguard.torture.checks.evidence import Evidence, Found, JobSeen
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
    return found


def _is_promised(one: Accepted, jobs: Mapping[uuid.UUID, JobSeen]) -> bool:
    if not one.line.startswith(AFTER):
        return True
    before = [jobs.get(uuid.UUID(text)) for text in one.line.removeprefix(AFTER).split()]
    return all(job is not None and job.state == State.SUCCEEDED for job in before)


def _course(evidence: Evidence, job: uuid.UUID) -> str:
    """Its last events, with when they were."""
    events = evidence.events.get(job, ())
    return ", ".join(f"{event.kind} {event.attempt} at {evidence.record.since(event.at).strip()}" for event in events[-6:])
