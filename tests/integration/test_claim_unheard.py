"""A claim whose answer is lost: the database may have it or not, and the job is done once all the same."""

import itertools

import pytest
from django.db import OperationalError

from rateguard.jobs.attempts import execute
from rateguard.jobs.attempts.claim import claim
from rateguard.jobs.attempts.unheard import opened_unheard
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState, State
from tenants.models import GateEpoch
from tests.line import assert_books_close, wait_for


@pytest.mark.parametrize("is_committed", [True, False])
def test_jobs_of_a_claim_whose_answer_was_lost_are_done_once(line, station, monkeypatch, is_committed):
    times = itertools.count()

    def cut(*arguments):
        if next(times):
            return claim(*arguments)
        if is_committed:
            claim(*arguments)
        raise OperationalError("the connection broke in the middle of the commit")

    monkeypatch.setattr(execute, "claim", cut)
    job = line.submit()
    wait_for(lambda: Job.objects.get(pk=job.pk).state == State.SUCCEEDED, 20)

    assert len(line.provider.control.log()) == 1
    attempts = list(Attempt.objects.order_by("number").values_list("state", "error_code", "nano_usd"))
    if is_committed:
        assert attempts[0] == (AttemptState.ABANDONED, "never_sent", 0)
    assert [state for state, *_ in attempts][-1] == AttemptState.SUCCEEDED
    assert Job.objects.get(pk=job.pk).tries == 0
    assert_books_close()


def test_a_claim_that_arrives_after_it_was_given_up_takes_nothing(line):
    job = line.submit()
    entries = [[job.pk.hex, 1, line.deployment.pk, 0, 2**53]]
    assert opened_unheard(entries, "me") == []
    assert line.claim((entries, GateEpoch.current()), "me") == []
