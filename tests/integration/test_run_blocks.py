"""`with rateguard.run(…)`: what is submitted inside is charged to it, wherever the call is made."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio
import datetime as dt
import decimal
import threading
import uuid

import pytest
from asgiref.sync import sync_to_async
from celery import group, shared_task
from django.db import connection
from django.db.models.functions import Now
from django.test import override_settings
from django.utils import timezone

import rateguard
from rateguard import complete
from rateguard.engine.errors import ConfigurationError, InvalidRequest
from rateguard.engine.scopes import MOST_RUNS
from rateguard.jobs import inherit
from rateguard.jobs.controls.runs import start_run, stop_run
from rateguard.jobs.inherit import current_run
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tenants.models import Run
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db


def ask(**options):
    """Submit a job; its row."""
    return Job.objects.get(pk=complete.delay("Hello", model=CHAT_MODEL, **options).id)


def path_in(tenant, *runs):
    return "|".join([str(tenant.pk), *(f"run:{run.id.hex}" for run in runs)])


def refusal(act, *args, **options):
    with pytest.raises(InvalidRequest) as caught:
        act(*args, **options)
    return caught.value.code


# ---- the block


def test_what_is_submitted_inside_is_charged_to_the_run_and_nothing_else(acme):
    before = ask(tenant="acme")
    with rateguard.run(budget_usd=2, max_calls=80, name="research", tenant="acme") as run:
        inside = ask()
    after = ask(tenant="acme")
    assert [job.run for job in (before, inside, after)] == [None, run.id, None]
    assert inside.path == path_in(acme.tenant, run)
    row = Run.objects.get()
    assert (row.pk, row.name, row.budget_nano_usd, row.max_calls, row.tenant) == (run.id, "research", 2 * 10**9, 80, acme.tenant)


def test_every_way_to_submit_is_charged(acme):
    with rateguard.run(tenant="acme") as run:
        complete.delay("a", model=CHAT_MODEL)
        complete.delay_many(["b", "c"], model=CHAT_MODEL)
        complete.apply_async(("d",), {"model": CHAT_MODEL})
        group(complete.s(text, model=CHAT_MODEL) for text in "ef").apply_async()
    assert Job.objects.filter(run=run.id, path=path_in(acme.tenant, run)).count() == Job.objects.count() == 6


def test_many_jobs_of_one_run_ask_for_it_once(acme, django_assert_max_num_queries):
    with rateguard.run(tenant="acme"):
        complete.delay("Hello", model=CHAT_MODEL)
        with django_assert_max_num_queries(12):
            complete.delay_many(["Hello"] * 50, model=CHAT_MODEL)


def test_a_run_inside_a_run_charges_both_and_lies_in_it(acme):
    with rateguard.run(tenant="acme") as outer:
        with rateguard.run(name="inner") as inner:
            job = ask(user="ada", team="red")
        assert ask().run == outer.id
    assert job.path == f"{acme.tenant.pk}|team:red|user:ada|run:{outer.id.hex}|run:{inner.id.hex}"
    assert (job.run, inner.row.parent_id, inner.row.tenant_id) == (inner.id, outer.id, acme.tenant.pk)


def test_runs_lie_in_each_other_so_deep_and_no_deeper(acme):
    run = None
    for _ in range(MOST_RUNS):
        run = start_run(acme.tenant, parent=run and run.pk)
    assert refusal(start_run, acme.tenant, parent=run.pk) == "runs_too_deep"


def test_an_error_in_the_block_leaves_it(acme):
    with pytest.raises(ZeroDivisionError), rateguard.run(tenant="acme"):
        _ = 1 / 0
    assert current_run() is None


def test_a_run_that_exists_is_joined_by_its_id(acme):
    row = start_run(acme.tenant)
    for given in (row.pk, str(row.pk), row.pk.hex):
        with rateguard.run(id=given):
            assert ask().run == row.pk
    assert Run.objects.count() == 1
    assert ask(run=row.pk).run == ask(run=str(row.pk)).run == ask(run=row).run == row.pk


def test_joining_an_inner_run_charges_those_around_it(acme):
    outer = start_run(acme.tenant)
    inner = start_run(acme.tenant, parent=outer.pk)
    with rateguard.run(id=inner.pk):
        assert ask().path.endswith(f"|run:{outer.pk.hex}|run:{inner.pk.hex}")


def test_a_block_may_be_entered_again_and_stays_the_same_run(acme):
    run = rateguard.run(tenant="acme")
    with run, run:
        assert current_run() == run.id
    with run:
        assert ask().run == run.id
    assert Run.objects.count() == 1


def test_the_tenant_of_the_run_pays_unless_the_settings_or_the_call_say_otherwise(acme):
    with pytest.raises(ConfigurationError), rateguard.run():
        pass
    with override_settings(RATEGUARD={"DEFAULT_TENANT": "acme"}), rateguard.run() as run:
        assert run.row.tenant == acme.tenant
        assert ask().tenant == acme.tenant


def test_another_tenants_run_does_not_exist_for_it(acme):
    add_tenant("globex")
    with rateguard.run(tenant="acme") as run:
        assert refusal(complete.delay, "Hello", model=CHAT_MODEL, tenant="globex") == "unknown_run"
        assert refusal(rateguard.run(tenant="globex").__enter__) == "unknown_run"
    assert refusal(complete.delay, "Hello", model=CHAT_MODEL, tenant="globex", run=run.id) == "unknown_run"
    assert refusal(complete.delay, "Hello", model=CHAT_MODEL, tenant="acme", run=uuid.uuid4()) == "unknown_run"
    assert refusal(rateguard.run(id=uuid.uuid4()).__enter__) == "unknown_run"


@pytest.mark.parametrize(
    "bounds",
    [
        {"budget_usd": -1},
        {"budget_usd": "2,5"},
        {"budget_usd": "NaN"},
        {"budget_usd": 1e30},
        {"budget_usd": decimal.Decimal("0.0000000001")},
        {"max_calls": -1},
        {"max_calls": 1.5},
        {"max_calls": True},
        {"name": "x" * 129},
        {"name": "a\nb"},
        {"deadline": dt.datetime(2099, 1, 1)},  # noqa: DTZ001 - the fault that is tested
        {"id": "6"},
    ],
)
def test_bounds_that_cannot_be_are_refused(acme, bounds):
    def start():
        with rateguard.run(tenant=None if "id" in bounds else "acme", **bounds):
            pass

    assert refusal(start) == "invalid_field"
    assert not Run.objects.exists()


def test_a_run_that_exists_takes_no_new_bounds(acme):
    row = start_run(acme.tenant)
    assert refusal(rateguard.run, id=row.pk, max_calls=1) == "invalid_field"


@pytest.mark.parametrize(("dollars", "nano_usd"), [(2, 2 * 10**9), (0.1, 10**8), ("0.000000001", 1), (decimal.Decimal("1.5"), 15 * 10**8)])
def test_dollars_are_exact_in_every_form(acme, dollars, nano_usd):
    with rateguard.run(tenant="acme", budget_usd=dollars) as run:
        assert run.row.budget_nano_usd == nano_usd


def test_so_many_runs_of_a_tenant_are_open_and_no_more(acme, monkeypatch):
    monkeypatch.setattr("tenants.models.runs.MOST_OPEN_RUNS", 2)
    start_run(acme.tenant)
    start_run(acme.tenant)
    assert refusal(start_run, acme.tenant) == "too_many_runs"


def test_an_idempotency_key_is_the_same_request_in_another_run(acme):
    with rateguard.run(tenant="acme"):
        first = ask(idempotency_key="k")
    with rateguard.run(tenant="acme"):
        assert ask(idempotency_key="k").pk == first.pk


# ---- other flows of control


@pytest.fixture
async def other_thread():
    """The thread in which a coroutine's database work is done; its connection is closed at the end."""
    yield
    await sync_to_async(lambda: connection.close())()  # noqa: PLW0108 - `connection` is another one in each thread


