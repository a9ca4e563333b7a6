"""POST estimate: tokens, cost and what is in the way, as submit would have it, and nothing is written. GET models: what a key may use."""

import pytest
from django.apps import apps

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.jobs.intake import affordable, queue_bound
from tenants.keys import issue_key
from tenants.models import Deployment, ModelRoute, Price, ProviderAccount, RouteTarget, Tenant
from tests.api import Api, problem_of

ASK = {"model": "sim-1", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
DEARER = {"input_pico": 1_000_000, "output_pico": 2_000_000}


@pytest.fixture
def api(line):
    affordable.forget()
    queue_bound.forget()
    return Api(issue_key(line.acme, "tests")[1])


def add_deployment(line, name, **prices):
    deployment = Deployment.objects.create(account=line.account, name=name, upstream_model=name)
    Price.objects.create(provider="sim", model=name, valid_from="2020-01-01T00:00Z", **prices)
    RouteTarget.objects.create(route=ModelRoute.objects.get(name="sim-1"), deployment=deployment, position=1)
    wiring.forget_directory()
    return deployment


def estimated(api, body):
    response = api.post("/api/v1/estimate", body)
    assert response.status_code == 200, response.json()
    return response.json()


def counts():
    return {model._meta.label: model.objects.count() for model in apps.get_models()}


class TestEstimate:
    def test_it_says_what_a_submitted_job_then_needs_and_writes_nothing(self, line, api):
        before = counts()
        told = estimated(api, ASK)
        assert counts() == before

        api.submit(ASK)
        job = line.acme.jobs.get()
        assert (told["input_tokens"], told["output_tokens"]) == (job.input_tokens, {"expected": job.output_tokens, "most": 100})
        assert (told["model"], told["lane"], told["path"], told["fits"]) == ("sim-1", "normal", job.path, True)

    def test_the_cost_goes_from_the_cheapest_deployment_to_the_dearest(self, line, api):
        add_deployment(line, "sim-dear", **DEARER)
        told = estimated(api, ASK)
        inputs = told["input_tokens"]
        assert told["cost_nano_usd"] == {
            "low": (inputs * 150_000 + 100 * 600_000) // 1000,
            "high": (inputs * 1_000_000 + 100 * 2_000_000) // 1000,
        }
        assert told["cost_usd"]["high"] == f"0.{told['cost_nano_usd']['high']:09d}"
        assert told["priced"] is True
        assert [place["deployment"] for place in told["deployments"]] == ["sim-1", "sim-dear"]

    def test_it_names_the_limit_in_the_way_and_when_there_is_room(self, line, api):
        line.limit("requests", 1, 60_000)
        assert estimated(api, ASK)["binding"]["wait_ms"] == 0
        line.run()
        told = estimated(api, ASK)
        assert (told["fits"], told["refusal"]) == (False, None)
        assert told["binding"]["scope"] == {"kind": "tenant", "id": "acme"}
        assert 0 < told["binding"]["wait_ms"] <= 61_000
        assert told["limits"][0]["left"] == 0

    def test_a_spent_budget_and_a_full_queue_are_told_not_refused(self, line, api):
        most = estimated(api, ASK)["cost_nano_usd"]["high"]
        line.budget(most)
        line.submit(max_tokens=100)
        line.beat()
        line.run_granted(nano_usd=most)
        told = estimated(api, ASK)
        assert (told["fits"], told["refusal"]["code"], told["refusal"]["scope"]) == (False, "budget_exhausted", "acme")
        assert (api.submit(ASK).status_code, api.submit(ASK).json()["detail"]) == (402, told["refusal"]["detail"])

    def test_a_queue_that_is_full_is_told(self, line, api):
        Tenant.objects.filter(pk=line.acme.pk).update(max_waiting=1)
        line.submit()
        queue_bound.forget()
        told = estimated(api, ASK)
        assert (told["fits"], told["refusal"]["code"], told["refusal"]["scope_kind"]) == (False, "queue_full", "tenant")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"model": "gone"},
            {"messages": []},
            {"max_tokens": 0},
            {"job": {"lane": "urgent"}},
            {"job": {"user": "a\nb", "deadline": "2001-01-01T00:00:00Z"}},
            {"job": {"run": "01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e"}},
            {"job": {"colour": "red"}},
            {"input": "both"},
        ],
    )
    def test_what_submit_refuses_is_refused_alike(self, api, wrong):
        body = {**ASK, **wrong}
        submitted, told = api.submit(body), api.post("/api/v1/estimate", body)
        assert told.status_code == submitted.status_code >= 400
        assert {**told.json(), "request_id": ""} == {**submitted.json(), "request_id": ""}

    def test_a_request_beyond_a_whole_limit_is_refused_alike(self, line, api):
        line.limit("tokens", 50)
        assert problem_of(api.post("/api/v1/estimate", ASK), 400, "exceeds_limit")["detail"] == api.submit(ASK).json()["detail"]

    def test_a_keys_rules_hold_and_reading_is_enough(self, line):
        _, secret = issue_key(line.acme, "narrow", permissions=["read"], default_lane=Lane.LOW, bound={"team": "ml"})
        told = estimated(Api(secret), ASK)
        assert (told["lane"], told["path"]) == ("low", f"{line.acme.pk}|team:ml|{told['path'].rpartition('|')[2]}")
        _, none = issue_key(line.acme, "none", permissions=["submit"])
        problem_of(Api(none).post("/api/v1/estimate", ASK), 403, "forbidden")


