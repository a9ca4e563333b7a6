"""Retries as the line makes them: the project's own policy, the model's settings, the budget of all, and what is sent at most once."""

import dataclasses
import uuid

import pytest
from django.core.checks import run_checks
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.retry import Action, Failure, Reason, RetrySettings, Verdict, decide
from rateguard.jobs.attempts import retrying
from rateguard.jobs.attempts.outcome import failed, stopped
from rateguard.jobs.attempts.retrying import as_provider_error, judge, max_tries_of, settings_of
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt, Delivery, Job
from rateguard.jobs.states import FAIL, HOLD_BACK, ORPHAN, RETRY, State
from rateguard.jobs.upkeep import recover
from rateguard.jobs.upkeep.releasing import FLOOR, Releasing
from tenants.changes.actor import Actor
from tenants.changes.models import change_model
from tenants.models import GateEpoch, ModelRoute
from tests.line import MODEL

SETTINGS = RetrySettings()
HERE = "tests.integration.test_retries."
LATE = Failure(kind=ErrorKind.BAD_REQUEST, tries=0, has_left=True)


def next_grant(claimed, number):
    return [[claimed.job.hex, number, claimed.deployment_id, 0, 2**53]], GateEpoch.objects.get().number


# ---- a policy and errors of the project's own


class Refused(Exception):
    """What a provider of one's own raises."""


def obstinate(failure, settings, chance):
    return Verdict(Action.RETRY, Reason.RETRYABLE, 7)


def broken(failure, settings, chance):
    raise KeyError("policy")


def aimless(failure, settings, chance):
    return "retry"


def test_a_policy_of_the_project_decides(settings):
    settings.RATEGUARD = {"RETRY_POLICY": HERE + "obstinate"}
    assert judge(LATE, SETTINGS, 0.5).wait_ms == 7


def test_no_policy_sends_again_what_left_and_is_sent_at_most_once(settings):
    settings.RATEGUARD = {"RETRY_POLICY": HERE + "obstinate"}
    assert judge(dataclasses.replace(LATE, is_at_most_once=True), SETTINGS, 0.5).reason is Reason.AT_MOST_ONCE
    assert judge(dataclasses.replace(LATE, is_at_most_once=True, has_left=False), SETTINGS, 0.5).action is Action.RETRY


@pytest.mark.parametrize("name", ["broken", "aimless"])
def test_a_policy_that_breaks_is_passed_over(settings, name, caplog):
    settings.RATEGUARD = {"RETRY_POLICY": HERE + name}
    assert judge(LATE, SETTINGS, 0.5) == decide(LATE, SETTINGS, 0.5)
    assert "RETRY_POLICY" in caplog.text


def test_an_exception_that_the_settings_name_is_tried_again(settings):
    assert as_provider_error(Refused("x"), has_left=True).kind is ErrorKind.BAD_REQUEST
    settings.RATEGUARD = {"RETRYABLE_ERRORS": [HERE + "Refused"]}
    assert as_provider_error(Refused("x"), has_left=True).kind is ErrorKind.SERVER
    assert as_provider_error(KeyError("x"), has_left=True).kind is ErrorKind.BAD_REQUEST


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RETRY_POLICY": "nowhere.at_all"}, "cannot be imported"),
        ({"RETRY_POLICY": HERE + "SETTINGS"}, "not a function"),
        ({"RETRYABLE_ERRORS": [HERE + "obstinate"]}, "not a class of exceptions"),
        ({"RETRY_POLICY": HERE + "obstinate", "RETRYABLE_ERRORS": [HERE + "Refused"]}, ""),
    ],
)
def test_a_path_that_leads_nowhere_is_told_by_the_checks(settings, given, said):
    settings.RATEGUARD = given
    found = [one.msg for one in run_checks(tags=["rateguard"]) if one.id == "rateguard.E003"]
    assert [said in one for one in found] == ([True] if said else [])


# ---- how often


def test_a_jobs_own_tries_come_before_its_models_and_those_before_the_settings(line, settings):
    assert (line.submit().max_tries, max_tries_of(MODEL)) == (5, 5)
    route = ModelRoute.objects.get(name=MODEL)
    change_model(Actor("test"), route, max_tries=3, retry_base_ms=40, retry_max_ms=90)
    assert (line.submit().max_tries, line.submit(max_tries=2).max_tries) == (3, 2)
    assert settings_of(MODEL, 3) == RetrySettings(40, 90, 3)
    assert settings_of("another", 4) == RetrySettings(wiring.conf().retry_base_ms, wiring.conf().retry_max_ms, 4)


# ---- at most once


