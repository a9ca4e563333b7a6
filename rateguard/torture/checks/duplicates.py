"""Calls at the provider that nothing allows, by the provider's own log.

A job may be called again after a failure that the retry policy repeats or that sends it to another model, after the death or hold of the
process that had it, and when a person asks for it. A job that may be sent once is never called again.
"""

from __future__ import annotations

import collections
import itertools
import uuid

from rateguard.engine.providers.sim.log_file import Written
from rateguard.jobs.models import Delivery
from rateguard.jobs.states import FALL_BACK, HOLD_BACK, PASS_ON, REQUEUE, RESUBMIT, RETRY
from rateguard.jobs.upkeep.bill import parse_attempt_id
from rateguard.torture.checks.evidence import AttemptSeen, Evidence, Found, Key
from rateguard.torture.checks.struck import Struck

REPEATED = {RETRY.name, HOLD_BACK.name, PASS_ON.name, FALL_BACK.name}
"""Events by which the retry policy says: again."""
BY_A_PERSON = {RESUBMIT.name, REQUEUE.name}
LATE_S = 0.25
"""What the database's clock and the provider's may differ by, and the way of a request."""


def foreign_duplicates(evidence: Evidence) -> Found:
    """One for each call that nothing allows."""
    found = Found()
    struck = Struck(evidence.record, evidence.faults)
    calls: dict[uuid.UUID, list[tuple[int, Written]]] = collections.defaultdict(list)
    seen: set[Key] = set()
    for one in sorted(evidence.log, key=lambda one: one.monotonic_s):
        key = _key_of(one)
        if key is None:
            found.add(f"a call with the attempt id {one.arrival.attempt_id!r}")
            continue
        if key in seen:
            found.add(f"attempt {one.arrival.attempt_id} called twice, the second time at {_when(evidence, one)}")
            continue
        seen.add(key)
        calls[key[0]].append((key[1], one))
        if trouble := _alone(evidence, key, one):
            found.add(trouble)
    for job, mine in calls.items():
        for (before, earlier), (_, later) in itertools.pairwise(mine):
            if trouble := _again(evidence, struck, job, before, earlier, later):
                found.add(trouble)
    return found


def _key_of(one: Written) -> Key | None:
    try:
        return parse_attempt_id(one.arrival.attempt_id)
    except ValueError:
        return None


def _alone(evidence: Evidence, key: Key, one: Written) -> str:
    """What is wrong with a call by itself: nobody had opened its attempt, or it had been closed before."""
    if key[0] in evidence.rolled_back:
        return f"job {key[0]} was called although its transaction was rolled back"
    attempt = evidence.attempts.get(key)
    if attempt is None:
        return f"attempt {one.arrival.attempt_id} was called and has no row"
    if attempt.ended_at is not None and one.monotonic_s > attempt.ended_at + LATE_S:
        late_s = one.monotonic_s - attempt.ended_at
        return f"attempt {one.arrival.attempt_id} was called {late_s:.1f} s after it had ended ({attempt.state} {attempt.error_code})"
    return ""


def _again(evidence: Evidence, struck: Struck, job: uuid.UUID, before: int, earlier: Written, later: Written) -> str:
    """What is wrong with a second call; "" where it may be."""
    row, attempt = evidence.jobs.get(job), evidence.attempts.get((job, before))
    between = _events_between(evidence, job, before, earlier, later)
    what = f"job {job}: attempt {later.arrival.attempt_id} at {_when(evidence, later)} follows {_outcome(evidence, earlier, attempt)}"
    if row is not None and row.delivery == Delivery.AT_MOST_ONCE:
        return f"{what}; it may be sent once"
    if between & BY_A_PERSON:
        return ""
    if between & REPEATED and _has_failed(earlier):
        return ""
    if attempt is not None and struck.died_or_held(attempt.holder, attempt.began_at, later.monotonic_s):
        return ""
    return f"{what}; events since: {', '.join(sorted(between)) or 'none'}"


def _events_between(evidence: Evidence, job: uuid.UUID, before: int, earlier: Written, later: Written) -> set[str]:
    """Kinds of the events of an attempt's end, and of what happened between the two calls."""
    events = evidence.events.get(job, ())
    ends = {event.kind for event in events if event.attempt == before and event.at >= earlier.monotonic_s - LATE_S}
    return ends | {event.kind for event in events if earlier.monotonic_s <= event.at <= later.monotonic_s}


def _has_failed(one: Written) -> bool:
    """Whether the provider gave no whole answer to somebody who was there to hear it."""
    return one.arrival.status != 200 or bool(one.fault) or not one.is_answered or not one.is_there


def _outcome(evidence: Evidence, one: Written, attempt: AttemptSeen | None) -> str:
    """A call as the log tells it, and what we made of it."""
    seen = f"status {one.arrival.status}{', ' + one.fault if one.fault else ''}{'' if one.is_there else ', caller gone'}"
    ours = f"{attempt.state} {attempt.error_code} by {attempt.holder}".replace("  ", " ") if attempt else "no row"
    return f"the call at {_when(evidence, one)} ({seen}; {ours})"


def _when(evidence: Evidence, one: Written) -> str:
    return evidence.record.since(one.monotonic_s).strip()
