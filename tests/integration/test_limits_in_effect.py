"""Which limit is in my way: what the doors say of limits agrees with what the gate does, and tells nobody of others."""

import contextlib
import datetime as dt
import json

import pytest
from django.core.management import call_command
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.gate.contract import Cooldown, ReservationId, Settlement
from rateguard.engine.limits.limit import MAX_AMOUNT
from rateguard.jobs.controls.pauses import pause, resume
from rateguard.jobs.controls.runs import start_run, stop_run
from rateguard.jobs.line.pump import process_pump
from tenants.keys import issue_key
from tenants.models import Budget, Limit, ModelRoute, ProviderAccount, Scope
from tests.api import Api, problem_of
from tests.line import HOUR_MS, MODEL

MINUTE_MS = 60_000


@pytest.fixture
def api(line):
    return Api(issue_key(line.acme, "tests")[1])


@pytest.fixture
def operator(line):
    return Api(issue_key(line.tenant("house"), "ops", is_operator=True)[1])


def limits_in(response):
    assert response.status_code == 200, response.json()
    return {one["id"]: one for one in response.json()["limits"]}


def binding_of(response):
    return response.json()["request"]["binding"]


@contextlib.contextmanager
def calls_of(gate, monkeypatch):
    """What is sent to the gate's server meanwhile."""
    sent = []
    ask = gate._client.execute_command
    with monkeypatch.context() as patch:
        patch.setattr(gate._client, "execute_command", lambda *command, **more: sent.append(command[0]) or ask(*command, **more))
        yield sent


class TestTheCaller:
    def test_every_limit_on_the_path_is_told_with_what_is_left(self, line, api):
        mine = line.limit("requests", 10)
        each = Scope.objects.create(tenant=line.acme, kind="user", name="*")
        default = Limit.objects.create(scope=each, metric="requests", amount=3, window_ms=HOUR_MS)
        line.run(user="ada")
        found = limits_in(api.get("/api/v1/limits?user=ada"))
        assert list(found) == [f"l{mine.pk}", f"l{default.pk}@user:ada"]
        own, ada = found.values()
        assert (own["scope"], own["amount"], own["used"], own["left"]) == ({"kind": "tenant", "id": "acme"}, 10, 1, 9)
        assert (ada["scope"], ada["amount"], ada["used"], ada["left"]) == ({"kind": "user", "id": "ada"}, 3, 1, 2)
        assert (own["kind"], own["metric"], own["unit"], own["window_ms"]) == ("window", "requests", "requests", HOUR_MS)
        assert limits_in(api.get("/api/v1/limits?user=eve"))[f"l{default.pk}@user:eve"]["left"] == 3

    def test_a_full_window_says_when_it_opens(self, line, api):
        line.limit("requests", 1, MINUTE_MS)
        line.run()
        (found,) = limits_in(api.get("/api/v1/limits")).values()
        assert found["left"] == 0
        assert 0 < found["next_ms"] <= MINUTE_MS + 1_000
        assert dt.datetime.fromisoformat(found["next_at"]) > timezone.now()
        assert 0 <= found["next_ms"] - binding_of(api.get("/api/v1/limits"))["wait_ms"] < 5_000

    def test_money_is_told_with_what_is_reserved(self, line, api):
        line.budget(10**9)
        claimed = line.run()
        (found,) = limits_in(api.get("/api/v1/limits")).values()
        assert (found["kind"], found["metric"], found["unit"], found["on_exhausted"]) == ("budget", "cost", "nano_usd", "reject")
        assert found["used"] == found["reserved"] > 0
        assert found["left"] == 10**9 - found["used"]
        line.end_in_gate(claimed, 400_000_000)
        (found,) = limits_in(api.get("/api/v1/limits")).values()
        assert (found["reserved"], found["left"], found["left_usd"]) == (0, 600_000_000, "0.600000000")

    def test_a_budget_says_when_its_period_ends_and_what_happens_at_its_end(self, line, api):
        cheaper = ModelRoute.objects.create(name="small")
        more = {"period": "day", "on_exhausted": "downgrade", "downgrade_to": cheaper}
        Budget.objects.create(scope=Scope.objects.get(tenant=line.acme), unit="tokens", amount=500, **more)
        (found,) = limits_in(api.get("/api/v1/limits")).values()
        assert (found["metric"], found["unit"], found["left"], found["left_usd"]) == ("tokens", "tokens", 500, None)
        assert (found["period"], found["on_exhausted"], found["downgrade_to"]) == ("day", "downgrade", "small")
        begun, ends = (dt.datetime.fromisoformat(found[name]) for name in ("period_starts_at", "resets_at"))
        assert ends - begun == dt.timedelta(days=1)
        assert begun <= timezone.now() < ends

    def test_a_reserve_is_told_and_not_left_to_lanes_below(self, line, api):
        scope = Scope.objects.get(tenant=line.acme)
        Limit.objects.create(scope=scope, metric="requests", amount=10, window_ms=HOUR_MS, reserve_permille=300, reserve_lane=2)
        (normal,), (high,) = (limits_in(api.get(f"/api/v1/limits?lane={lane}")).values() for lane in ("normal", "high"))
        assert (normal["left"], high["left"], normal["reserve"]) == (7, 10, {"permille": 300, "lane": "high"})

    def test_the_key_that_asks_is_on_the_path(self, line):
        key, secret = issue_key(line.acme, "limited")
        row = Limit.objects.create(
            scope=Scope.objects.create(tenant=line.acme, kind="key", name=str(key.pk)), metric="requests", amount=5, window_ms=HOUR_MS
        )
        assert limits_in(Api(secret).get("/api/v1/limits"))[f"l{row.pk}"]["scope"] == {"kind": "key", "id": str(key.pk)}

    def test_a_run_carries_its_own_bounds(self, line, api):
        run = start_run(line.acme, budget_nano_usd=10**9, max_calls=4)
        found = limits_in(api.get(f"/api/v1/limits?run={run.pk}"))
        assert {name: (one["metric"], one["left"]) for name, one in found.items()} == {
            f"rb{run.pk.hex}": ("cost", 10**9),
            f"rc{run.pk.hex}": ("requests", 4),
        }
        tree = api.get(f"/api/v1/runs/{run.pk}").json()
        assert (tree["left_usd"], tree["left_calls"]) == ("1.000000000", 4)
        stop_run(run)
        problem_of(api.get(f"/api/v1/limits?run={run.pk}"), 409, "run_stopped")

    def test_a_pause_is_in_the_way_with_its_reason(self, line, api):
        pause("tenant", "acme", dt.timedelta(minutes=5), "unpaid")
        found = api.get("/api/v1/limits")
        (told,) = limits_in(found).values()
        assert (told["kind"], told["reason"], told["left"], told["metric"]) == ("pause", "unpaid", None, None)
        assert 290_000 < told["next_ms"] <= 300_000
        assert (binding_of(found)["kind"], found.json()["request"]["fits"]) == ("pause", False)

    def test_a_paused_lane_is_in_the_way_of_that_lane(self, line, api):
        pause("lane", "low")
        assert binding_of(api.get("/api/v1/limits?lane=low"))["scope"] == {"kind": "lane", "id": "low"}
        assert binding_of(api.get("/api/v1/limits?lane=normal")) is None


