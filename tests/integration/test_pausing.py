"""A pause stops what it names and nothing else, within a second, until it is lifted or its time has come; a drain waits for the rest."""

import dataclasses
import datetime as dt
import json
import uuid

import pytest
from django.core.management import CommandError, call_command

from rateguard.engine.lanes import Lane
from rateguard.jobs.controls.pauses import drain, pause, resume, running
from rateguard.jobs.controls.runs import start_run
from rateguard.jobs.controls.targets import find_target
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Attempt
from rateguard.jobs.upkeep import rebuild
from tenants.models import AuditEntry, Deployment, ModelRoute, Pause, ProviderAccount, RouteTarget
from tests.beside import in_thread
from tests.line import MODEL
from tests.simprovider import wait_for

OTHER_MODEL = "sim-2"


def add_model(account_name):
    """Another model, at an account of its own."""
    account = ProviderAccount.objects.create(name=account_name, provider="sim", base_url="http://127.0.0.1:1/v1")
    deployment = Deployment.objects.create(account=account, name=OTHER_MODEL, upstream_model=MODEL)
    RouteTarget.objects.create(route=ModelRoute.objects.create(name=OTHER_MODEL), deployment=deployment)


def granted_now(line):
    """The jobs that the gate grants by now."""
    line.beat()
    line.settled()
    found = []
    while not line.messages.empty():
        entries, _ = line.messages.get()
        found += [uuid.UUID(entry[0]) for entry in entries]
    return set(found)


def targets(line):
    """Everything that can be paused, and a submission that it stops."""
    run = start_run(line.acme)
    return {
        ("all", ""): {},
        ("tenant", "acme"): {},
        ("lane", "low"): {"lane": Lane.LOW},
        ("model", MODEL): {},
        ("deployment", "sim-1"): {},
        ("account", "sim"): {},
        ("run", str(run.pk)): {"run": run.pk},
    }


class TestAPause:
    def test_nothing_of_it_is_granted_until_it_is_lifted(self, line):
        for target, fields in targets(line).items():
            pause(*target)
            job = line.submit(**fields)
            assert granted_now(line) == set(), target
            assert resume(*target)
            entries, _ = line.messages.get(timeout=1)
            assert [uuid.UUID(entry[0]) for entry in entries] == [job.pk], target

    def test_everything_else_goes_on(self, line):
        add_model("second")
        plain = line.submission()
        at_another_model = dataclasses.replace(plain, body={**plain.body, "model": OTHER_MODEL})
        elsewhere = {
            ("tenant", "acme"): line.submission(line.tenant("other")),
            ("lane", "low"): plain,
            ("run", str(start_run(line.acme).pk)): plain,
            **dict.fromkeys([("model", MODEL), ("deployment", "sim-1"), ("account", "sim")], at_another_model),
        }
        for target, submission in elsewhere.items():
            pause(*target)
            job = submit(submission).job
            assert granted_now(line) == {job.pk}, target
            resume(*target)

    def test_what_waits_already_is_stopped_too(self, line):
        line.submit()
        pause("tenant", "acme")
        assert granted_now(line) == set()

    def test_it_ends_by_itself_at_its_time(self, line):
        pause("tenant", "acme", dt.timedelta(seconds=60))
        job = line.submit()
        assert granted_now(line) == set()
        line.pass_time(58_000, "w1")
        assert granted_now(line) == set()
        line.pass_time(5_000, "w1")
        assert granted_now(line) == {job.pk}

    def test_it_holds_across_a_rebuild(self, line):
        for target in (("tenant", "acme"), ("lane", "low")):
            pause(*target)
        line.gate.clear()
        rebuild.rebuild(line.gate)
        line.submit()
        line.submit(tenant=line.tenant("other"), lane=Lane.LOW)
        assert granted_now(line) == set()

    def test_resuming_what_is_not_paused_changes_nothing(self, line):
        assert not resume("tenant", "acme")


class TestADrain:
    def test_it_ends_when_nothing_runs_any_more(self, line):
        claimed = line.run()
        target = find_target("tenant", "acme")
        pause("tenant", "acme")
        told, left = [], []
        waiter = in_thread(lambda: left.append(drain(target, 20, told.append)))
        wait_for(lambda: told)
        assert told == [1]
        Attempt.objects.update(state="succeeded")
        line.end_in_gate(claimed, 100)
        waiter.join(10)
        assert (left, told) == ([0], [1, 0])

    def test_what_is_granted_and_has_not_started_counts(self, line):
        line.submit()
        line.beat()
        line.next_message()
        pause("tenant", "acme")
        target, other = find_target("tenant", "acme"), find_target("tenant", line.tenant("other").name)
        assert (running(target), drain(target, 0), drain(other, 0)) == (0, 1, 0)

    def test_it_gives_up_after_its_time_and_says_how_many_are_left(self, line):
        line.run()
        assert drain(find_target("all"), 0) == 1

    def test_while_the_gate_is_away_nobody_can_say_that_nothing_runs(self, line):
        pause("all")
        line.gate.clear()
        assert drain(find_target("all"), 0) == 1


class TestCommands:
    def test_pause_and_resume_say_what_holds(self, line, capsys):
        line.run()
        call_command("pause", "tenant", "acme", "--for", "10m", "--reason", "a fire")
        assert "paused tenant acme until 20" in capsys.readouterr().out
        call_command("pause")
        listed = capsys.readouterr().out
        assert "tenant acme" in listed
        assert "a fire" in listed
        call_command("resume", "tenant", "acme")
        call_command("resume", "tenant", "acme")
        assert capsys.readouterr().out == "resumed tenant acme\ntenant acme was not paused\n"
        call_command("pause", "--json")
        assert json.loads(capsys.readouterr().out)["data"] == []

    def test_whoever_pauses_and_resumes_is_noted(self, line):
        call_command("pause", "all", "--until", "2099-01-01T00:00:00Z")
        assert Pause.objects.get().created_by.startswith("shell")
        call_command("pause", "tenant", "acme", "--reason", "a fire")
        call_command("pause", "tenant", "acme", "--reason", "unpaid")
        call_command("resume", "tenant", "acme")
        told = [(entry.action, entry.name, entry.tenant, entry.by[:5]) for entry in AuditEntry.objects.filter(kind="pause").order_by("pk")]
        acme = ("tenant acme", line.acme, "shell")
        assert told == [("created", "everything", None, "shell"), ("created", *acme), ("changed", *acme), ("deleted", *acme)]

    def test_what_cannot_be_is_told_in_words(self, line):
        for words in (["tenant", "nobody"], ["lane", "3"], ["all", "x"], ["model"]):
            with pytest.raises(CommandError, match="there is no"):
                call_command("pause", *words)
        for words in (["planet"], ["all", "--for", "soon"], ["all", "--until", "2099-01-01"], ["--reason", "x"]):
            with pytest.raises(CommandError):
                call_command("pause", *words)
        assert not Pause.objects.exists()

    def test_drain_ends_well_when_nothing_runs_and_badly_when_something_does(self, line, capsys):
        call_command("drain", "all", "--json")
        assert json.loads(capsys.readouterr().out) == {"target_kind": "all", "target": "", "drained": True, "running": 0}
        resume("all")
        line.run()
        with pytest.raises(CommandError, match="1 of tenant acme still run") as failed:
            call_command("drain", "tenant", "acme", "--timeout", "0s")
        assert failed.value.returncode == 1
        assert Pause.objects.get().target_kind == "tenant"
