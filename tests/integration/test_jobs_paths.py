"""Whom a job charges: its path, from the names that a caller gives to what the gate is told."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt
import uuid

import pytest
from django.utils import timezone

from rateguard import complete
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.scopes import name_of, parts_of
from rateguard.jobs.controls.runs import start_run, stop_run
from rateguard.jobs.intake.submission import NAMES
from rateguard.jobs.line.waiting import WAITING_COLUMNS, waiting_from, waiting_of
from rateguard.jobs.models import Job
from tenants.models import Budget, Limit, ModelRoute, Scope
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme  # noqa: F401

pytestmark = pytest.mark.django_db

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}


@pytest.fixture
def api(acme):
    return Api(acme.secret)


def ask(**options):
    return Job.objects.get(pk=complete.delay("Hello", **{"model": CHAT_MODEL, "tenant": "acme", "max_tokens": 20, **options}).id)


def refusal(**options):
    with pytest.raises(InvalidRequest) as caught:
        ask(**options)
    assert not Job.objects.exists()
    return caught.value


def scope(acme, kind="tenant", name=""):
    return Scope.objects.get_or_create(tenant=acme.tenant, kind=kind, name=name)[0]


# ---- the path


def test_a_job_charges_every_node_from_the_tenant_to_the_key(acme, api):
    run = start_run(acme.tenant)
    job = {"team": "ml", "rolegroup": "staff", "role": "lead", "user": "ada", "run": str(run.pk)}
    told = api.submit({**HELLO, "job": job}).json()
    path = f"{acme.tenant.pk}|team:ml|rolegroup:staff|role:lead|user:ada|run:{run.pk.hex}|key:{acme.key.pk}"
    assert Job.objects.get().path == told["path"] == path
    assert told["run"] == str(run.pk)


def test_a_name_may_hold_what_separates_names(acme):
    job = ask(user="a|b:c@d%e", team="user:x")
    assert [name_of(part) for part in parts_of(job.path)] == ["user:x", "a|b:c@d%e"]


def test_a_path_may_be_as_long_as_its_names(acme):
    names = dict.fromkeys(("user", "team", "rolegroup", "role"), "%" * 128)
    run = start_run(acme.tenant)
    for _ in range(3):
        run = start_run(acme.tenant, parent=run.pk)
    job = ask(**names, run=run)
    assert len(job.path) > 4 * 128 * 3
    assert [name_of(part) for part in parts_of(job.path)] == ["%" * 128] * 4 + [one.hex for one in run.lineage()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["x" * 129, "a\nb", "a\tb", "\x7f", "a\x85b", 5])
def test_a_name_that_is_too_long_or_holds_a_control_character_is_refused(acme, name, value):
    refused = refusal(**{name: value})
    assert (refused.code, refused.pointer) == ("invalid_field", f"/job/{name}")


def test_the_gate_is_told_the_path_and_the_deadline(acme):
    deadline = timezone.now() + dt.timedelta(hours=1)
    row = ask(user="ada", deadline=deadline)
    waiting = waiting_of(row)
    assert (waiting.path, waiting.deadline_ms) == (f"{acme.tenant.pk}|user:ada", int(deadline.timestamp() * 1000))
    assert waiting_from(*Job.objects.values_list(*WAITING_COLUMNS).get(pk=row.pk)) == waiting
    assert waiting_of(ask()).deadline_ms is None


# ---- the run, by REST


def test_a_header_names_the_run_as_the_object_job_does(acme, api):
    run = start_run(acme.tenant)
    by_header = api.submit(HELLO, Rateguard_Run=str(run.pk)).json()
    by_both = api.submit({**HELLO, "job": {"run": run.pk.hex}}, Rateguard_Run=str(run.pk)).json()
    assert by_header["run"] == by_both["run"] == str(run.pk)
    assert api.submit(HELLO).json()["run"] is None


def test_two_runs_that_differ_are_refused(acme, api):
    run = start_run(acme.tenant)
    problem = problem_of(api.submit({**HELLO, "job": {"run": str(run.pk)}}, Rateguard_Run=str(uuid.uuid4())), 400, "invalid_field")
    assert problem["errors"][0]["pointer"] == "/job/run"


@pytest.mark.parametrize("given", ["x", 5, "", ["a"]])
def test_what_is_no_id_of_a_run_is_refused(acme, api, given):
    problem = problem_of(api.submit({**HELLO, "job": {"run": given}}), 400, "invalid_field")
    assert problem["errors"][0]["pointer"] == "/job/run"
    problem_of(api.submit(HELLO, Rateguard_Run="x"), 400, "invalid_header")


def test_an_unknown_and_a_stopped_run_are_told_apart(acme, api):
    run = start_run(acme.tenant)
    stop_run(run)
    problem_of(api.submit({**HELLO, "job": {"run": str(run.pk)}}), 409, "run_stopped")
    problem_of(api.submit({**HELLO, "job": {"run": str(uuid.uuid4())}}), 400, "unknown_run")


# ---- what can never fit


@pytest.mark.parametrize("kind", ["team", "user"])
def test_a_need_above_any_limit_of_the_path_is_refused_with_its_name(acme, kind):
    Limit.objects.create(scope=scope(acme, kind, "ada"), metric="tokens", amount=50, window_ms=60_000)
    refused = refusal(**{kind: "ada"}, max_tokens=60)
    assert refused.code == "exceeds_limit"
    assert f"{kind} ada: 50 tokens per minute" in str(refused)
    ask(max_tokens=60)


def test_a_need_above_a_default_is_refused_in_the_name_of_who_has_it(acme):
    Limit.objects.create(scope=scope(acme, "user", "*"), metric="output_tokens", amount=50, window_ms=10_000)
    assert "user ada: 50 output tokens per 10 seconds" in str(refusal(user="ada", max_tokens=60))


def test_a_lane_may_need_no_more_than_is_left_to_it_beside_a_reserve(acme):
    Limit.objects.create(scope=scope(acme), metric="output_tokens", amount=100, window_ms=60_000, reserve_permille=500, reserve_lane=2)
    assert "lane normal may use 50" in str(refusal(max_tokens=60))
    ask(max_tokens=60, lane="high")
    ask(max_tokens=50)


def test_a_runs_budget_refuses_what_it_can_never_pay(acme, price):
    run = start_run(acme.tenant, name="small", budget_nano_usd=1_000)
    assert f"run small ({run.pk}): $0.000001 in total" in str(refusal(run=run))
    ask()


@pytest.fixture
def price(acme):
    from tenants.models import Price

    Price.objects.create(provider="openai", model=CHAT_MODEL, valid_from="2020-01-01T00:00Z", input_pico=1_000_000, output_pico=1_000_000)
    Price.objects.create(provider="openai", model=EMBEDDING_MODEL, valid_from="2020-01-01T00:00Z", input_pico=1, output_pico=1)


@pytest.mark.parametrize("on_exhausted", ["reject", "hold"])
def test_a_budget_that_waits_for_its_next_period_refuses_what_a_whole_period_cannot_pay(acme, price, on_exhausted):
    Budget.objects.create(scope=scope(acme), amount=1_000, period="day", on_exhausted=on_exhausted)
    assert "tenant acme: $0.000001 a day" in str(refusal())


@pytest.mark.parametrize(("amount", "is_taken"), [(1_000, True), (0, False)])
def test_a_budget_that_downgrades_takes_what_fits_its_cheaper_model(acme, price, amount, is_taken):
    cheaper = ModelRoute.objects.get(name=EMBEDDING_MODEL)
    Budget.objects.create(scope=scope(acme), amount=amount, period="day", on_exhausted="downgrade", downgrade_to=cheaper)
    assert ask().model == CHAT_MODEL if is_taken else refusal().code == "exceeds_limit"


def test_a_budget_of_tokens_counts_the_most_that_an_answer_may_have(acme):
    Budget.objects.create(scope=scope(acme), unit="tokens", amount=60, period="month")
    assert "tenant acme: 60 tokens a month" in str(refusal(max_tokens=60))
    ask(max_tokens=20)
