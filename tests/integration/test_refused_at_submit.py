"""What is not taken now: a full queue, a spent budget, no room in time. Each names what is in the way, and nothing is written."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import GateUnavailable, LimitInTheWay
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.controls.runs import start_run
from rateguard.jobs.intake import affordable, exhausted, queue_bound
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit, submit_many
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.upkeep import tidying
from tenants.keys import issue_key
from tenants.models import Budget, GateEvent, ModelRoute, Pause
from tests.api import Api
from tests.line import MODEL
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401

pytestmark = pytest.mark.django_db

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}


@pytest.fixture(autouse=True)
def as_new():
    queue_bound.forget()
    affordable.forget()
    exhausted.forget()
    yield
    queue_bound.forget()
    affordable.forget()
    exhausted.forget()


@pytest.fixture
def api(acme):
    return Api(acme.secret)


def one(acme, **fields):
    return Submission(tenant=acme.tenant, endpoint=Endpoint.CHAT, body=HELLO, **fields)


def refused(response, status, code):
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    return problem


class TestFullQueue:
    @pytest.fixture(autouse=True)
    def bound(self, acme):
        acme.tenant.max_waiting = 3
        acme.tenant.save()

    def test_the_next_job_is_refused_until_one_has_left(self, api, acme):
        jobs = [api.submit(HELLO).json()["id"] for _ in range(3)]
        problem = refused(api.submit(HELLO), 429, "queue_full")
        assert [problem[name] for name in ("scope_kind", "scope", "amount", "left", "unit")] == ["tenant", "acme", 3, 0, "jobs"]
        assert Job.objects.count() == 3
        api.post(f"/api/v1/jobs/{jobs[0]}/cancel")
        queue_bound.forget()
        assert api.submit(HELLO).status_code == 202

    def test_scheduled_jobs_wait_too_and_running_ones_do_not(self, api):
        for _ in range(3):
            api.submit({**HELLO, "job": {"run_at": "2099-01-01T00:00:00Z"}})
        refused(api.submit(HELLO), 429, "queue_full")
        Job.objects.update(state="running", attempt=1)
        queue_bound.forget()
        assert api.submit(HELLO).status_code == 202

    def test_many_are_taken_whole_or_not_at_all(self, acme):
        submit(one(acme))
        with pytest.raises(LimitInTheWay) as caught:
            submit_many([one(acme)] * 3)
        assert (caught.value.code, caught.value.left, Job.objects.count()) == ("queue_full", 2, 1)
        submit_many([one(acme)] * 2)
        with pytest.raises(LimitInTheWay, match="submit fewer at once"):
            submit_many([one(acme)] * 4)

    def test_when_to_come_again_is_told_by_how_fast_they_left_lately(self, api, acme):
        for _ in range(3):
            api.submit(HELLO)
        assert api.submit(HELLO).headers["Retry-After"] == "60"  # none has left: nobody knows
        queue_bound.forget()
        job = Job.objects.first()
        attempt = {"job": job, "tenant": acme.tenant, "model": CHAT_MODEL, "deployment_id": 1, "reserved_nano_usd": 0, "number": 1}
        tokens = {f"reserved_{name}_tokens": 1 for name in ("input", "output", "max_output")}
        Attempt.objects.bulk_create(Attempt(reservation_id=job.pk, **{**attempt, "number": n}, **tokens) for n in range(12))
        response = api.submit(HELLO)
        assert response.headers["Retry-After"] == "5"  # twelve a minute
        assert response.headers["RateLimit"] == '"tenant:acme";r=0;t=5'

    def test_a_repeated_request_is_answered_by_a_full_queue(self, api):
        first = api.submit(HELLO, Idempotency_Key="k").json()
        for _ in range(2):
            api.submit(HELLO)
        assert api.submit(HELLO, Idempotency_Key="k").json()["id"] == first["id"]

    def test_far_from_the_bound_nothing_is_counted_for_each_job(self, acme):
        acme.tenant.max_waiting = 1_000_000
        submit(one(acme))
        with CaptureQueriesContext(connection) as queries:
            for _ in range(5):
                submit(one(acme))
        assert sum("count(" in query["sql"].lower() for query in queries) <= 1


# ---- with a gate


@pytest.fixture
def caller(line):
    """Acme on a line, by REST."""
    return Api(issue_key(line.acme, "tests")[1])


def body(line_text="hello", max_tokens=20, **job):
    return {"model": MODEL, "messages": [{"role": "user", "content": line_text}], "max_tokens": max_tokens, "job": job}


def spend(line, nano_usd):
    """One job of that cost, from its submission to its end."""
    line.submit()
    line.beat()
    line.run_granted(nano_usd)


class TestSpentBudget:
    def test_what_the_rest_cannot_pay_is_a_402_that_names_the_budget_and_when_it_begins_anew(self, line, caller):
        row = line.budget(1_000_000)
        Budget.objects.filter(pk=row.pk).update(period="day")
        wiring.push_configuration()
        wiring.forget_directory()
        spend(line, 999_000)
        response = caller.submit(body())
        problem = refused(response, 402, "budget_exhausted")
        assert [problem[name] for name in ("scope_kind", "scope", "amount", "left", "unit")] == [
            "tenant",
            "acme",
            1_000_000,
            1_000,
            "nano_usd",
        ]
        assert problem["limit"] == "tenant acme: $0.001 a day"
        assert 0 < int(response.headers["Retry-After"]) <= 86_400
        assert Job.objects.count() == 1
        with pytest.raises(LimitInTheWay, match="cannot pay it"):
            line.submit_many(2)

    def test_what_begins_after_the_period_is_taken(self, line, caller):
        row = line.budget(1_000_000)
        Budget.objects.filter(pk=row.pk).update(period="day")
        wiring.push_configuration()
        wiring.forget_directory()
        spend(line, 999_000)
        refused(caller.submit(body(run_at=(timezone.now() + dt.timedelta(seconds=1)).isoformat())), 402, "budget_exhausted")
        assert caller.submit(body(run_at=(timezone.now() + dt.timedelta(hours=30)).isoformat())).status_code == 202

    def test_people_hear_once_that_all_is_spent_whoever_finds_it(self, line, caller):
        row = line.budget(1_000_000)
        Budget.objects.filter(pk=row.pk).update(thresholds=[50, 100])
        wiring.push_configuration()
        wiring.forget_directory()
        spend(line, 999_000)
        for _ in range(2):
            refused(caller.submit(body()), 402, "budget_exhausted")
            assert sorted(GateEvent.objects.values_list("subject", "value")) == [(f"b{row.pk}", 50), (f"b{row.pk}", 100)]
            tidying.collect_notices()  # the gate told of the first half

    def test_of_a_total_nobody_knows_when_it_opens(self, line, caller):
        line.budget(1_000_000)
        spend(line, 999_000)
        assert "Retry-After" not in caller.submit(body()).headers

    def test_what_only_reservations_are_in_the_way_of_waits(self, line, caller):
        line.budget(40_000)
        line.run(max_tokens=50)  # it reserves most of it, and will cost less
        assert caller.submit(body(max_tokens=50)).status_code == 202

    @pytest.mark.parametrize("on_exhausted", ["hold", "downgrade"])
    def test_a_budget_that_holds_or_downgrades_takes_what_it_cannot_pay(self, line, caller, on_exhausted):
        row = line.budget(1_000_000)
        cheaper = ModelRoute.objects.create(name="cheap") if on_exhausted == "downgrade" else None
        Budget.objects.filter(pk=row.pk).update(on_exhausted=on_exhausted, downgrade_to=cheaper)
        wiring.push_configuration()
        wiring.forget_directory()
        spend(line, 999_000)
        assert caller.submit(body()).status_code == 202

    def test_what_goes_to_a_cheaper_model_first_is_asked_of_other_budgets_there(self, line, caller):
        row = line.budget(1_000_000)
        cheap = ModelRoute.objects.create(name="cheap")
        Budget.objects.filter(pk=row.pk).update(on_exhausted="downgrade", downgrade_to=cheap, period="month")
        line.budget(1_000_001)
        wiring.push_configuration()
        wiring.forget_directory()
        spend(line, 999_000)
        assert caller.submit(body()).status_code == 202

    def test_a_runs_last_call_is_its_last(self, line, caller):
        run = start_run(line.acme, max_calls=1)
        assert caller.submit(body(run=str(run.pk))).status_code == 202
        line.beat()
        line.run_granted()
        problem = refused(caller.submit(body(run=str(run.pk))), 402, "budget_exhausted")
        assert [problem[name] for name in ("scope_kind", "scope", "amount", "left")] == ["run", str(run.pk), 1, 0]

    def test_the_gate_is_asked_only_where_there_is_a_budget_and_once_for_many(self, line, monkeypatch):
        asked = []
        inspect = line.gate.inspect
        monkeypatch.setattr(line.gate, "inspect", lambda *names: asked.append(names) or inspect(*names))
        line.submit_many(3)
        assert not asked
        line.budget(1_000_000_000)
        line.submit_many(3)
        assert len(asked) == 1

    def test_without_an_answer_of_the_gate_it_is_taken_and_the_gate_left_alone_for_a_moment(self, line, caller, monkeypatch):
        line.budget(1_000_000)
        asked = []

        def away(names):
            asked.append(names)
            raise GateUnavailable("away")

        monkeypatch.setattr(line.gate, "inspect", away)
        assert {caller.submit(body()).status_code for _ in range(3)} == {202}
        assert len(asked) == 1


class TestNoRoomInTime:
    def strictly(self, caller, seconds, **job):
        return caller.submit(body(**job), Prefer=f"handling=strict, wait={seconds}")

    def test_who_must_not_wait_is_told_what_is_in_the_way_and_until_when(self, line, caller):
        line.limit("requests", 1, 60_000)
        spend(line, 1)
        response = self.strictly(caller, 5)
        problem = refused(response, 429, "no_room_in_time")
        assert [problem[name] for name in ("scope_kind", "scope", "amount", "left")] == ["tenant", "acme", 1, 0]
        assert 50 <= int(response.headers["Retry-After"]) <= 61
        assert response.headers["RateLimit-Policy"] == '"tenant:acme";q=1;w=60'
        assert Job.objects.count() == 1

    def test_who_may_wait_so_long_or_says_nothing_of_it_waits(self, line, caller):
        line.limit("requests", 1, 60_000)
        spend(line, 1)
        assert self.strictly(caller, 62).status_code == 202
        assert caller.submit(body(), Prefer="wait=5").status_code == 202

    def test_what_others_use_too_is_named_without_figures(self, line, caller):
        line.account_limit("requests", 1, 60_000)
        spend(line, 1)
        response = self.strictly(caller, 5)
        problem = refused(response, 429, "no_room_in_time")
        assert (problem["scope_kind"], problem["amount"], problem["left"]) == ("account", None, None)
        assert "Retry-After" in response.headers

    def test_what_is_paused_without_an_end_has_no_time(self, line, caller):
        Pause.objects.create(target_kind="tenant", target=str(line.acme.pk))
        wiring.push_configuration()
        response = self.strictly(caller, 5)
        assert refused(response, 429, "no_room_in_time")["limit"] == "a pause of tenant acme"
        assert "Retry-After" not in response.headers

    def test_where_there_is_room_it_is_taken(self, line, caller):
        line.limit("requests", 100, 60_000)
        response = self.strictly(caller, 5)
        assert (response.status_code, response.headers["Preference-Applied"]) == (202, "handling=strict")

    def test_a_start_beyond_the_wait_contradicts_it(self, line, caller):
        problem = refused(self.strictly(caller, 5, run_at="2099-01-01T00:00:00Z"), 400, "invalid_field")
        assert problem["errors"][0]["pointer"] == "/job/run_at"

    def test_without_an_answer_of_the_gate_nobody_knows(self, line, caller, monkeypatch):
        def away(_path):
            raise GateUnavailable("away")

        monkeypatch.setattr(line.gate, "limits_of", away)
        refused(self.strictly(caller, 5), 503, "unavailable")
        assert not Job.objects.exists()
