"""`manage.py run`: the tree of a run in words, and its end."""

import json

import pytest
from django.core.management import CommandError, call_command

from rateguard.jobs.controls.runs import start_run
from tests.line import MODEL


def test_it_shows_runs_and_jobs_with_what_they_cost(line, capsys):
    outer = start_run(line.acme, name="research", budget_nano_usd=2 * 10**9, max_calls=80)
    inner = start_run(line.acme, name="dig", parent=outer.pk)
    job = line.submit(run=inner.pk)
    line.beat()
    line.run_granted(nano_usd=500_000_000)
    call_command("run", "show", str(outer.pk))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"research {outer.pk}: open, 1 call, $0.50, $1.50 left, 79 calls left"
    assert second == f"    dig {inner.pk}: open, 1 call, $0.50"
    assert third.split() == [str(job.pk), "succeeded", MODEL, "$0.50"]
    call_command("run", "show", str(outer.pk), "--json")
    assert json.loads(capsys.readouterr().out)["runs"][0]["calls"] == 1


def test_it_stops_a_run_for_good(line, capsys):
    run = start_run(line.acme)
    call_command("run", "stop", str(run.pk))
    call_command("run", "stop", str(run.pk))
    assert capsys.readouterr().out == f"stopped run {run.pk}\nrun {run.pk} was stopped before\n"
    run.refresh_from_db()
    assert run.state == "stopped"


@pytest.mark.parametrize("text", ["x", "00000000-0000-4000-8000-00000000abcd"])
def test_an_unknown_run_is_named(db, text):
    with pytest.raises(CommandError, match="there is no run"):
        call_command("run", "show", text)