class TestWhatBinds:
    def test_the_answer_is_what_the_gate_does(self, line, api):
        requests = line.limit("requests", 2)
        assert binding_of(api.get("/api/v1/limits"))["headroom"] == 2
        for _ in range(2):
            line.run()
        found = api.get("/api/v1/limits")
        assert (binding_of(found)["id"], found.json()["request"]["fits"]) == (f"l{requests.pk}", False)

    def test_a_request_that_is_too_large_never_fits(self, line, api):
        tokens = line.limit("tokens", 1_000)
        found = binding_of(api.get("/api/v1/limits?input_tokens=900&max_tokens=200"))
        assert (found["id"], found["never"]) == (f"l{tokens.pk}", True)
        assert not binding_of(api.get("/api/v1/limits?input_tokens=900&max_tokens=100"))["never"]

    def test_a_budget_is_asked_for_the_most_that_the_model_costs(self, line, api):
        line.budget(1_000)  # nano-dollars: input costs 150, output 600 a token
        assert api.get(f"/api/v1/limits?model={MODEL}&max_tokens=1").json()["request"]["fits"]
        found = api.get(f"/api/v1/limits?model={MODEL}&max_tokens=2").json()["request"]
        assert (found["fits"], found["binding"]["kind"]) == (False, "budget")

    def test_a_cooldown_and_a_closed_account_are_told(self, line, api):
        claimed = line.run()
        cooled = Cooldown(wiring.account_target(line.account.pk), 20_000)
        process_pump().settle([(Settlement(ReservationId(claimed.job, claimed.attempt), used=True, cooldown=cooled), None)])
        line.settled()
        found = api.get(f"/api/v1/limits?model={MODEL}")
        assert binding_of(found)["kind"] == "cooldown"
        (place,) = found.json()["deployments"]
        assert (place["deployment"], place["open"]) == ("sim-1", False)
        assert 15_000 < place["cooling_ms"] <= 20_000

    def test_a_paused_model_is_in_the_way_of_that_model(self, line, api):
        pause("model", MODEL, reason="a secret of ours")
        found = api.get(f"/api/v1/limits?model={MODEL}")
        assert binding_of(found)["scope"] == {"kind": "model", "id": MODEL}
        assert "secret" not in found.content.decode()
        assert binding_of(api.get("/api/v1/limits")) is None

    def test_a_model_that_there_is_not_is_refused(self, line, api):
        problem_of(api.get("/api/v1/limits?model=gpt-9"), 400, "unknown_model")


