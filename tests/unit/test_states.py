"""The machine of a job's life: every pair of states, walked in the database, against the table of transitions."""

import pytest
from django.utils import timezone

from rateguard.jobs.ends.transition import end
from rateguard.jobs.models import ENDED, Job, JobEvent
from rateguard.jobs.states import (
    CANCEL,
    CHANGE_LANE,
    CHANGE_LANE_AHEAD,
    CLAIM,
    DOWNGRADE,
    ENDS_OF_AN_ATTEMPT,
    EXPIRE,
    REFUSE,
    RELEASE,
    RESUBMIT,
    SCHEDULE,
    SUBMIT,
    TERMINAL,
    TRANSITIONS,
    WAITING,
    State,
)
from tenants.models import Tenant

# What may follow what, written out by hand. A retry is running → scheduled, an orphan running → queued; a cheaper model queued → queued.
# A terminal state is left by a person's retry alone.
MOVES = {
    State.SCHEDULED: {State.SCHEDULED, State.QUEUED, State.CANCELLED, State.EXPIRED},
    State.QUEUED: {State.QUEUED, State.RUNNING, State.FAILED, State.CANCELLED, State.EXPIRED},
    State.RUNNING: {State.SCHEDULED, State.QUEUED, State.SUCCEEDED, State.FAILED, State.CANCELLED},
    State.SUCCEEDED: set(),
    State.FAILED: {State.QUEUED},
    State.CANCELLED: {State.QUEUED},
    State.EXPIRED: {State.QUEUED},
}


@pytest.fixture
def job_in(db):
    tenant = Tenant.objects.create(name="acme")

    def job_in(state):
        return Job.objects.create(
            tenant=tenant,
            model="m",
            endpoint="chat",
            state=state,
            request="{}",
            path="1",
            input_tokens=1,
            output_tokens=1,
            max_output_tokens=1,
            timeout_s=1,
            max_tries=1,
            run_at=timezone.now(),
            finished_at=timezone.now() if state in TERMINAL else None,
        )

    return job_in


def test_the_transitions_allow_exactly_the_moves_written_here():
    allowed = {(source, transition.target) for transition in TRANSITIONS for source in transition.sources}
    assert allowed == {(source, target) for source, targets in MOVES.items() for target in targets}


@pytest.mark.parametrize("transition", [one for one in TRANSITIONS if one.sources], ids=lambda one: one.name)
@pytest.mark.parametrize("state", State)
def test_a_job_moves_only_from_the_sources_of_a_transition(job_in, state, transition):
    job = job_in(state)
    columns = {"run_at": timezone.now()} if transition.target == State.SCHEDULED else {}
    columns |= {"finished_at": None} if transition == RESUBMIT else {}
    moved = end(Job.objects.filter(pk=job.pk), transition, **columns)
    job.refresh_from_db()
    if state in transition.sources:
        assert (moved, job.state) == ([job.pk], transition.target)
        assert list(JobEvent.objects.values_list("job", "kind")) == [(job.pk, transition.name)]
        assert (job.finished_at is not None) == (transition.target in TERMINAL)
    else:
        assert (moved, job.state) == ([], state)
        assert not JobEvent.objects.exists()


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_terminal_state_is_never_left_but_by_a_persons_retry_of_what_did_not_succeed(state):
    leaving = [one.name for one in TRANSITIONS if state in one.sources]
    assert leaving == ([] if state == State.SUCCEEDED else ["resubmitted"])


def test_names_are_events_and_stand_once():
    assert len({one.name for one in TRANSITIONS}) == len(TRANSITIONS)
    assert all(len(one.name) <= JobEvent._meta.get_field("kind").max_length for one in TRANSITIONS)


def test_every_state_is_reached_and_every_waiting_one_can_end():
    assert {one.target for one in TRANSITIONS} == set(State)
    assert all(one.sources >= WAITING for one in (CANCEL, EXPIRE))
    assert set(ENDED) == TERMINAL


def test_what_ends_an_attempt_leaves_running_alone_and_no_other_does():
    others = {SUBMIT, SCHEDULE, RELEASE, CLAIM, REFUSE, DOWNGRADE, CHANGE_LANE, CHANGE_LANE_AHEAD, CANCEL, EXPIRE, RESUBMIT}
    assert {name for name, one in ENDS_OF_AN_ATTEMPT.items() if one.sources == {State.RUNNING}} == set(ENDS_OF_AN_ATTEMPT)
    assert {one.name for one in TRANSITIONS} == set(ENDS_OF_AN_ATTEMPT) | {one.name for one in others}
    assert all(State.RUNNING not in one.sources for one in others)


def test_an_event_names_who_did_it_and_the_error(job_in):
    job = job_in(State.QUEUED)
    end(Job.objects.filter(pk=job.pk), REFUSE, by="gate", error_code="exceeds_limit")
    assert JobEvent.objects.get().detail == {"by": "gate", "error": "exceeds_limit"}
