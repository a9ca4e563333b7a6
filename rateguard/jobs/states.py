"""The whole machine of a job's life: its states, and every transition with where it comes from.

    scheduled ─► queued ─► running ─► succeeded | failed | cancelled | expired
        ▲          ▲          │
        └── retry ─┴─ orphaned┘
                   └─ passed_on (to another deployment), fell_back (to another model)

A transition is one conditional UPDATE that names its `sources`, with an event row of its name in the same transaction.
"granted" is a fact of the gate, not a state. A terminal state is never left, but by an explicit `resubmit` (a person's retry).
"""

from __future__ import annotations

import dataclasses

from django.db import models


class State(models.TextChoices):
    """Where a job stands."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})
WAITING = frozenset({State.SCHEDULED, State.QUEUED})


class AttemptState(models.TextChoices):
    """Where an attempt stands. `running` is open: the fence behind which its end is written once."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


@dataclasses.dataclass(frozen=True, slots=True)
class Transition:
    """From any of `sources` to `target`; `name` is the event's kind. No sources: the job is made."""

    name: str
    sources: frozenset[State]
    target: State


def _transition(name: str, sources: set[State] | frozenset[State], target: State) -> Transition:
    return Transition(name, frozenset(sources), target)


SUBMIT = _transition("submitted", set(), State.QUEUED)
SCHEDULE = _transition("scheduled", set(), State.SCHEDULED)
RELEASE = _transition("released", {State.SCHEDULED}, State.QUEUED)
CLAIM = _transition("started", {State.QUEUED}, State.RUNNING)
SUCCEED = _transition("succeeded", {State.RUNNING}, State.SUCCEEDED)
FAIL = _transition("failed", {State.RUNNING}, State.FAILED)
REFUSE = _transition("refused", {State.QUEUED}, State.FAILED)
DOWNGRADE = _transition("downgraded", {State.QUEUED}, State.QUEUED)
RETRY = _transition("retry", {State.RUNNING}, State.SCHEDULED)
HOLD_BACK = _transition("limited", {State.RUNNING}, State.QUEUED)
PASS_ON = _transition("passed_on", {State.RUNNING}, State.QUEUED)
FALL_BACK = _transition("fell_back", {State.RUNNING}, State.QUEUED)
ORPHAN = _transition("orphaned", {State.RUNNING}, State.QUEUED)
CANCEL = _transition("cancelled", WAITING, State.CANCELLED)
STOP = _transition("stopped", {State.RUNNING}, State.CANCELLED)
EXPIRE = _transition("expired", WAITING, State.EXPIRED)
REQUEUE = _transition("requeued", {State.RUNNING}, State.QUEUED)
CHANGE_LANE = _transition("lane_changed", {State.QUEUED}, State.QUEUED)
CHANGE_LANE_AHEAD = _transition("lane_changed_ahead", {State.SCHEDULED}, State.SCHEDULED)
RESUBMIT = _transition("resubmitted", {State.FAILED, State.CANCELLED, State.EXPIRED}, State.QUEUED)

TRANSITIONS = (
    SUBMIT,
    SCHEDULE,
    RELEASE,
    CLAIM,
    SUCCEED,
    FAIL,
    REFUSE,
    DOWNGRADE,
    CHANGE_LANE,
    CHANGE_LANE_AHEAD,
    RETRY,
    HOLD_BACK,
    PASS_ON,
    FALL_BACK,
    ORPHAN,
    REQUEUE,
    CANCEL,
    STOP,
    EXPIRE,
    RESUBMIT,
)
"""All of them; a test walks every pair of states against this table."""

ENDS_OF_AN_ATTEMPT = {one.name: one for one in (SUCCEED, FAIL, RETRY, HOLD_BACK, PASS_ON, FALL_BACK, ORPHAN, REQUEUE, STOP)}
"""What the settling statement may do to a running job."""