@pytest.mark.parametrize("kind", ErrorKind)
def test_what_is_sent_at_most_once_ends_with_any_call_that_left(line, kind):
    claimed = line.run(delivery=Delivery.AT_MOST_ONCE)
    place = wiring.directory().places[claimed.deployment_id]
    left, kept = (
        failed(claimed, place, ProviderError("no", kind=kind), 1, has_left=has_left, chance=0.5, settings=SETTINGS).ended.transition
        for has_left in (True, False)
    )
    assert left is FAIL
    assert (kept is FAIL) == (decide(Failure(kind=kind, tries=0, has_left=False), SETTINGS, 0.5).action is Action.GIVE_UP)
    assert stopped(claimed, place, 1, has_left=True, is_cancelled=False).ended.transition is FAIL
    assert stopped(claimed, place, 1, has_left=False, is_cancelled=False).ended.transition is ORPHAN


def test_a_person_does_not_send_again_what_is_sent_at_most_once(line):
    claimed = line.run(delivery=Delivery.AT_MOST_ONCE)
    Job.objects.update(state=State.FAILED, finished_at=timezone.now())
    Attempt.objects.update(state="failed", error_code="timeout")
    with pytest.raises(InvalidRequest, match="at most once"):
        retry(Job.objects.get(pk=claimed.job))
    Attempt.objects.update(error_code="never_sent")
    assert retry(Job.objects.get(pk=claimed.job)).state == State.QUEUED


def test_an_attempt_after_a_counted_failure_is_a_retry_and_one_after_a_limit_is_not(line):
    for transition, is_retry in ((HOLD_BACK, False), (RETRY, True)):
        claimed = line.run()
        Job.objects.filter(pk=claimed.job).update(state=State.QUEUED, tries=int(transition is RETRY))
        Attempt.objects.all().delete()
        again = line.claim(next_grant(claimed, claimed.attempt + 1))
        assert Attempt.objects.get(reservation_id=again[0].job).is_retry == is_retry


# ---- the budget of all


@pytest.fixture
def failed_before(line):
    def make(count, tries=1):
        rows = line.submit_many(count, run_at=timezone.now() + timezone.timedelta(hours=1))
        Job.objects.filter(pk__in=[row.pk for row in rows]).update(run_at=timezone.now(), tries=tries)

    return make


def began(line, count, *, retries=0):
    """So many attempts began just now."""
    tenant = Job.objects.first().tenant
    Attempt.objects.bulk_create(
        Attempt(
            reservation_id=uuid.uuid4(),
            number=1,
            tenant=tenant,
            model=MODEL,
            deployment_id=1,
            deployment="main",
            holder="w",
            reserved_input_tokens=0,
            reserved_output_tokens=0,
            reserved_max_output_tokens=0,
            reserved_nano_usd=0,
            is_retry=number < retries,
        )
        for number in range(count)
    )


def test_a_quiet_system_tries_again_at_once_but_no_more_than_the_floor(line, failed_before):
    failed_before(FLOOR + 5)
    releasing = Releasing()
    assert [releasing.release(process_pump()), releasing.release(process_pump())] == [FLOOR, 0]
    assert Job.objects.filter(state=State.SCHEDULED).count() == 5


def test_retries_are_a_tenth_of_the_other_calls_whoever_counts(line, failed_before):
    failed_before(100)
    began(line, 430, retries=30)
    assert Releasing().release(process_pump()) == 400 // 10 - 30
    assert Releasing().release(process_pump()) == 400 // 10 - 30  # another caretaker knows only what began


def test_what_callers_scheduled_is_never_held_by_the_budget(line, failed_before):
    failed_before(FLOOR + 5)
    failed_before(7, tries=0)
    assert Releasing().release(process_pump()) == FLOOR + 7


def test_the_budget_is_told_once_when_it_holds_and_once_when_it_does_not(line, failed_before, caplog):
    caplog.set_level("INFO")
    failed_before(FLOOR + 5)
    releasing = Releasing()
    for _ in range(3):
        releasing.release(process_pump())
    releasing._released.clear()
    releasing.release(process_pump())
    assert [record.message for record in caplog.records if "retry budget" in record.message] == [
        "the retry budget holds retries back",
        "the retry budget holds nothing back any more",
    ]


def test_poison_ends_after_three_deaths_of_its_workers(line):
    counts = recover.Counts()
    claimed = line.run()
    for number in (1, 2, 3):
        attempt = Attempt.objects.filter(reservation_id=claimed.job).latest("number")
        recover.abandon(process_pump(), [attempt], counts)
        job = Job.objects.get(pk=claimed.job)
        assert (job.abandoned, job.state) == (number, State.FAILED if number == 3 else State.QUEUED)
        if number < 3:
            line.claim(next_grant(claimed, attempt.number + 1))
    assert (job.error_code, job.tries, retrying.max_tries_of(MODEL)) == ("poison", 0, 5)