@pytest.mark.django_db(transaction=True)
async def test_in_a_coroutine_it_is_async_with_and_others_beside_it_are_not_in_it(acme, other_thread):
    entered, looked = asyncio.Event(), asyncio.Event()

    async def within():
        async with rateguard.run(tenant="acme") as run:
            entered.set()
            await looked.wait()
            job = await sync_to_async(ask)()
        assert (current_run(), job.run) == (None, run.id)
        return run

    async def beside():
        await entered.wait()
        seen = current_run()
        looked.set()
        return seen

    run, seen = await asyncio.gather(within(), beside())
    assert (seen, (await sync_to_async(lambda: run.row)()).state) == (None, "open")


@pytest.mark.django_db(transaction=True)
async def test_one_run_may_be_entered_by_many_coroutines_at_once(acme, other_thread):
    run = rateguard.run(tenant="acme")
    await sync_to_async(run.__enter__)()

    async def work(text):
        async with run:
            return (await sync_to_async(ask)(user=text)).run

    assert set(await asyncio.gather(*(work(text) for text in "abcde"))) == {run.id}


@pytest.mark.django_db(transaction=True)
def test_a_thread_of_ones_own_joins_by_the_id(acme):
    seen = []

    def work(run_id):
        seen.append(current_run())
        with rateguard.run(id=run_id):
            seen.append(ask().run)
        connection.close()

    with rateguard.run(tenant="acme") as run:
        thread = threading.Thread(target=work, args=[run.id])
        thread.start()
        thread.join()
    assert seen == [None, run.id]


# ---- stopped and late


