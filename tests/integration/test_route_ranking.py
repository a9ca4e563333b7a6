"""The gate's lists are ranked by their model's strategy, from rows and from what the gate has seen; and explained to whoever asks."""

import collections
import contextlib
import dataclasses
import io
import json
import uuid

import pytest
from django.core.management import call_command

from rateguard import wiring
from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.errors import GateUnavailable
from rateguard.engine.gate.contract import ModelRecord, ReservationId, Settlement
from rateguard.engine.routing.contract import Mode
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job
from rateguard.jobs.upkeep.reranking import Reranking
from rateguard.worker.caretaker import RERANK_EVERY, Caretaker
from tenants.keys import issue_key
from tenants.models import Deployment, ModelRoute, ProviderAccount, RouteTarget
from tests.api import Api, problem_of
from tests.line import MODEL


@pytest.fixture
def second(line):
    """A second deployment of the model, at an account of its own."""
    account = ProviderAccount.objects.create(name="second-account", provider="sim", base_url=line.provider.base_url)
    made = Deployment.objects.create(account=account, name="second", upstream_model=MODEL, region="eu")
    RouteTarget.objects.create(route=ModelRoute.objects.get(name=MODEL), deployment=made, position=1)
    return made


@pytest.fixture
def operator(line):
    return Api(issue_key(line.tenant("house"), "ops", is_operator=True)[1])


@pytest.fixture
def api(line):
    return Api(issue_key(line.acme, "tests")[1])


def change(**fields):
    route = ModelRoute.objects.get(name=MODEL)
    for name, value in fields.items():
        setattr(route, name, value)
    route.save()


def listed(name=MODEL) -> ModelRecord:
    return next(one for one in wiring.whole_configuration().models if one.name == name)


def order(record: ModelRecord) -> list[tuple[int, int, int, int]]:
    return [(int(one.id), one.tier, one.weight, one.after_ms) for one in record.deployments]


def calls(line, count, latency_ms=None):
    """So many jobs, granted where the gate chooses and ended at once; latency_ms: by deployment's id. Where they went."""
    line.submit_many(count)
    line.beat()
    granted = []
    while len(granted) < count:
        granted += line.next_message()[0]
    for job, attempt, deployment, *_ in granted:
        took = (latency_ms or {}).get(deployment, 100)
        used = Settlement(ReservationId(uuid.UUID(job), attempt), used=True, verdict=Verdict.SUCCESS, latency_ms=took)
        process_pump().settle([(used, None)])
    line.settled()
    return collections.Counter(deployment for _, _, deployment, *_ in granted)


@contextlib.contextmanager
def written(gate, monkeypatch):
    """The lists that are written meanwhile."""
    found = []
    configure = gate.configure
    with monkeypatch.context() as patch:
        patch.setattr(gate, "configure", lambda one: found.extend(model.name for model in one.models) or configure(one))
        yield found


class TestTheList:
    def test_weights_waits_and_regions_are_what_the_gate_is_told(self, line, second):
        first = line.deployment.pk
        assert (order(listed()), listed().mode) == ([(first, 0, 1, 0), (second.pk, 0, 1, 0)], Mode.FIRST)
        change(strategy="weighted", regions=["eu"])
        RouteTarget.objects.filter(deployment=second).update(weight=3)
        assert (order(listed()), listed().mode) == ([(second.pk, 0, 3, 0), (first, 1, 1, 0)], Mode.TURNS)
        change(strategy="random", regions=[])
        RouteTarget.objects.filter(deployment=line.deployment).update(after_ms=700)
        assert (order(listed()), listed().mode) == ([(second.pk, 0, 3, 0), (first, 0, 1, 700)], Mode.LOTS)

    @pytest.mark.long
    def test_the_gate_grants_by_weight(self, line, second):
        change(strategy="weighted")
        RouteTarget.objects.filter(deployment=second).update(weight=3)
        assert calls(line, 8) == {line.deployment.pk: 2, second.pk: 6}

    @pytest.mark.long
    def test_without_a_gate_all_look_alike(self, line, second, monkeypatch):
        def away(_limits):
            raise GateUnavailable("away")

        change(strategy="balanced")
        monkeypatch.setattr(line.gate, "inspect", away)
        assert [weight for _, _, weight, _ in order(listed())] == [1_000, 1_000]

    @pytest.mark.long
    def test_what_is_full_loses_its_turns_when_the_next_change_is_written(self, line, second):
        line.account_limit("requests", 10)
        change(strategy="least_utilized")
        assert [weight for _, _, weight, _ in order(listed())] == [1_000, 1_000]
        went = calls(line, 8)
        assert order(listed()) == [(line.deployment.pk, 0, 1_000 - 100 * went[line.deployment.pk], 0), (second.pk, 0, 1_000, 0)]


