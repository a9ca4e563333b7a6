"""The claim takes a row once, only with the gate's epoch, only with a higher number, and opens the attempt with it."""

import datetime as dt
import uuid

import pytest
from django.utils import timezone

from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.sql import statements
from rateguard.jobs.states import AttemptState, State
from tenants.models import GateEpoch
from tests.line import events_of, state_of


def entry(job, attempt=1, deployment=None, cost=7):
    return [job.pk.hex, attempt, deployment, cost, 0]


@pytest.fixture
def job(line):
    return line.submit()


@pytest.fixture
def take(line):
    """Claims (job, attempt) under an epoch, the gate's by default."""

    def take(*entries, epoch=None, holder="w1"):
        message = [entry(job, attempt, line.deployment.pk) for job, attempt in entries]
        return line.claim((message, GateEpoch.current() if epoch is None else epoch), holder)

    return take


def test_both_databases_have_the_same_statements_in_the_same_order():
    assert list(statements("postgresql")) == ["claim", "settle", "charged"]
    assert list(statements("sqlite")) == ["claim", "settle", "settle_calls", "charged"]  # what is one statement there is parts here


def test_a_claim_makes_the_row_run_and_opens_its_attempt_with_an_event(take, job, line):
    (claimed,) = take((job, 1))
    job.refresh_from_db()
    attempt = Attempt.objects.get()
    assert (job.state, job.attempt, job.holder, job.deployment) == (State.RUNNING, 1, "w1", "sim-1")
    assert job.started_at is not None
    assert (attempt.reservation_id, attempt.number, attempt.job_id, attempt.tenant_id) == (job.pk, 1, job.pk, line.acme.pk)
    assert (attempt.state, attempt.holder, attempt.deployment_id) == (AttemptState.RUNNING, "w1", line.deployment.pk)
    assert (attempt.reserved_input_tokens, attempt.reserved_max_output_tokens) == (job.input_tokens, job.max_output_tokens)
    assert attempt.reserved_nano_usd == claimed.cost == 7
    assert events_of(job) == ["submitted", "started"]
    assert (claimed.job, claimed.attempt, claimed.request, claimed.tries) == (job.pk, 1, job.request, 0)


def test_a_row_is_claimed_once(take, job):
    assert len(take((job, 1))) == 1
    assert take((job, 1), holder="w2") == []
    assert take((job, 2), holder="w2") == []
    assert Attempt.objects.get().holder == "w1"


def test_of_many_jobs_those_that_are_still_there_are_claimed(take, line):
    jobs = line.submit_many(3)
    take((jobs[1], 1))
    assert {claimed.job for claimed in take(*((job, 1) for job in jobs), holder="w2")} == {jobs[0].pk, jobs[2].pk}


def test_a_grant_of_another_epoch_takes_nothing(take, job):
    assert take((job, 1), epoch=GateEpoch.current() - 1) == []
    assert take((job, 1), epoch=GateEpoch.current() + 1) == []
    assert (state_of(job), Attempt.objects.count(), events_of(job)) == (State.QUEUED, 0, ["submitted"])


@pytest.mark.parametrize("number", [3, 4])
def test_a_number_that_is_not_above_the_last_takes_nothing(take, job, number):
    Job.objects.filter(pk=job.pk).update(attempt=4)
    assert take((job, number)) == []
    assert take((job, 5))


@pytest.mark.parametrize("state", [state for state in State if state != State.QUEUED])
def test_only_a_queued_row_is_claimed(take, job, state):
    ended = timezone.now() if state not in {State.SCHEDULED, State.RUNNING} else None
    Job.objects.filter(pk=job.pk).update(state=state, run_at=timezone.now(), finished_at=ended)
    assert take((job, 1)) == []
    assert Attempt.objects.count() == 0


def test_a_row_whose_deadline_passed_is_not_claimed(take, job):
    Job.objects.filter(pk=job.pk).update(deadline_at=timezone.now() - dt.timedelta(milliseconds=50))
    assert take((job, 1)) == []
    Job.objects.filter(pk=job.pk).update(deadline_at=timezone.now() + dt.timedelta(seconds=60))
    (claimed,) = take((job, 1))
    assert 50 < claimed.deadline_in_s < 61


def test_an_unknown_job_and_an_unknown_deployment_take_nothing(line, job):
    assert line.claim(([[uuid.uuid4().hex, 1, line.deployment.pk, 0, 0], entry(job, 1, 999)], GateEpoch.current())) == []


def test_a_job_that_stands_twice_in_a_message_is_claimed_once(take, job):
    assert len(take((job, 1), (job, 1))) == 1
    assert Attempt.objects.count() == 1