def test_a_stopped_run_takes_no_work_nor_does_one_inside_it(acme):
    outer = start_run(acme.tenant, name="research")
    inner = start_run(acme.tenant, parent=outer.pk)
    assert stop_run(outer)
    for row in (outer, inner):
        assert refusal(complete.delay, "Hello", model=CHAT_MODEL, tenant="acme", run=row.pk) == "run_stopped"
        assert refusal(start_run, acme.tenant, parent=row.pk) == "run_stopped"
        assert refusal(rateguard.run(id=row.pk).__enter__) == "run_stopped"


def test_the_run_that_is_stopped_is_named(acme):
    run = start_run(acme.tenant, name="research")
    stop_run(run)
    with pytest.raises(InvalidRequest, match=rf"run research \({run.pk}\) was stopped"):
        ask(tenant="acme", run=run)


def test_a_late_run_takes_no_work_nor_does_one_inside_it(acme):
    outer = start_run(acme.tenant, deadline=dt.timedelta(hours=1))
    inner = start_run(acme.tenant, parent=outer.pk)
    Run.objects.filter(pk=outer.pk).update(deadline_at=Now() - dt.timedelta(milliseconds=1))
    for row in (outer, inner):
        assert refusal(complete.delay, "Hello", model=CHAT_MODEL, tenant="acme", run=row.pk) == "run_deadline_passed"


def test_the_databases_clock_says_what_is_late(acme, monkeypatch):
    run = start_run(acme.tenant, deadline=dt.timedelta(seconds=60))
    ahead = timezone.now() + dt.timedelta(seconds=90)
    monkeypatch.setattr(timezone, "now", lambda: ahead)
    with rateguard.run(id=run.pk):
        assert current_run() == run.pk


def test_a_deadline_that_has_passed_is_refused(acme):
    for deadline in (timezone.now() - dt.timedelta(seconds=1), dt.timedelta(0)):
        assert refusal(start_run, acme.tenant, deadline=deadline) == "deadline_passed"


def test_a_runs_deadline_bounds_those_of_its_jobs_and_of_runs_inside_it(acme):
    outer = start_run(acme.tenant, deadline=dt.timedelta(hours=1))
    inner = start_run(acme.tenant, parent=outer.pk, deadline=dt.timedelta(hours=5))
    sooner = timezone.now() + dt.timedelta(minutes=5)
    assert inner.deadline_at == outer.deadline_at
    assert ask(tenant="acme", run=inner).deadline_at == outer.deadline_at
    assert ask(tenant="acme", run=inner, deadline=outer.deadline_at + dt.timedelta(hours=1)).deadline_at == outer.deadline_at
    assert ask(tenant="acme", run=inner, deadline=sooner).deadline_at == sooner


def test_what_is_to_start_after_the_run_is_refused(acme):
    run = start_run(acme.tenant, deadline=dt.timedelta(hours=1))
    late = run.deadline_at + dt.timedelta(seconds=1)
    assert refusal(complete.delay, "Hello", model=CHAT_MODEL, tenant="acme", run=run, run_at=late) == "run_deadline_passed"


# ---- what became of it


def test_a_tree_tells_what_each_run_and_job_came_to(acme):
    with rateguard.run(tenant="acme", name="outer") as outer:
        first = ask()
        with rateguard.run(name="inner") as inner:
            second = ask()
    Job.objects.filter(pk=first.pk).update(nano_usd=700)
    Job.objects.filter(pk=second.pk).update(nano_usd=30)
    tree = outer.tree()
    assert (tree.id, tree.name, tree.spent.nano_usd, tree.job_count) == (outer.id, "outer", 730, 1)
    assert [(job.id, job.state, job.nano_usd) for job in tree.jobs] == [(first.pk, State.QUEUED, 700)]
    assert [(run.id, run.name, run.spent.nano_usd, [job.id for job in run.jobs]) for run in tree.runs] == [
        (inner.id, "inner", 30, [second.pk])
    ]
    assert (outer.cost, inner.cost, outer.calls) == (decimal.Decimal("0.00000073"), decimal.Decimal("0.00000003"), 0)


# ---- Celery's part, by hand


@shared_task
def see_run():
    return current_run()


def test_a_task_called_in_place_has_the_context_of_its_caller(acme):
    with rateguard.run(tenant="acme") as run:
        assert see_run.apply().get() == run.id
        assert current_run() == run.id


def test_a_message_carries_the_run_around_it_and_one_outside_carries_none(acme):
    headers, others, told = {}, {}, {inherit.HEADER: "00" * 16}
    inherit.tell(headers=others)
    with rateguard.run(tenant="acme") as run:
        inherit.tell(headers=headers)
        inherit.tell(headers=told)
    assert (headers, others, told) == ({inherit.HEADER: run.id.hex}, {}, {inherit.HEADER: "00" * 16})


def test_a_header_that_is_no_id_is_passed_over(caplog):
    assert inherit._read("nonsense") is None
    assert "nonsense" in caplog.text