class TestWhatOthersUse:
    def test_a_shared_limit_says_whether_it_is_open_and_no_figure(self, line, api):
        line.account_limit("tokens", 10_000, is_enforced=False)
        everybody = Limit.objects.create(scope=Scope.objects.create(kind="global"), metric="requests", amount=777, window_ms=HOUR_MS)
        line.run(tenant=line.tenant("other"))
        found = api.get(f"/api/v1/limits?model={MODEL}").json()
        (at_account,), (above,) = found["deployments"][0]["limits"], found["limits"]
        assert above["id"] == f"l{everybody.pk}"
        for one in (at_account, above):
            assert (one["shared"], one["next_ms"]) == (True, 0)
            assert {one[name] for name in ("amount", "used", "reserved", "left")} == {None}

    def test_nobody_finds_out_by_asking_for_more_and_more(self, line, api):
        line.account_limit("tokens", 10_000, is_enforced=False)
        line.run(tenant=line.tenant("other"))
        asked = [api.get(f"/api/v1/limits?model={MODEL}&input_tokens={tokens}").json()["request"] for tokens in (1, 9_999, 1_000_000)]
        assert [(one["fits"], one["binding"]) for one in asked] == [(True, None)] * 3

    def test_a_tenants_own_account_is_told_in_full(self, line, api):
        ProviderAccount.objects.filter(pk=line.account.pk).update(tenant=line.acme)
        line.account_limit("requests", 10, is_enforced=False)
        (place,) = api.get(f"/api/v1/limits?model={MODEL}").json()["deployments"]
        assert (place["limits"][0]["shared"], place["limits"][0]["left"]) == (False, 10)

    def test_another_tenants_run_is_unknown(self, line, api):
        foreign = start_run(line.tenant("other"))
        problem_of(api.get(f"/api/v1/limits?run={foreign.pk}"), 400, "unknown_run")

    def test_what_concerns_all_takes_the_operator_flag(self, line, api):
        for path in ("scopes/global", "scopes/user/ada", "scopes/tenant/acme", "scopes/nothing/x", "capacity", "breakers"):
            assert "operator flag" in problem_of(api.get(f"/api/v1/{path}"), 403, "forbidden")["detail"]


NOWHERE = ["planet/x", "tenant/nobody", "run/x", "run/01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e", "key/x", "key/99999999999999999999", "key/0"]
NOWHERE += [f"{kind}/{'9' * 5_000}" for kind in ("tenant", "key", "run", "account", "deployment")]
NOWHERE += ["account/nobody", "deployment/nobody", "tenant", "user/ada?tenant=nobody", "global/x", "user/%00", "tenant/%00"]


