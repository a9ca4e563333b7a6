"""What a provider tells of its limits, and what a refusal for good does, from the answer's headers to the gate and to people."""

from __future__ import annotations

import json
import urllib.request

import pytest
from django.core.management import CommandError, call_command

from rateguard import wiring
from rateguard.engine.gate.contract import LimitReading
from rateguard.jobs.attempts.cooling import NOT_LET_IN
from rateguard.jobs.states import State
from rateguard.jobs.upkeep import tidying
from rateguard.jobs.upkeep.provider_limits import Resync, note_learned
from tenants.keys import issue_key
from tenants.models import ConfigVersion, Deployment, GateEvent, Limit, ProviderAccount, RouteTarget
from tests.api import Api, problem_of
from tests.line import CREDENTIALS, MODEL, state_of, wait_for


@pytest.fixture
def operator(line):
    return Api(issue_key(line.tenant("house"), "ops", is_operator=True)[1])


def others_call(line, times: int) -> None:
    """Somebody else uses the same account."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}).encode()
    headers = {"Authorization": f"Bearer {CREDENTIALS}", "Content-Type": "application/json"}
    for _ in range(times):
        request = urllib.request.Request(f"{line.provider.base_url}/chat/completions", body, headers)
        urllib.request.urlopen(request, timeout=10).read()


def lock_out(line) -> None:
    """The provider takes our key no longer."""
    line.provider.control.configure(keys=["sk-another"])


def cooled(line) -> list[str]:
    return [one.target for one in line.gate.inspect(()).cooling]


class TestReadings:
    def test_what_others_use_of_the_account_is_not_granted_to_us(self, line, station):
        limit = line.account_limit("requests", 10, 60_000)
        others_call(line, 4)

        line.submit()

        wait_for(lambda: line.used(limit).foreign == 4)
        assert line.used(limit).used == 5

    def test_a_limit_that_is_told_smaller_is_what_is_granted(self, line, station):
        limit = line.account_limit("requests", 10, 60_000)
        Limit.objects.filter(pk=limit.pk).update(amount=500)

        line.submit()

        wait_for(lambda: line.used(limit).amount == 10)


class TestRefusedForGood:
    def test_an_account_that_does_not_take_our_key_is_left_alone_and_people_hear_of_it_once(self, line, station):
        lock_out(line)

        jobs = [line.submit()]
        wait_for(lambda: state_of(jobs[0]) is State.FAILED)
        wait_for(lambda: cooled(line) == [f"a{line.account.pk}"])

        jobs.append(line.submit())
        line.settled()
        assert state_of(jobs[1]) is State.QUEUED
        tidying.collect_notices()
        (event,) = GateEvent.objects.filter(kind="cooled")
        assert (event.subject, event.detail, event.tenant) == (f"a{line.account.pk}", NOT_LET_IN, None)
        assert CREDENTIALS not in event.notice + event.detail

    def test_its_work_goes_to_another_account_where_the_model_has_one(self, line, station):
        other = ProviderAccount.objects.create(name="second", provider="sim", base_url=line.provider.base_url, credentials="sk-another")
        second = Deployment.objects.create(account=other, name="sim-2", upstream_model=MODEL)
        RouteTarget.objects.create(route=line.deployment.targets.get().route, deployment=second, position=1)
        lock_out(line)

        job = line.submit()

        wait_for(lambda: state_of(job) is State.SUCCEEDED)
        job.refresh_from_db()
        assert (job.tries, job.attempt) == (0, 2)


class TestSync:
    def test_an_operator_lifts_it_when_the_provider_takes_the_key_again(self, line, station, operator):
        lock_out(line)
        job = line.submit()
        wait_for(lambda: cooled(line))
        waits = line.submit()

        answer = operator.post(f"/api/v1/deployments/{line.deployment.pk}/sync", {})
        assert (answer.status_code, answer.json()["status"], answer.json()["lifted"]) == (200, 401, [])

        line.provider.control.configure(keys=[])
        told = operator.post("/api/v1/deployments/sim-1/sync", {}).json()
        assert [one["target"] for one in told["lifted"]] == [f"a{line.account.pk}"]
        wait_for(lambda: state_of(waits) is State.SUCCEEDED)
        assert state_of(job) is State.FAILED
        assert GateEvent.objects.filter(kind="cooled", detail__startswith="lifted by key").count() == 1

    def test_nobody_else_may(self, line):
        problem_of(Api(issue_key(line.acme, "tests")[1]).post("/api/v1/deployments/sim-1/sync", {}), 403, "forbidden")

    def test_what_cannot_be_is_refused(self, line, operator):
        problem_of(operator.post("/api/v1/deployments/nobody/sync", {}), 404, "not_found")

    def test_it_needs_no_body(self, line, operator):
        assert operator.post("/api/v1/deployments/sim-1/sync").status_code == 200

    def test_a_shell_does_it_too(self, line, capsys):
        call_command("deployment", "sync", "sim-1")
        assert capsys.readouterr().out.startswith("the provider of sim-1 answered")
        with pytest.raises(CommandError, match="nobody"):
            call_command("deployment", "sync", "nobody")

    def test_a_disabled_deployment_is_not_asked(self, line, operator):
        Deployment.objects.filter(pk=line.deployment.pk).update(is_enabled=False)
        wiring.forget_directory()

        assert "disabled" in operator.post("/api/v1/deployments/sim-1/sync", {}).json()["reason"]


class TestUpkeep:
    def test_quiet_accounts_are_asked_and_who_tells_nothing_is_not_asked_again(self, line):
        line.account_limit("requests", 10, 60_000)
        wiring.forget_directory()
        resync = Resync()

        def rounds() -> int:
            """How many questions a round asks, until all is answered."""
            resync.begin()
            asked = len(resync._due)
            wait_for(lambda: resync.go_on(line.gate) or not (resync._due or resync._looks))
            return asked

        assert rounds() == 1
        assert rounds() == (0 if resync._silent else 1)

    def test_where_a_learned_limit_stands_is_written_down_for_a_gate_that_is_rebuilt(self, line):
        row = Limit.objects.create(account=line.account, metric="requests", kind="learned", amount=8, window_ms=60_000)
        wiring.push_configuration()
        assert note_learned(line.gate) == 0

        before = ConfigVersion.current()
        line.gate.sync((), (LimitReading(f"l{row.pk}", told=5),))
        assert (note_learned(line.gate), ConfigVersion.current()) == (1, before)
        row.refresh_from_db()
        assert row.learned_amount == 5
