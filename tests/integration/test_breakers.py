"""A breaker by hand: forced open nothing goes there, forced closed everything does, reset it starts anew; and who may do that."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from rateguard.engine.breaker.rule import BreakerState, Verdict
from rateguard.engine.gate.contract import ReservationId, Settlement
from rateguard.jobs.controls.breakers import breakers, follow_rule, force_close, force_open, reset
from rateguard.jobs.line.pump import process_pump
from tenants.keys import issue_key
from tenants.models import GateEvent
from tests.api import Api, problem_of
from tests.line import MODEL


@pytest.fixture
def operator(line):
    return Api(issue_key(line.tenant("house"), "ops", is_operator=True)[1])


def fail(line, times=5):
    """So many calls that failed."""
    for _ in range(times):
        claimed = line.run()
        end = Settlement(ReservationId(claimed.job, claimed.attempt), used=True, verdict=Verdict.FAILURE)
        process_pump().settle([(end, None)])
        line.settled()


def is_granted(line):
    """Whether a job that comes now is granted."""
    line.submit()
    line.beat()
    line.settled()
    return not line.messages.empty() and bool(line.messages.get())


def state(line):
    (one,) = breakers()
    return one.state


class TestByHand:
    def test_forced_open_nothing_goes_there_until_it_follows_its_rule(self, line):
        assert force_open(line.deployment)
        assert not force_open(line.deployment)
        assert (state(line), is_granted(line)) == (BreakerState.OPEN, False)
        assert follow_rule(line.deployment)
        assert line.messages.get(timeout=1)
        assert state(line) == BreakerState.CLOSED

    def test_forced_closed_it_stays_so_whatever_fails(self, line):
        force_close(line.deployment)
        fail(line, 8)
        assert (state(line), is_granted(line)) == (BreakerState.CLOSED, True)

    def test_an_open_one_is_closed_by_a_reset(self, line):
        fail(line)
        assert (state(line), is_granted(line)) == (BreakerState.OPEN, False)
        reset(line.deployment)
        assert line.messages.get(timeout=1)
        (one,) = breakers()
        assert (one.state, one.view.failures if one.view else 0) == (BreakerState.CLOSED, 0)

    def test_what_a_person_did_stands_among_the_events(self, line):
        force_open(line.deployment, by="key rg_1")
        follow_rule(line.deployment, by="key rg_1")
        reset(line.deployment, by="shell ada")
        said = list(GateEvent.objects.order_by("pk").values_list("subject", "detail"))
        assert said == [
            (str(line.deployment.pk), text) for text in ("forced open by key rg_1", "follows its rule by key rg_1", "reset by shell ada")
        ]


class TestRest:
    def test_breakers_are_listed_with_what_they_counted(self, line, operator):
        fail(line)
        (one,) = operator.get("/api/v1/breakers").json()["data"]
        told = {name: one[name] for name in ("deployment", "account", "state", "forced", "calls", "failures", "probing")}
        assert told == {
            "deployment": "sim-1",
            "account": "sim",
            "state": "open",
            "forced": "no",
            "calls": one["calls"],
            "failures": one["failures"],
            "probing": False,
        }
        assert one["probe_at"] > timezone.now().isoformat()
        assert one["generation"] > 0

    def test_an_operator_switches_them(self, line, operator):
        for action, forced in (("open", "open"), ("close", "closed"), ("auto", "no"), ("reset", "no")):
            answer = operator.post("/api/v1/breakers/sim-1", {"action": action})
            assert (answer.status_code, answer.json()["forced"]) == (200, forced)
        assert operator.post(f"/api/v1/breakers/{line.deployment.pk}", {"action": "open"}).json()["deployment"] == "sim-1"

    def test_nobody_else_does(self, line):
        api = Api(issue_key(line.acme, "tests")[1])
        problem_of(api.post("/api/v1/breakers/sim-1", {"action": "open"}), 403, "forbidden")
        assert state(line) == BreakerState.CLOSED

    def test_what_cannot_be_is_refused(self, line, operator):
        problem_of(operator.post("/api/v1/breakers/nobody", {"action": "open"}), 404, "not_found")
        for body in ({}, {"action": "explode"}, {"action": 1}, {"action": None}):
            assert problem_of(operator.post("/api/v1/breakers/sim-1", body), 400, "invalid_field")["errors"][0]["pointer"] == "/action"
        problem_of(operator.post("/api/v1/breakers/sim-1", {"action": "open", "x": 1}), 400, "unknown_field")

    def test_a_reset_without_the_gate_is_refused_and_nothing_is_noted(self, line, operator):
        line.gate.clear()
        problem_of(operator.post("/api/v1/breakers/sim-1", {"action": "reset"}), 503, "unavailable")
        assert not GateEvent.objects.exists()

    def test_an_open_breaker_is_told_to_whoever_asks_what_is_in_the_way(self, line):
        fail(line)
        answer = Api(issue_key(line.acme, "tests")[1]).get(f"/api/v1/limits?model={MODEL}").json()
        assert (answer["request"]["binding"]["kind"], answer["request"]["fits"]) == ("breaker", False)
        assert 0 < answer["request"]["binding"]["wait_ms"] <= 30_000
        assert answer["deployments"][0]["breaker"] == "open"


class TestEvents:
    def add(self, tenant=None, kind="threshold", subject="b1"):
        count = GateEvent.objects.count()
        return GateEvent.objects.create(notice=f"n{count}", kind=kind, tenant=tenant, subject=subject, value=count, at=timezone.now())

    def test_a_tenant_sees_its_own_and_an_operator_all(self, line, operator):
        mine, foreign, everybodys = self.add(line.acme), self.add(line.tenant("other")), self.add(None, "breaker", "7")
        api = Api(issue_key(line.acme, "tests")[1])
        assert [one["id"] for one in api.get("/api/v1/events").json()["data"]] == [mine.pk]
        listed = operator.get("/api/v1/events").json()["data"]
        assert [(one["id"], one["tenant"]) for one in listed] == [(everybodys.pk, None), (foreign.pk, "other"), (mine.pk, "acme")]

    def test_they_come_in_pages_and_by_kind_and_subject(self, line, operator):
        rows = [self.add(None, "breaker", str(number % 2)) for number in range(5)]
        self.add(line.acme)
        first = operator.get("/api/v1/events?kind=breaker&limit=2").json()["data"]
        assert [one["id"] for one in first] == [rows[4].pk, rows[3].pk]
        following = operator.get(f"/api/v1/events?kind=breaker&limit=2&before={first[-1]['id']}").json()["data"]
        assert [one["id"] for one in following] == [rows[2].pk, rows[1].pk]
        assert len(operator.get("/api/v1/events?subject=1").json()["data"]) == 2

    def test_a_budget_that_reaches_a_threshold_is_an_event_of_its_tenant(self, line):
        from rateguard.jobs.upkeep import tidying

        line.budget(1_000_000)
        line.end_in_gate(line.run(), 600_000)
        tidying.collect_notices()
        (event,) = Api(issue_key(line.acme, "tests")[1]).get("/api/v1/events").json()["data"]
        assert (event["kind"], event["tenant"], event["value"]) == ("threshold", "acme", 50)

    def test_what_cannot_be_asked_is_refused(self, line, operator):
        for query in ("kind=fire", "before=0", "before=x", "limit=0", "limit=201", "after=3", "subject=%00"):
            problem_of(operator.get(f"/api/v1/events?{query}"), 400, "invalid_parameter")


class TestTheCommand:
    def test_it_lists_and_switches(self, line, capsys):
        fail(line)
        call_command("breaker", "list")
        assert "sim-1" in (listed := capsys.readouterr().out)
        assert "open" in listed
        call_command("breaker", "reset", "sim-1")
        assert state(line) == BreakerState.CLOSED
        call_command("breaker", "open", "sim-1")
        assert state(line) == BreakerState.OPEN
        call_command("breaker", "auto", "sim-1", "--json")
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["forced"] == "no"

    def test_an_unknown_deployment_is_named(self, line):
        with pytest.raises(CommandError, match="nobody"):
            call_command("breaker", "open", "nobody")

    def test_without_the_gate_it_says_so(self, line):
        line.gate.clear()
        with pytest.raises(CommandError, match="the gate does not answer"):
            call_command("breaker", "list")