class TestTheCaretaker:
    def test_a_slow_deployment_loses_its_turns(self, line, second):
        reranking, first = Reranking(), line.deployment.pk
        change(strategy="lowest_latency")
        assert calls(line, 16, {first: 100, second.pk: 1_000}) == {first: 8, second.pk: 8}
        assert reranking.go_on(line.gate) == 1
        went = calls(line, 40, {first: 100, second.pk: 1_000})
        assert went[first] >= 39

    @pytest.mark.long
    def test_only_lists_that_changed_are_written_and_another_version_writes_them_again(self, line, second, monkeypatch):
        ModelRoute.objects.create(name="plain")
        change(strategy="lowest_latency")
        calls(line, 4)
        reranking = Reranking()
        with written(line.gate, monkeypatch) as lists:
            assert [reranking.go_on(line.gate) for _ in range(3)] == [1, 0, 0]
            calls(line, 16, {second.pk: 900})
            assert reranking.go_on(line.gate) == 1
            assert lists == [MODEL, MODEL]
            ModelRoute.objects.create(name="another")
            lists.clear()
            assert reranking.go_on(line.gate) == 1
            reranking.forget()
            assert reranking.go_on(line.gate) == 1
        assert set(lists) == {MODEL}

    @pytest.mark.long
    def test_a_round_of_the_caretaker_ranks_anew(self, line, second):
        change(strategy="lowest_latency")
        caretaker = Caretaker(line.gate, process_pump(), "w1", 1)
        assert caretaker._has_lease()
        caretaker.round()
        first = line.deployment.pk
        assert calls(line, 16, {first: 100, second.pk: 1_000}) == {first: 8, second.pk: 8}
        Job.objects.all().delete()
        for _ in range(RERANK_EVERY):
            caretaker.round()
        assert calls(line, 40)[first] >= 39

    def test_where_no_model_needs_it_nobody_asks_the_gate(self, line, monkeypatch):
        monkeypatch.setattr(line.gate, "inspect", None)
        assert Reranking().go_on(line.gate) == 0
        assert listed().mode is Mode.FIRST

    @pytest.mark.long
    def test_rows_that_are_newer_than_the_directory_wait_for_the_next_round(self, line, second, monkeypatch):
        change(strategy="balanced")
        old = dataclasses.replace(wiring.directory(), version=1)
        monkeypatch.setattr(wiring, "directory", lambda: old)
        assert Reranking().go_on(line.gate) == 0


