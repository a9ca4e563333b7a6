"""The events of each job, walked against the table of states."""

from __future__ import annotations

from collections.abc import Sequence

from rateguard.jobs.states import CLAIM, TRANSITIONS, State
from rateguard.torture.checks.evidence import EventSeen, Evidence, Found, JobSeen

BY_NAME = {transition.name: transition for transition in TRANSITIONS}
WAITED_S = 1.0
"""An event has the time at which its statement began: one that waited for the row's lock may be so much older than the one before."""


def state_gaps(evidence: Evidence) -> Found:
    """One for each job whose events do not lead from its submission to where it stands."""
    found = Found()
    for job in evidence.jobs.values():
        if trouble := _walk(job, evidence.events.get(job.id, ())):
            course = " > ".join(f"{event.kind} {event.attempt}" for event in evidence.events.get(job.id, ()))
            found.add(f"job {job.id} ({job.state}): {trouble}; {course}")
    return found


def _walk(job: JobSeen, events: Sequence[EventSeen]) -> str:
    """What is wrong first; "" for nothing. Events that are no transitions (a cancel was asked for, a correction) may come at any place."""
    state: State | None = None
    attempt, last_at = 0, 0.0
    for event in events:
        if event.at < last_at - WAITED_S:
            return f"{event.kind} is {last_at - event.at:.1f} s older than the event before it"
        last_at = max(last_at, event.at)
        transition = BY_NAME.get(event.kind)
        if transition is None:
            continue
        if (state is None) != (not transition.sources) or (state is not None and state not in transition.sources):
            return f"{event.kind} while {state or 'nothing'}"
        if transition is CLAIM and event.attempt <= attempt:
            return f"attempt {event.attempt} started after attempt {attempt}"
        attempt = max(attempt, event.attempt)
        state = transition.target
    if state != job.state:
        return f"its events lead to {state}"
    return ""
