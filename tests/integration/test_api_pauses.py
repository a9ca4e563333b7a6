"""The door for pauses: who may stop what, and what a pause says. That it stops anything: test_pausing.py."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt
import uuid

import pytest
from django.utils import timezone

from rateguard.jobs.controls.runs import start_run
from rateguard.jobs.models import Attempt
from tenants.keys import issue_key
from tenants.models import Deployment, Pause
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(acme):
    return Api(acme.secret)


@pytest.fixture
def operator(acme):
    """A key of another tenant with the operator flag."""
    return Api(issue_key(add_tenant("house").tenant, "ops", is_operator=True)[1])


@pytest.fixture
def run(acme):
    return start_run(acme.tenant, name="research")


def attempt(tenant, deployment=None):
    """An attempt under way."""
    row = deployment or Deployment.objects.first()
    reserved = dict.fromkeys(("reserved_input_tokens", "reserved_output_tokens", "reserved_max_output_tokens", "reserved_nano_usd"), 1)
    named = {"model": CHAT_MODEL, "deployment_id": row.pk, "deployment": row.name, "holder": "w1"}
    return Attempt.objects.create(reservation_id=uuid.uuid4(), number=1, tenant=tenant, **named, **reserved)


class TestAnOperator:
    @pytest.mark.parametrize(
        ("kind", "target", "kept"),
        [
            ("all", "", ""),
            ("tenant", "acme", "{tenant}"),
            ("lane", "low", "low"),
            ("model", CHAT_MODEL, CHAT_MODEL),
            ("deployment", "gpt-5-4-mini", "{deployment}"),
            ("account", "main", "{account}"),
            ("run", "{run}", "{run_hex}"),
        ],
    )
    def test_pauses_anything_by_the_name_that_people_use_and_resumes_it(self, operator, acme, run, kind, target, kept):
        deployment = Deployment.objects.get(name="gpt-5-4-mini")
        names = {
            "tenant": acme.tenant.pk,
            "deployment": deployment.pk,
            "account": deployment.account_id,
            "run": run.pk,
            "run_hex": run.pk.hex,
        }
        response = operator.post("/api/v1/pauses", {"target_kind": kind, "target": target.format(**names), "reason": "a fire"})
        assert response.status_code == 201, response.json()
        row = Pause.objects.get()
        assert (row.target_kind, row.target, row.reason, row.created_by[:7]) == (kind, kept.format(**names), "a fire", "key rg_")
        assert operator.get(response.headers["Location"]).json() == response.json()
        gone = operator.delete(response.headers["Location"])
        assert (gone.status_code, gone.content) == (204, b"")  # a body would be the beginning of the next answer
        assert not Pause.objects.exists()

    def test_a_number_names_what_has_no_such_name(self, operator):
        deployment = Deployment.objects.first()
        operator.post("/api/v1/pauses", {"target_kind": "deployment", "target": str(deployment.pk)})
        assert Pause.objects.get().target == str(deployment.pk)

    def test_pausing_again_replaces_the_old_pause(self, operator):
        first = operator.post("/api/v1/pauses", {"target_kind": "lane", "target": "low", "reason": "a"}).json()
        again = operator.post("/api/v1/pauses", {"target_kind": "lane", "target": "low", "reason": "b", "until": 60}).json()
        assert (first["id"], again["reason"], Pause.objects.count()) == (again["id"], "b", 1)

    def test_a_pause_ends_at_a_time_or_after_a_while(self, operator):
        later = "2099-01-31T12:00:00Z"
        assert operator.post("/api/v1/pauses", {"target_kind": "all", "until": later}).json()["until"] == later
        operator.post("/api/v1/pauses", {"target_kind": "all", "until": 90})
        assert abs(Pause.objects.get().until - timezone.now() - dt.timedelta(seconds=90)) < dt.timedelta(seconds=10)

    def test_a_pause_whose_time_has_passed_is_no_more(self, operator):
        path = operator.post("/api/v1/pauses", {"target_kind": "all", "until": 90}).headers["Location"]
        Pause.objects.update(until=timezone.now() - dt.timedelta(seconds=1))
        assert operator.get("/api/v1/pauses").json()["data"] == []
        problem_of(operator.get(path), 404, "not_found")

    def test_a_drain_says_at_once_how_many_still_run(self, operator, acme):
        attempt(acme.tenant)
        attempt(acme.tenant, Deployment.objects.last())
        pausing = {"target_kind": "tenant", "target": "acme"}
        response = operator.post("/api/v1/pauses", {**pausing, "drain": True})
        assert (response.status_code, response.json()["running"]) == (202, 2)
        assert operator.post("/api/v1/pauses", pausing).status_code == 201
        Attempt.objects.update(state="succeeded")
        assert operator.get(response.headers["Location"]).json()["running"] == 0
        assert operator.post("/api/v1/pauses", {**pausing, "drain": True}).status_code == 201

    def test_only_what_is_the_targets_counts_as_running(self, operator, acme):
        first, last = Deployment.objects.first(), Deployment.objects.last()
        attempt(acme.tenant, first)
        attempt(add_tenant("other").tenant, last)

        def running(kind, target=""):
            return operator.post("/api/v1/pauses", {"target_kind": kind, "target": target}).json()["running"]

        assert (running("all"), running("tenant", "acme"), running("deployment", first.name), running("account", "main")) == (2, 1, 1, 2)
        assert (running("model", CHAT_MODEL), running("lane", "low")) == (2, 0)

    def test_all_pauses_are_listed(self, operator, run):
        for kind, target in (("all", ""), ("tenant", "acme"), ("run", str(run.pk))):
            operator.post("/api/v1/pauses", {"target_kind": kind, "target": target})
        assert [one["target_kind"] for one in operator.get("/api/v1/pauses").json()["data"]] == ["all", "tenant", "run"]


class TestATenant:
    def test_pauses_and_resumes_its_own_run(self, api, acme, run):
        response = api.post("/api/v1/pauses", {"target_kind": "run", "target": str(run.pk)})
        assert (response.status_code, response.json()["target"]) == (201, run.pk.hex)
        assert api.get(response.headers["Location"]).json()["created_by"] == f"key {acme.key.prefix}"
        assert [one["id"] for one in api.get("/api/v1/pauses").json()["data"]] == [response.json()["id"]]
        assert api.delete(response.headers["Location"]).status_code == 204

    @pytest.mark.parametrize(("kind", "target"), [("all", ""), ("tenant", "acme"), ("lane", "low"), ("model", CHAT_MODEL)])
    def test_pauses_nothing_else(self, api, kind, target):
        problem = problem_of(api.post("/api/v1/pauses", {"target_kind": kind, "target": target}), 403, "forbidden")
        assert "operator flag" in problem["detail"]
        assert not Pause.objects.exists()

    def test_sees_its_own_pause_and_cannot_lift_it(self, api, operator):
        path = operator.post("/api/v1/pauses", {"target_kind": "tenant", "target": "acme"}).headers["Location"]
        told = api.get(path).json()
        assert (told["reason"], told["created_by"]) == ("", "an operator")
        problem_of(api.delete(path), 403, "forbidden")
        assert Pause.objects.exists()

    def test_another_tenants_run_and_its_pause_do_not_exist(self, run, operator):
        path = operator.post("/api/v1/pauses", {"target_kind": "run", "target": str(run.pk)}).headers["Location"]
        other = Api(add_tenant("other").secret)
        problem_of(other.get(path), 404, "not_found")
        problem_of(other.delete(path), 404, "not_found")
        ids = [str(run.pk), str(uuid.uuid4())]
        refused = [other.post("/api/v1/pauses", {"target_kind": "run", "target": one}) for one in ids]
        said = [problem_of(one, 400, "unknown_target")["detail"] for one in refused]
        assert said[0].replace(ids[0], "") == said[1].replace(ids[1], "")
        assert other.get("/api/v1/pauses").json()["data"] == []

    def test_what_concerns_everybody_is_not_listed(self, api, operator):
        operator.post("/api/v1/pauses", {"target_kind": "all", "reason": "tenant x misbehaves"})
        assert api.get("/api/v1/pauses").json()["data"] == []


BAD = [
    ({}, "invalid_field", "/target_kind"),
    ({"target_kind": "planet"}, "invalid_field", "/target_kind"),
    ({"target_kind": ["all"]}, "invalid_field", "/target_kind"),
    ({"target_kind": "all", "target": "x"}, "unknown_target", "/target"),
    ({"target_kind": "tenant"}, "unknown_target", "/target"),
    ({"target_kind": "tenant", "target": "nobody"}, "unknown_target", "/target"),
    ({"target_kind": "tenant", "target": str(2**63)}, "unknown_target", "/target"),
    ({"target_kind": "tenant", "target": 5}, "invalid_field", "/target"),
    ({"target_kind": "tenant", "target": "a\0"}, "invalid_field", "/target"),
    ({"target_kind": "lane", "target": "3"}, "unknown_target", "/target"),
    ({"target_kind": "run", "target": "x"}, "unknown_target", "/target"),
    ({"target_kind": "all", "until": "2020-01-01T00:00:00Z"}, "invalid_field", "/until"),
    ({"target_kind": "all", "until": "2099-01-01T00:00:00"}, "invalid_field", "/until"),
    ({"target_kind": "all", "until": 0}, "invalid_field", "/until"),
    ({"target_kind": "all", "until": True}, "invalid_field", "/until"),
    ({"target_kind": "all", "until": 1e300}, "invalid_field", "/until"),
    ({"target_kind": "all", "reason": "x" * 256}, "invalid_field", "/reason"),
    ({"target_kind": "all", "drain": "yes"}, "invalid_field", "/drain"),
    ({"target_kind": "all", "untill": 5}, "unknown_field", "/untill"),
]


@pytest.mark.parametrize(("body", "code", "pointer"), BAD)
def test_a_pause_that_cannot_be_is_refused_by_its_field(operator, body, code, pointer):
    problem = problem_of(operator.post("/api/v1/pauses", body), 400, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert not Pause.objects.exists()


@pytest.mark.parametrize("pause_id", ["0", str(2**63), "9" * 40])
def test_a_pause_that_is_not_there_is_not_found(operator, pause_id):
    problem_of(operator.delete(f"/api/v1/pauses/{pause_id}"), 404, "not_found")