class TestExplained:
    def test_the_one_that_is_asked_first_is_named_with_what_closes_the_others(self, line, second, operator):
        line.account_limit("requests", 1)
        went = calls(line, 1)
        assert went == {line.deployment.pk: 1}
        found = operator.get(f"/api/v1/routes/{MODEL}/explain").json()
        assert (found["strategy"], found["mode"], found["list"]) == ("ordered", "first", MODEL)
        one, two = found["deployments"]
        assert (one["deployment"], one["open"], one["closed_by"]["kind"], one["closed_by"]["scope"]) == (
            "sim-1",
            False,
            "limit",
            {"kind": "account", "id": "sim"},
        )
        assert one["closed_by"]["wait_ms"] > 0
        assert (one["statistics"]["calls"], one["statistics"]["latency_ms"]) == (1, 100)
        assert (two["deployment"], two["open"], two["share_permille"], two["statistics"]) == ("second", True, 1_000, None)
        assert found["choice"] == {"deployment": "second", "why": "the first with room"}

    @pytest.mark.long
    def test_turns_are_told_as_shares_and_a_session_has_its_home(self, line, second, operator):
        change(strategy="weighted", is_sticky=True)
        RouteTarget.objects.filter(deployment=second).update(weight=3)
        found = operator.get(f"/api/v1/routes/{MODEL}/explain").json()
        assert [one["share_permille"] for one in found["deployments"]] == [250, 750]
        assert found["choice"] == {"deployment": "second", "why": "by turns: 750 of 1000"}
        homes = {operator.get(f"/api/v1/routes/{MODEL}/explain?session={name}").json()["session_stays_at"] for name in range(12)}
        assert homes == {"sim-1", "second"}
        found = operator.get(f"/api/v1/routes/{MODEL}/explain?session=7").json()
        assert found["choice"] == {"deployment": found["session_stays_at"], "why": "the session stays here"}

    @pytest.mark.long
    def test_overflow_is_no_choice_for_what_has_just_come_and_nobody_may_have_room(self, line, second, operator):
        RouteTarget.objects.filter(deployment=second).update(after_ms=5_000)
        line.gate.sync((), ())
        line.account_limit("requests", 1)
        calls(line, 1)
        found = operator.get(f"/api/v1/routes/{MODEL}/explain").json()
        assert [(one["open"], one["after_ms"]) for one in found["deployments"]] == [(False, 0), (True, 5_000)]
        assert found["choice"] is None
        Deployment.objects.filter(pk=line.deployment.pk).update(is_enabled=False)
        assert operator.get(f"/api/v1/routes/{MODEL}/explain").json()["choice"]["deployment"] == "second", "nobody is left to wait for"

    def test_a_tenant_sees_its_own_list_and_nothing_that_others_use_shows(self, line, second, api, operator):
        change(strategy="least_utilized")
        line.account_limit("requests", 1)
        calls(line, 2)
        text = api.get(f"/api/v1/routes/{MODEL}/explain").content.decode()
        found = json.loads(text)
        assert "second-account" not in text
        assert '"id":"sim"' not in text
        for one in found["deployments"]:
            assert (one["weight"], one["score"], one["why"], one["share_permille"], one["statistics"]) == (None,) * 5
        assert [one["open"] for one in found["deployments"]] == [False, True]
        assert found["choice"]["deployment"] == "second"
        other = line.tenant("globex")
        ProviderAccount.objects.filter(name="second-account").update(tenant=other)
        assert [one["deployment"] for one in api.get(f"/api/v1/routes/{MODEL}/explain").json()["deployments"]] == ["sim-1"]
        theirs = operator.get(f"/api/v1/routes/{MODEL}/explain?tenant=globex").json()
        assert (theirs["list"], len(theirs["deployments"])) == (f"{MODEL}@{other.pk}", 2)
        shared = operator.get(f"/api/v1/routes/{MODEL}/explain").json()
        assert (found["own_lists_of"], shared["own_lists_of"], len(shared["deployments"])) == (None, ["globex"], 1)
        problem_of(api.get(f"/api/v1/routes/{MODEL}/explain?tenant=globex"), 403, "forbidden")
        ProviderAccount.objects.update(tenant=other)
        problem_of(api.get(f"/api/v1/routes/{MODEL}/explain"), 404, "not_found")
        nobody = operator.get(f"/api/v1/routes/{MODEL}/explain").json()
        assert (nobody["deployments"], nobody["choice"], nobody["own_lists_of"]) == ([], None, ["globex"])

    @pytest.mark.long
    def test_what_is_not_there_or_not_allowed_is_not_found(self, line, api):
        named = Api(issue_key(line.acme, "narrow", allowed_models=["other"])[1])
        for who, path in ((api, "none/explain"), (named, f"{MODEL}/explain")):
            problem_of(who.get(f"/api/v1/routes/{path}"), 404, "not_found")
        problem_of(api.get(f"/api/v1/routes/{MODEL}/explain?sesion=x"), 400, "invalid_parameter")

    @pytest.mark.long
    def test_the_shell_explains_in_words(self, line, second):
        change(regions=["eu"])
        out = io.StringIO()
        call_command("model", "explain", MODEL, stdout=out)
        assert out.getvalue().splitlines() == [
            f"{MODEL}: ordered, the first with room of the first tier that has room",
            "  regions: eu",
            "  second: tier 0; weight 1; place 2 of the order; open",
            "  sim-1: tier 1; weight 1; place 1 of the order; open",
            "  hedged in the critical lane: no; sticky: no",
            "asked first: second (the first with room)",
        ]
