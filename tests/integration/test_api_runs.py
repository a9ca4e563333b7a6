"""The door for runs: start, look, stop. What the gate says of a run: test_limits_in_effect.py."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import uuid

import pytest

from rateguard.jobs.controls.runs import start_run
from rateguard.jobs.models import Job
from tenants.keys import issue_key
from tenants.models import Run
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}


@pytest.fixture
def api(acme):
    return Api(acme.secret)


class TestStart:
    def test_a_run_has_the_bounds_that_were_asked_for(self, api, acme):
        asked = {"name": "research", "budget_usd": 2.5, "max_calls": 80, "deadline": "2099-01-31T12:00:00Z"}
        response = api.post("/api/v1/runs", asked)
        run = response.json()
        assert (response.status_code, response.headers["Location"]) == (201, f"/api/v1/runs/{run['id']}")
        assert {name: run[name] for name in asked} == {**asked, "budget_usd": "2.500000000"}
        assert (run["object"], run["status"], run["parent"], run["stopped_at"]) == ("run", "open", None, None)
        assert Run.objects.get(pk=run["id"]).tenant == acme.tenant

    def test_a_run_may_lie_in_another_of_the_tenant(self, api):
        outer = api.post("/api/v1/runs", {}).json()
        assert api.post("/api/v1/runs", {"parent": outer["id"]}).json()["parent"] == outer["id"]

    @pytest.mark.parametrize(("text", "nano_usd"), [("0.000000001", 1), (2, 2 * 10**9), (0, 0), ("1e-3", 10**6), (9_000_000, 9 * 10**15)])
    def test_dollars_are_exact(self, api, text, nano_usd):
        assert Run.objects.get(pk=api.post("/api/v1/runs", {"budget_usd": text}).json()["id"]).budget_nano_usd == nano_usd

    def test_another_tenants_run_is_no_parent(self, api):
        foreign = start_run(add_tenant("other").tenant)
        for parent in (foreign.pk, uuid.uuid4()):
            problem = problem_of(api.post("/api/v1/runs", {"parent": str(parent)}), 400, "unknown_run")
            assert problem["errors"][0]["pointer"] == "/parent"


BAD = [
    ({"budget_usd": -1}, "invalid_field", "/budget_usd"),
    ({"budget_usd": "0.0000000001"}, "invalid_field", "/budget_usd"),
    ({"budget_usd": "nan"}, "invalid_field", "/budget_usd"),
    ({"budget_usd": "Infinity"}, "invalid_field", "/budget_usd"),
    ({"budget_usd": "sNaN"}, "invalid_field", "/budget_usd"),
    ({"budget_usd": True}, "invalid_field", "/budget_usd"),
    ({"budget_usd": [2]}, "invalid_field", "/budget_usd"),
    ({"budget_usd": "1" * 10_000}, "invalid_field", "/budget_usd"),
    ({"budget_usd": 9_000_001}, "invalid_field", "/budget_usd"),
    ({"max_calls": 1.5}, "invalid_field", "/max_calls"),
    ({"max_calls": -1}, "invalid_field", "/max_calls"),
    ({"max_calls": 2**63}, "invalid_field", "/max_calls"),
    ({"deadline": "2020-01-01T00:00:00Z"}, "deadline_passed", "/deadline"),
    ({"deadline": "tomorrow"}, "invalid_field", "/deadline"),
    ({"deadline": 0}, "invalid_field", "/deadline"),
    ({"name": "x" * 129}, "invalid_field", "/name"),
    ({"name": "a\0"}, "invalid_field", "/name"),
    ({"parent": "x"}, "invalid_field", "/parent"),
    ({"parent": 7}, "invalid_field", "/parent"),
    ({"budget": 7}, "unknown_field", "/budget"),
]


@pytest.mark.parametrize(("body", "code", "pointer"), BAD)
def test_a_run_that_cannot_be_is_refused_by_its_field(api, body, code, pointer):
    problem = problem_of(api.post("/api/v1/runs", body), 400, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert ("dollars" in problem["detail"]) == (pointer == "/budget_usd")
    assert not Run.objects.exists()


class TestLook:
    def test_a_tenant_lists_its_own_the_newest_first(self, api, acme):
        start_run(add_tenant("other").tenant)
        first, second = (api.post("/api/v1/runs", {"name": name}).json() for name in ("a", "b"))
        api.post(f"/api/v1/runs/{first['id']}/stop")
        assert [run["name"] for run in api.get("/api/v1/runs").json()["data"]] == ["b", "a"]
        assert api.get("/api/v1/runs?status=open").json()["data"] == [second]
        assert len(api.get("/api/v1/runs?limit=1").json()["data"]) == 1
        for query in ("status=late", "limit=0", "limit=201", "x=1"):
            problem_of(api.get(f"/api/v1/runs?{query}"), 400, "invalid_parameter")

    def test_the_tree_tells_runs_and_jobs_with_what_they_cost(self, api, acme):
        outer, inner = self._two(api)
        mine = api.submit({**HELLO, "job": {"run": outer}}).json()
        Job.objects.filter(pk=api.submit({**HELLO, "job": {"run": inner}}).json()["id"]).update(nano_usd=1_500_000_000)
        tree = api.get(f"/api/v1/runs/{outer}").json()
        assert (tree["cost_usd"], tree["cost_nano_usd"], tree["calls"], tree["job_count"]) == ("1.500000000", 1_500_000_000, 0, 1)
        assert [job["id"] for job in tree["jobs"]] == [mine["id"]]
        (inside,) = tree["runs"]
        assert (inside["id"], inside["parent"], inside["cost_usd"], inside["job_count"]) == (inner, outer, "1.500000000", 1)
        assert (tree["left_usd"], tree["left_calls"]) == (None, None)

    def test_another_tenants_run_does_not_exist(self, api):
        foreign = start_run(add_tenant("other").tenant)
        for action in (api.get, lambda path: api.post(f"{path}/stop")):
            problem_of(action(f"/api/v1/runs/{foreign.pk}"), 404, "not_found")
            problem_of(action(f"/api/v1/runs/{uuid.uuid4()}"), 404, "not_found")

    def test_an_operator_sees_every_run(self, api, acme):
        outer, _ = self._two(api)
        operator = Api(issue_key(add_tenant("house").tenant, "ops", is_operator=True)[1])
        assert operator.get(f"/api/v1/runs/{outer}").json()["id"] == outer

    @staticmethod
    def _two(api):
        outer = api.post("/api/v1/runs", {"name": "outer"}).json()["id"]
        return outer, api.post("/api/v1/runs", {"name": "inner", "parent": outer}).json()["id"]


class TestStop:
    def test_a_stopped_run_takes_no_more_and_stays_stopped(self, api):
        run = api.post("/api/v1/runs", {}).json()
        inner = api.post("/api/v1/runs", {"parent": run["id"]}).json()
        stopped = api.post(f"/api/v1/runs/{run['id']}/stop")
        assert (stopped.status_code, stopped.json()["status"]) == (200, "stopped")
        assert api.post(f"/api/v1/runs/{run['id']}/stop").json() == stopped.json()
        assert api.get(f"/api/v1/runs/{inner['id']}").json()["status"] == "stopped"
        problem_of(api.submit({**HELLO, "job": {"run": run["id"]}}), 409, "run_stopped")
