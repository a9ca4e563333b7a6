"""Jobs from the shell: submitted as by any other door, seen, waited for, cancelled, retried."""

import datetime as dt
import io
import json
import sys

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Job
from tests.line import MODEL


def told(*words):
    out, err = io.StringIO(), io.StringIO()
    call_command("job", *words, stdout=out, stderr=err)
    return out.getvalue()


def test_a_text_becomes_a_job_of_the_one_tenant_with_all_that_was_said(line):
    text = told(
        "submit", "Say hello", "--model", MODEL, "--tenant", "acme", "--lane", "high", "--label", "a=b", "--team", "ml", "--system", "x"
    )
    job = Job.objects.get()
    assert text == f"submitted job {job.pk}\n"
    assert (job.tenant, job.lane, job.labels, job.team, job.via) == (line.acme, Lane.HIGH, {"a": "b"}, "ml", "shell")
    assert [message["content"] for message in orjson.loads(job.request)["messages"]] == ["x", "Say hello"]


def test_a_file_of_openais_shape_is_sent_as_it_is(line, tmp_path, monkeypatch):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "é"}], "seed": 7}
    (tmp_path / "request.json").write_text(json.dumps(body))
    told("submit", "--body", str(tmp_path / "request.json"), "--tenant", "acme")
    sent = orjson.loads(Job.objects.get().request)
    assert {name: sent[name] for name in body} == body
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a pipe"))
    told("submit", "-", "--model", MODEL, "--tenant", "acme")
    assert {orjson.loads(job.request)["messages"][0]["content"] for job in Job.objects.all()} == {"é", "from a pipe"}


def test_the_same_idempotency_key_gives_the_same_job(line):
    words = ("submit", "Say hello", "--model", MODEL, "--tenant", "acme", "--idempotency-key", "k")
    told(*words)
    assert "by an earlier request with this key" in told(*words)
    assert Job.objects.count() == 1


REFUSED = {
    ("x", "--model", "nope"): "there is no model 'nope'",
    ("x", "--tenant", "nobody"): "there is no tenant 'nobody'",
    (): "say what to ask",
    ("x", "--body", "y"): "one of the two",
    ("--body", "nowhere.json"): "cannot be read",
    ("x", "--model", MODEL, "--user", "a\nb"): "user: a name has no control characters",
}


def test_what_cannot_be_submitted_is_told_in_words(line):
    for words, reason in REFUSED.items():
        with pytest.raises(CommandError, match=reason):
            told("submit", *words, *(() if "--tenant" in words else ("--tenant", "acme")))
    assert not Job.objects.exists()


def test_an_ended_job_is_shown_with_its_answer_and_waited_for_no_more(line):
    job = line.submit()
    line.beat()
    line.run_granted()
    assert json.loads(told("show", str(job.pk), "--json"))["status"] == "succeeded"
    assert told("show", str(job.pk)).split()[:4] == ["id", str(job.pk), "status", "succeeded"]
    assert "sim-1" not in told("wait", str(job.pk))  # the answer alone
    assert str(job.pk) in told("list", "--status", "succeeded", "--tenant", "acme")
    assert "no such jobs" in told("list", "--status", "failed")


def test_a_wait_in_vain_says_where_the_job_is(line):
    job = line.submit()
    with pytest.raises(CommandError, match="no live worker serves lane normal") as error:
        told("wait", str(job.pk), "--timeout", "0s")
    assert error.value.returncode == 1


def test_a_cancelled_job_is_retried(line):
    job = line.submit()
    assert told("cancel", str(job.pk)) == f"job {job.pk} is cancelled\n"
    assert told("retry", str(job.pk)) == f"job {job.pk} is queued\n"
    with pytest.raises(CommandError, match="queued"):
        told("retry", str(job.pk))


def test_what_a_filter_finds_is_looked_at_first_and_done_after_a_yes(line):
    jobs = line.submit_many(3, run_at=timezone.now() + dt.timedelta(hours=1))
    look = told("lane", "--to", "low", "--tenant", "acme", "--status", "scheduled", "--dry-run")
    assert look.startswith("3 jobs can be moved (scheduled 3)\n  models: sim-1 3")
    with pytest.raises(CommandError, match="say --yes"):
        told("lane", "--to", "low", "--tenant", "acme")
    with pytest.raises(CommandError, match="one of the two"):
        told("requeue")
    assert set(Job.objects.values_list("lane", flat=True)) == {Lane.NORMAL}
    assert "3 jobs moved" in told("lane", "--to", "low", "--tenant", "acme", "--yes")
    assert json.loads(told("requeue", "--lane", "low", "--yes", "--json"))["moved"] == 3
    assert told("cancel", str(jobs[0].pk), str(jobs[1].pk)).count("is cancelled") == 2
    assert "1 job cancelled" in told("cancel", "--tenant", "acme", "--yes")
    assert told("retry", "--status", "cancelled", "--dry-run").startswith("3 jobs can be retried (cancelled 3)")


def test_failures_are_listed_by_what_they_have_in_common(line):
    line.submit_many(2)
    ended = {"finished_at": timezone.now(), "error_code": "timeout", "error_message": "no answer", "fingerprint": "f" * 16}
    Job.objects.update(state="failed", **ended)
    assert "f" * 16 in told("failures", "--tenant", "acme")
    assert json.loads(told("failures", "--json"))["data"][0]["jobs"] == 2
    assert told("failures", "--since", "2099-01-01T00:00:00Z") == "nothing failed\n"
