"""The end of a call in the rows: a closed attempt, one charge, the rollups of jobs; without a row before, its number is its fence."""

import dataclasses
import uuid

import pytest

from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import CallRecord, Ended, settle, settle_all
from rateguard.jobs.insight.runtree import Spent, spent
from rateguard.jobs.line.call_ids import new_call_id
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import FAIL, SUCCEED, AttemptState, State
from tenants.models import GateEpoch, LedgerEntry, Run, Tenant, UsageDay, UsageQuarter, UsageQuarterBin

USAGE = Usage(input_tokens=10, cached_tokens=4, cache_write_tokens=2, output_tokens=30, reasoning_tokens=3)


@pytest.fixture
def acme(db):
    return Tenant.objects.create(name="acme")


def record(tenant, **fields):
    """Whose a call was."""
    return CallRecord(
        **{
            "tenant_id": tenant.pk,
            "model": "m",
            "deployment_id": 7,
            "deployment": "mini",
            "holder": "web:1:00000000002a",
            "path": f"{tenant.pk}|team:red|user:ada",
            "reserved_input_tokens": 16,
            "reserved_output_tokens": 40,
            "reserved_max_output_tokens": 50,
            "reserved_nano_usd": 9_000,
            "started_ago_ms": 250,
            "team": "red",
            "user": "ada",
            "labels": {"app": "chat"},
            **fields,
        }
    )


def ended(call, **fields):
    """The end of a call that was answered."""
    return Ended(
        **{
            "job": new_call_id(42),
            "attempt": 1,
            "state": AttemptState.SUCCEEDED,
            "transition": SUCCEED,
            "usage": USAGE,
            "nano_usd": 1_234,
            "latency_ms": 120,
            "queue_ms": 7,
            "provider_request_id": "req-1",
            "call": call,
            **fields,
        }
    )


def test_a_calls_end_is_a_closed_attempt_and_a_charge_of_its_figures(acme):
    run = uuid.uuid4()
    one = ended(record(acme, run=run, cost_center="cc", api_key_id=5, rolegroup="g", role="r"))
    assert settle([one]) == {(one.job, 1)}
    attempt, entry = Attempt.objects.get(), LedgerEntry.objects.get()
    assert (attempt.reservation_id, attempt.job_id, attempt.state, attempt.path, attempt.run) == (
        one.job,
        None,
        "succeeded",
        one.call.path,
        run,
    )
    assert (attempt.reserved_nano_usd, attempt.holder, attempt.deployment_id, attempt.provider_request_id) == (
        9_000,
        one.call.holder,
        7,
        "req-1",
    )
    assert 0.2 < (attempt.finished_at - attempt.started_at).total_seconds() < 0.3
    who = (entry.team, entry.rolegroup, entry.role, entry.user, entry.run, entry.api_key_id, entry.cost_center, entry.labels)
    assert who == ("red", "g", "r", "ada", run, 5, "cc", {"app": "chat"})
    assert (entry.reservation_id, entry.job_id, entry.attempt, entry.model, entry.deployment) == (one.job, None, 1, "m", "mini")
    for row in (attempt, entry):
        assert (row.nano_usd, row.input_tokens, row.cached_tokens, row.cache_write_tokens, row.output_tokens) == (1_234, 10, 4, 2, 30)
        assert row.reasoning_tokens == 3


def test_whoever_ends_a_call_second_changes_nothing_but_the_late_usage(acme):
    one = ended(record(acme))
    lost = dataclasses.replace(one, state=AttemptState.ABANDONED, transition=FAIL, usage=Usage(1, estimated=True), nano_usd=9_000)
    assert settle([lost]) == {(one.job, 1)}
    assert settle([one]) == set()
    assert settle([lost]) == set()
    assert (LedgerEntry.objects.get().nano_usd, LedgerEntry.objects.get().is_estimated) == (9_000, True)
    assert Attempt.objects.get().late_usage["nano_usd"] == 1_234
    assert UsageQuarter.objects.get().nano_usd == 9_000


def test_rollups_count_calls_as_they_count_jobs(acme):
    calls = [ended(record(acme)) for _ in range(3)]
    failed = ended(record(acme, team="blue"), state=AttemptState.FAILED, transition=FAIL, nano_usd=0, usage=Usage(), error_code="server")
    settle([*calls, failed])
    red, blue = UsageQuarter.objects.order_by("-team")
    assert (red.jobs, red.succeeded, red.failed, red.nano_usd) == (3, 3, 0, 3 * 1_234)
    assert (blue.jobs, blue.succeeded, blue.failed, blue.nano_usd) == (1, 0, 1, 0)
    assert {(row.quarter_id, row.count) for row in UsageQuarterBin.objects.all()} == {(red.pk, 3)}
    assert {(row.dimension, row.value): (row.jobs, row.nano_usd) for row in UsageDay.objects.all()} == {
        ("user", "ada"): (4, 3 * 1_234),
        ("label", "app=chat"): (4, 3 * 1_234),
    }


def test_the_second_call_of_a_job_is_an_attempt_of_it_and_no_request_of_its_own(acme):
    job = Job.objects.create(
        tenant=acme,
        model="m",
        endpoint="chat",
        state=State.QUEUED,
        request="{}",
        path=str(acme.pk),
        input_tokens=1,
        output_tokens=1,
        max_output_tokens=1,
        timeout_s=60,
        max_tries=1,
    )
    settle([ended(record(acme, of_job=job.pk))])
    assert (Attempt.objects.get().job_id, LedgerEntry.objects.get().job_id) == (job.pk, job.pk)
    quarter = UsageQuarter.objects.get()
    assert (quarter.jobs, quarter.succeeded, quarter.nano_usd) == (0, 0, 1_234)
    assert not UsageQuarterBin.objects.exists()
    assert Job.objects.get().nano_usd == 0


def test_a_settle_tells_the_epoch_of_the_calls_that_it_wrote(acme):
    epoch = GateEpoch.increase()
    one = ended(record(acme))
    assert settle_all([one]).epoch == epoch
    assert settle_all([one]).keys == set()


def test_a_run_has_spent_what_its_calls_cost(acme):
    run = Run.objects.create(tenant=acme, name="research")
    of_run = record(acme, run=run.pk)
    unsent = {"state": AttemptState.FAILED, "transition": FAIL, "nano_usd": 0, "usage": Usage(), "error_code": "connect"}
    settle([ended(of_run), ended(of_run), ended(of_run, **unsent), ended(record(acme))])
    assert spent(run.pk) == Spent(nano_usd=2 * 1_234, calls=2)
