"""A worker dies in the middle of a second call: its job is answered all the same, and both calls are charged, once each."""

import datetime as dt

import pytest
from django.utils import timezone

from rateguard.engine.histogram import bin_of
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.routing.hedging import COST
from rateguard.jobs.books.rows import differing
from rateguard.jobs.books.span import Span
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState, State
from tenants.models import Deployment, LedgerEntry, Measure, ModelRoute, ProviderAccount, RouteTarget, UsageQuarter, UsageQuarterBin
from tests.concurrency.test_crashes import HASTE
from tests.line import MODEL, Line, states, wait_for

pytestmark = pytest.mark.long

USUAL_MS = 100
LATE = {"kind": FaultKind.SLOW_HEADERS, "wait_ms": 60_000}


def hedge(line: Line) -> None:
    """The model has a second deployment, at an account of its own, and answers of the last hour by which a call is late."""
    quarter = UsageQuarter.objects.create(
        tenant=line.acme, model=MODEL, deployment="sim-1", starts_at=timezone.now() - dt.timedelta(minutes=20), team="before"
    )
    UsageQuarterBin.objects.create(quarter=quarter, measure=Measure.LATENCY_MS, bin=bin_of(USUAL_MS), count=10_000)
    account = ProviderAccount.objects.create(name="other", provider="sim", base_url=line.provider.base_url, credentials="sk-sim-other")
    other = Deployment.objects.create(account=account, name="sim-2", upstream_model=MODEL)
    route = ModelRoute.objects.get()
    RouteTarget.objects.create(route=route, deployment=other, position=1)
    route.hedges = True
    route.save()


@pytest.mark.parametrize("point", ["second_let_in", "second_sent", "second_ended"])
def test_a_second_call_of_a_worker_that_died_is_charged_once_and_its_job_is_answered(live, point):
    line, budget = live.line, live.line.budget(10**9)
    hedge(line)
    victim = live.mortal(point, 1, **HASTE)
    victim.wait_for("ready.")
    line.submit_many(COST + 5, lane=Lane.CRITICAL)
    wait_for(lambda: states() == {State.SUCCEEDED: COST + 5}, 30)

    line.provider.control.add_faults(Fault(**LATE, key=line.account.credentials.reveal()))
    job = line.submit(lane=Lane.CRITICAL)
    wait_for(lambda: victim.running.poll() is not None, 20)
    live.worker(**HASTE)

    wait_for(lambda: Job.objects.get(pk=job.pk).state == State.SUCCEEDED, 30)
    wait_for(lambda: line.gate.inspect().reservations == 0, 20)
    second = Attempt.objects.get(job=None)
    assert (second.state, second.deployment, second.is_estimated) == (AttemptState.ABANDONED, "sim-2", True)
    charged = LedgerEntry.objects.values_list("reservation_id", "attempt")
    assert sorted(charged) == sorted(Attempt.objects.values_list("reservation_id", "number"))
    assert line.used(budget).used == sum(LedgerEntry.objects.values_list("nano_usd", flat=True))
    assert not list(differing(Span()))