class TestModels:
    def test_a_model_is_shown_with_deployments_prices_and_facts(self, line, api):
        Price.objects.filter(model="sim-1").update(details={"kind": "chat", "context_tokens": 8_000, "max_output_tokens": None})
        add_deployment(line, "sim-dear", **DEARER)
        (model,) = api.get("/api/v1/models").json()["data"]
        assert (model["id"], model["endpoints"], model["context_tokens"], model["max_output_tokens"]) == ("sim-1", ["chat"], 8_000, None)
        price = {"input_usd": "1", "cached_input_usd": "0", "cache_write_usd": "0", "output_usd": "2"}
        assert model["deployments"][1] == {"deployment": "sim-dear", "open": True, "price": price}
        assert (model["open"], api.get("/api/v1/models/sim-1").json()["id"]) == (True, "sim-1")

    def test_a_key_sees_what_it_may_use_and_no_other_tenants_own(self, line, api):
        theirs = ProviderAccount.objects.create(
            name="theirs", provider="sim", base_url="http://127.0.0.1:1", credentials="sk", tenant=Tenant.objects.create(name="other")
        )
        for name, account in (("theirs", theirs), ("more", line.account)):
            deployment = Deployment.objects.create(account=account, name=name, upstream_model=name)
            RouteTarget.objects.create(route=ModelRoute.objects.create(name=name), deployment=deployment)
        wiring.forget_directory()
        narrow = Api(issue_key(line.acme, "narrow", allowed_models=["more"])[1])

        assert [model["id"] for model in api.get("/api/v1/models").json()["data"]] == ["more", "sim-1"]
        assert [model["id"] for model in narrow.get("/api/v1/models").json()["data"]] == ["more"]
        for caller, name in ((api, "theirs"), (narrow, "sim-1"), (api, "gone"), (api, "a/b%00")):
            problem_of(caller.get(f"/api/v1/models/{name}"), 404, "not_found")

    def test_a_paused_model_is_not_open(self, line, api):
        operator = Api(issue_key(line.acme, "ops", is_operator=True)[1])
        assert operator.post("/api/v1/pauses", {"target_kind": "model", "target": "sim-1"}).status_code == 201
        assert api.get("/api/v1/models/sim-1").json()["open"] is False
