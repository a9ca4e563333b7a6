"""A budget that is spent sends waiting jobs to a cheaper model, once to each."""

import pytest

from rateguard.engine.gate.contract import Refusal, Refused
from rateguard.jobs.attempts.claim import claim
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import State
from rateguard.jobs.upkeep.refuse import refuse
from tenants.models import Budget, Deployment, ModelRoute, Price, RouteTarget, Scope
from tests.line import MODEL, assert_books_close, events_of, has_ended, state_of, wait_for

CHEAP = "sim-cheap"


@pytest.fixture
def cheap(line):
    """A model at a tenth of the price."""
    deployment = Deployment.objects.create(account=line.account, name=CHEAP, upstream_model=CHEAP)
    Price.objects.create(provider="sim", model=CHEAP, valid_from="2020-01-01T00:00Z", input_pico=15_000, output_pico=60_000)
    route = ModelRoute.objects.create(name=CHEAP)
    RouteTarget.objects.create(route=route, deployment=deployment)
    return route


@pytest.fixture
def budget(line, cheap):
    """Acme may spend 20,000 nano-dollars at MODEL (at most 13,000 a job), and then goes to CHEAP (1,300)."""
    return Budget.objects.create(scope=Scope.objects.get(tenant=line.acme), amount=20_000, on_exhausted="downgrade", downgrade_to=cheap)


def test_what_a_budget_can_no_longer_pay_goes_to_its_cheaper_model_in_its_place(line, budget):
    first, second = line.submit(), line.submit()
    line.settled()
    line.beat()
    line.run_granted(nano_usd=13_000)
    entries, epoch = line.next_message()
    (claimed,) = claim(entries, epoch, "w1", {entries[0][2]: CHEAP})
    second.refresh_from_db()
    assert (state_of(first), claimed.job, claimed.model) == (State.SUCCEEDED, second.pk, CHEAP)
    assert (second.model, second.downgraded_from) == (CHEAP, MODEL)
    assert events_of(second) == ["submitted", "downgraded", "started"]
    detail = JobEvent.objects.get(kind="downgraded").detail
    assert detail == {"from": MODEL, "to": CHEAP, "budget": "tenant acme: $0.00002 in total"}


def test_what_the_cheaper_model_costs_too_much_for_as_well_fails(line, budget):
    line.submit()
    line.settled()
    line.beat()
    line.run_granted(nano_usd=20_000)
    job = line.submit()
    wait_for(lambda: has_ended(job))
    job.refresh_from_db()
    assert (job.state, job.error_code, job.downgraded_from) == (State.FAILED, "budget_exhausted", MODEL)
    assert f"at the cheaper model {CHEAP} already" in job.error_message
    assert events_of(job) == ["submitted", "downgraded", "refused"]


def test_two_budgets_do_not_send_a_job_to_and_fro(line, budget):
    back = Budget.objects.create(
        scope=Scope.objects.create(kind="user", tenant=line.acme, name="ada"),
        amount=10**9,
        on_exhausted="downgrade",
        downgrade_to=ModelRoute.objects.get(name=MODEL),
    )
    job = line.submit(user="ada")
    for binding in (f"b{budget.pk}", f"b{back.pk}"):
        refuse([Refused(job.pk, 0, Refusal.DOWNGRADE, binding)], process_pump())
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "budget_exhausted")


def test_a_default_budget_downgrades_in_the_name_of_who_has_it(line, cheap):
    every = Scope.objects.create(kind="user", tenant=line.acme, name="*")
    budget = Budget.objects.create(scope=every, amount=20_000, period="day", on_exhausted="downgrade", downgrade_to=cheap)
    job = line.submit(user="ada")
    refuse([Refused(job.pk, 0, Refusal.DOWNGRADE, f"b{budget.pk}@user:ada")], process_pump())
    job.refresh_from_db()
    assert (job.state, job.model) == (State.QUEUED, CHEAP)
    assert JobEvent.objects.get(kind="downgraded").detail["budget"] == "user ada: $0.00002 a day"


def test_a_cheaper_model_that_nobody_serves_ends_the_job(line, budget):
    RouteTarget.objects.filter(route__name=CHEAP).delete()
    job = line.submit()
    refuse([Refused(job.pk, 0, Refusal.DOWNGRADE, f"b{budget.pk}")], process_pump())
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "budget_exhausted")
    assert "no deployment" in job.error_message


def test_a_budget_that_downgrades_no_longer_has_its_job_wait_again(line, budget):
    job = line.submit()
    Budget.objects.filter(pk=budget.pk).update(on_exhausted="hold", downgrade_to=None)
    refuse([Refused(job.pk, 0, Refusal.DOWNGRADE, f"b{budget.pk}")], process_pump())
    line.settled()
    assert (state_of(job), line.gate.inspect().waiting) == (State.QUEUED, 1)


def test_a_job_that_started_meanwhile_stays_where_it_is(line, budget):
    claimed = line.run()
    refuse([Refused(claimed.job, 0, Refusal.DOWNGRADE, f"b{budget.pk}")], process_pump())
    job = Job.objects.get()
    assert (job.state, job.model, job.downgraded_from) == (State.RUNNING, MODEL, "")


def test_a_downgraded_job_is_answered_and_billed_by_the_cheaper_model(line, budget, station):
    jobs = [line.submit() for _ in range(6)]
    for job in jobs:
        wait_for(lambda job=job: has_ended(job), 15)
    models = set(Job.objects.filter(state=State.SUCCEEDED).values_list("model", "deployment"))
    assert (CHEAP, CHEAP) in models
    assert line.used(budget).used <= 20_000
    assert_books_close()