class TestAnOperator:
    def test_sees_everything_of_any_node(self, line, operator):
        mine = line.limit("requests", 10)
        ada = Limit.objects.create(
            scope=Scope.objects.create(tenant=line.acme, kind="user", name="ada/1"), metric="requests", amount=3, window_ms=HOUR_MS
        )
        above = Limit.objects.create(scope=Scope.objects.create(kind="global"), metric="tokens", amount=9_000, window_ms=HOUR_MS)
        line.run(user="ada/1")
        found = limits_in(operator.get("/api/v1/scopes/user/ada/1?tenant=acme"))
        assert {name: one["left"] for name, one in found.items()} == {
            f"l{above.pk}": 9_000 - found[f"l{above.pk}"]["used"],
            f"l{mine.pk}": 9,
            f"l{ada.pk}": 2,
        }
        assert found[f"l{above.pk}"]["used"] > 0
        assert set(limits_in(operator.get("/api/v1/scopes/global"))) == {f"l{above.pk}"}
        assert set(limits_in(operator.get(f"/api/v1/scopes/tenant/{line.acme.pk}"))) == {f"l{above.pk}", f"l{mine.pk}"}

    def test_sees_keys_runs_accounts_and_deployments(self, line, operator):
        line.account_limit("requests", 10, is_enforced=False)
        run, (key, _) = start_run(line.acme, max_calls=4), issue_key(line.acme, "k")
        assert set(limits_in(operator.get(f"/api/v1/scopes/run/{run.pk}"))) == {f"rc{run.pk.hex}"}
        assert operator.get(f"/api/v1/scopes/key/{key.pk}").status_code == 200
        for address in ("account/sim", f"account/{line.account.pk}", "deployment/sim-1", f"deployment/{line.deployment.pk}"):
            (place,) = operator.get(f"/api/v1/scopes/{address}").json()["deployments"]
            assert place["limits"][0]["left"] == 10

    def test_a_node_that_there_is_not_is_not_found(self, line, operator):
        for address in NOWHERE:
            problem_of(operator.get(f"/api/v1/scopes/{address}"), 404, "not_found")

    def test_sees_what_each_model_could_take_now(self, line, operator):
        line.account_limit("requests", 10, is_enforced=False)
        Limit.objects.create(deployment=line.deployment, metric="tokens", amount=5_000, window_ms=HOUR_MS)
        line.run()
        (model,) = operator.get("/api/v1/capacity").json()["models"]
        assert (model["model"], model["requests"]) == (MODEL, 9)
        assert 4_900 < model["tokens"] < 5_000
        assert (model["deployments"][0]["deployment"], model["deployments"][0]["open"]) == ("sim-1", True)

    def test_what_is_paused_takes_nothing(self, line, operator):
        for target in (("model", MODEL), ("account", "sim"), ("deployment", "sim-1"), ("all", ""), ("lane", "normal")):
            assert operator.get("/api/v1/capacity").json()["models"][0]["requests"] is None
            pause(*target)
            assert operator.get("/api/v1/capacity").json()["models"][0]["requests"] == 0
            assert resume(*target)

    def test_a_global_limit_bounds_every_model(self, line, operator):
        Limit.objects.create(scope=Scope.objects.create(kind="global"), metric="requests", amount=7, window_ms=HOUR_MS)
        assert operator.get("/api/v1/capacity").json()["models"][0]["requests"] == 7


PATHS = ["/limits?user=a", f"/limits?model={MODEL}", "/capacity", "/scopes/global", "/scopes/user/ada", "/scopes/account/sim", "/breakers"]


def test_a_look_takes_two_calls_of_the_gate_at_most(line, operator, monkeypatch):
    line.limit("requests", 5)
    line.account_limit("requests", 5, is_enforced=False)
    operator.get("/api/v1/capacity")  # the library is loaded
    for path in PATHS:
        with calls_of(line.gate, monkeypatch) as sent:
            assert operator.get(f"/api/v1{path}").status_code == 200
        assert 1 <= len(sent) <= 2


def test_without_the_gate_a_look_is_refused_with_a_time(line, operator):
    line.gate.clear()
    for path in PATHS:
        response = operator.get(f"/api/v1{path}")
        assert "the gate" in problem_of(response, 503, "unavailable")["detail"]
        assert response.headers["Retry-After"] == "1"


def test_a_gate_that_was_not_told_of_the_tenant_yet_is_no_gate_without_limits(line, api):
    line.gate.clear()
    line.gate.open(2)
    problem_of(api.get("/api/v1/limits"), 503, "unavailable")


BAD = ["user=" + "x" * 129, "user=%00", "lane=urgent", "lane=3", "run=x", "input_tokens=-1", "input_tokens=1.5", "max_tokens=10000001"]
BAD += ["input_tokens=" + "9" * 30, "max_tokens=٣", "usr=ada", "input_tokens="]


def test_a_parameter_that_cannot_be_is_refused(line, api):
    for query in BAD:
        problem_of(api.get(f"/api/v1/limits?{query}"), 400, "invalid_parameter")


class TestTheCommand:
    def test_it_says_what_is_in_the_way(self, line, capsys):
        line.limit("requests", 1)
        line.run(user="ada")
        call_command("limits", "--tenant", "acme", "--user", "ada", "--model", MODEL)
        told = capsys.readouterr().out
        assert "tenant acme: 1 requests per hour" in told
        assert "is in its way; it fits in" in told

    def test_without_a_tenant_it_says_what_models_could_take(self, line, capsys):
        line.account_limit("requests", 10, is_enforced=False)
        pause("model", MODEL)
        call_command("limits")
        told = capsys.readouterr().out
        assert "sim-1" in told
        assert "pause" in told
        call_command("limits", "--json")
        assert json.loads(capsys.readouterr().out)["models"][0]["requests"] == 0


def test_the_largest_limit_can_be_told(line, api):
    line.limit("requests", MAX_AMOUNT)
    (found,) = limits_in(api.get("/api/v1/limits")).values()
    assert found["left"] == MAX_AMOUNT
