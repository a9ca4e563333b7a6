"""Batches: all lines or none, lines at fault by their numbers, answers in order, the rest cancelled, no line twice, nobody else's."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

import gzip
import json

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from rateguard.jobs.batches import copying, results, taking
from rateguard.jobs.batches.cancelling import cancel_batch
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Batch, BatchError, BatchState, Job, JobEvent
from rateguard.jobs.states import State
from rateguard.jobs.upkeep.batches import tend_batches
from tests.api import Api, problem_of
from tests.signedin import signed_in
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme, add_tenant  # noqa: F401

BATCHES = "/api/v1/batches"
ODD = 'tab\t back\\slash \\N "quote"\nline é 日本 %s'


@pytest.fixture
def api(acme):
    return Api(acme.secret)


def job(number, **fields):
    said = {"role": "user", "content": f"{number} {ODD}"}
    return {"custom_id": f"q-{number}", "model": CHAT_MODEL, "messages": [said], "max_tokens": 5, **fields}


def openai(number, url="/v1/chat/completions", **body):
    return {"custom_id": f"o-{number}", "method": "POST", "url": url, "body": {"model": CHAT_MODEL, "messages": [{"role": "user"}], **body}}


def jsonl(*lines):
    return b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines)


def send(api, *lines, query="", **headers):
    return api.send("post", f"{BATCHES}{query}", jsonl(*lines), content_type="application/jsonl", **headers)


def taken(response):
    assert response.status_code == 201, response.content
    return response.json()["id"]


def answers(api, batch):
    response = api.get(f"{BATCHES}/{batch}/results")
    assert response.headers["Content-Type"] == "application/jsonl"
    return [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]


def end(*jobs, state=State.SUCCEEDED, **columns):
    """As a worker would."""
    result = '{"choices": []}' if state == State.SUCCEEDED else None
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(state=state, result=result, finished_at=Now(), **columns)


# ---- coming in


def test_jobs_come_in_as_single_ones_do(api, acme, monkeypatch):
    monkeypatch.setattr(taking, "CHUNK", 2)
    lines = [job(1), job(2, job={"lane": "high", "labels": {"a\\b": "c\t"}}), job(3)]
    whole = {"jobs": lines, "name": "nightly", "metadata": {"n": 1}, "job": {"lane": "low", "user": "ada", "store": False}}

    batch = taken(api.send("post", BATCHES, orjson.dumps(whole)))

    rows = list(Job.objects.filter(batch=batch).order_by("line"))
    single = Job.objects.get(pk=api.submit({**job(1), "job": whole["job"]} | {"custom_id": None}).json()["id"])
    for name in ("path", "input_tokens", "output_tokens", "max_output_tokens", "timeout_s", "max_tries", "is_stored", "tells", "state"):
        assert getattr(rows[0], name) == getattr(single, name), name
    assert [(row.line, row.custom_id, row.lane, row.user) for row in rows] == [
        (1, "q-1", 4, "ada"),
        (2, "q-2", 2, "ada"),
        (3, "q-3", 4, "ada"),
    ]
    assert json.loads(rows[1].request) == {name: value for name, value in job(2).items() if name != "custom_id"}
    assert rows[1].labels == {"a\\b": "c\t"}
    assert set(JobEvent.objects.filter(job__batch=batch).values_list("kind", flat=True)) == {"submitted"}
    assert JobEvent.objects.filter(job__batch=batch).count() == 3
    shown = api.get(f"{BATCHES}/{batch}").json()
    assert (shown["status"], shown["total"], shown["rejected"], shown["counts"]["queued"]) == ("in_progress", 3, 0, 3)
    assert (shown["name"], shown["metadata"], shown["eta_s"]) == ("nightly", {"n": 1}, None)


def test_openais_lines_come_in_packed_and_with_options_in_the_address(api):
    lines = [openai(1), openai(2, "/v1/embeddings", model=EMBEDDING_MODEL, input="x"), b"", openai(3, max_tokens=7)]
    packed = gzip.compress(jsonl(*lines))
    query = "?name=n&job=%7B%22lane%22%3A%22low%22%7D"

    batch = taken(api.send("post", f"{BATCHES}{query}", packed, content_type="application/x-ndjson", content_encoding="gzip"))

    rows = Job.objects.filter(batch=batch).order_by("line").values_list("line", "custom_id", "endpoint", "lane")
    assert list(rows) == [(1, "o-1", "chat", 4), (2, "o-2", "embeddings", 4), (4, "o-3", "chat", 4)]


BAD = [
    (b"{", "invalid_json", ""),
    (job(1), "duplicate_custom_id", "/custom_id"),
    (job(2, model="nope"), "unknown_model", "/model"),
    (openai(3, "/v1/images"), "invalid_field", "/url"),
    (openai(4, model="nope"), "unknown_model", "/body/model"),
    (job(5, job={"lane": "fast"}), "unknown_lane", "/job/lane"),
    (b'{"model": "a", "model": "b"}', "invalid_json", "/model"),
    (job(6) | {"custom_id": 6}, "invalid_field", "/custom_id"),
]


def test_one_bad_line_refuses_all_and_every_bad_line_is_named(api):
    response = send(api, job(1), *(line for line, _, _ in BAD), job(9))

    problem = response.json()
    assert (response.status_code, problem["code"], problem["line_count"]) == (422, "invalid_lines", len(BAD))
    assert [(one["line"], one["code"], one["pointer"]) for one in problem["lines"]] == [
        (number, code, pointer) for number, (_, code, pointer) in enumerate(BAD, 2)
    ]
    assert problem["lines"][1]["custom_id"] == "q-1"
    assert not Job.objects.exists()
    assert not Batch.objects.exists()


def test_bad_lines_are_left_out_where_the_caller_says_so(api):
    batch = taken(send(api, job(1), *(line for line, _, _ in BAD), job(9), query="?on_error=skip"))

    assert list(Job.objects.filter(batch=batch).order_by("line").values_list("line", flat=True)) == [1, 10]
    first = api.get(f"{BATCHES}/{batch}/errors?limit=3").json()
    rest = api.get(f"{BATCHES}/{batch}/errors?after={first['next_line']}").json()
    assert [one["line"] for one in first["data"] + rest["data"]] == list(range(2, 10))
    assert rest["next_line"] is None
    shown = answers(api, batch)
    assert [line["line"] for line in shown] == list(range(1, 11))
    assert shown[1]["error"]["code"] == "invalid_json"
    assert shown[1]["status"] == "rejected"


def test_a_batch_of_bad_lines_alone_is_over_at_once(api):
    batch = taken(send(api, b"{", query="?on_error=skip"))
    assert api.get(f"{BATCHES}/{batch}").json()["status"] == "completed"


@pytest.mark.parametrize(
    ("sent", "headers", "status", "code"),
    [
        (b"\n\n", {}, 400, "empty_batch"),
        (b"x", {"content_encoding": "gzip"}, 400, "invalid_gzip"),
        (b"x", {"content_encoding": "br"}, 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_batch_is_refused(api, sent, headers, status, code):
    problem_of(api.send("post", BATCHES, sent, content_type="application/jsonl", **headers), status, code)
    problem_of(api.send("post", BATCHES, sent, content_type="text/csv"), 415, "unsupported_media_type")


@pytest.mark.parametrize("query", ["?on_error=maybe", "?job=x", "?job=3", "?nothing=1", "?webhook=unknown", "?job=%7B%22lane%22%3A3%7D"])
def test_options_that_cannot_be_are_refused(api, query):
    response = send(api, job(1), query=query)
    assert response.status_code == 400
    assert not Batch.objects.exists()


def test_lines_and_bytes_are_bounded(api, settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "BATCH_LINES": 2, "BATCH_BYTES": 2**20}
    problem_of(send(api, job(1), job(2), job(3)), 413, "too_many_lines")
    problem_of(api.send("post", BATCHES, orjson.dumps({"jobs": [job(1), job(2), job(3)]})), 413, "too_many_lines")
    problem_of(send(api, b" " * (2**20 + 1)), 413, "body_too_large")
    assert not Batch.objects.exists()


def test_a_full_queue_refuses_all_of_it(api, acme):
    acme.tenant.max_waiting = 2
    acme.tenant.save()
    response = send(api, job(1), job(2), job(3))
    assert (response.status_code, response.json()["code"]) == (429, "queue_full")
    assert not Job.objects.exists()
    taken(send(api, job(1), job(2)))


def test_what_a_key_may_not_is_told_of_its_lines(api, acme):
    acme.key.allowed_models = [EMBEDDING_MODEL]
    acme.key.save()
    response = send(api, {"model": EMBEDDING_MODEL, "input": "x"}, job(2))
    assert [(one["line"], one["code"]) for one in response.json()["lines"]] == [(2, "model_not_allowed")]


# ---- once


def test_the_same_key_and_content_give_the_same_batch(api):
    first = taken(send(api, job(1), job(2), Idempotency_Key="k"))
    again = send(api, job(1), job(2), Idempotency_Key="k")
    assert (again.status_code, again.json()["id"], again.headers["Idempotent-Replayed"]) == (200, first, "true")
    problem_of(send(api, job(1), Idempotency_Key="k"), 422, "idempotency_mismatch")
    assert Job.objects.count() == 2


def test_what_dies_in_the_middle_has_written_nothing(api, monkeypatch):
    monkeypatch.setattr(taking, "CHUNK", 1)
    kept = []

    def dies_at_the_third(chunk, using):
        kept.append(chunk)
        if len(kept) == 3:
            raise KeyboardInterrupt
        copying.stored(chunk, using)

    monkeypatch.setattr(taking, "stored", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        send(api, job(1), job(2), job(3), job(4), Idempotency_Key="k")
    assert not Job.objects.exists()
    assert not Batch.objects.exists()
    monkeypatch.undo()
    taken(send(api, job(1), job(2), job(3), job(4), Idempotency_Key="k"))
    assert Job.objects.count() == 4


# ---- progress, answers, the end


def test_answers_come_in_the_order_of_the_lines_while_it_runs_too(api, monkeypatch):
    monkeypatch.setattr(results, "PAGE", 2)
    batch = taken(send(api, job(1), b"{", job(3), b"[", job(5), job(6), query="?on_error=skip"))
    first, third, fifth, _ = Job.objects.filter(batch=batch).order_by("line")
    end(third, nano_usd=7, used_input_tokens=3, used_output_tokens=4)
    end(first, nano_usd=5)
    end(fifth, state=State.FAILED, error_code="timeout", error_message="it took too long")

    shown = answers(api, batch)

    assert [(one["line"], one["status"]) for one in shown] == [
        (1, "succeeded"),
        (2, "rejected"),
        (3, "succeeded"),
        (4, "rejected"),
        (5, "failed"),
        (6, "queued"),
    ]
    assert shown[0] == {
        "id": str(first.pk),
        "custom_id": "q-1",
        "response": {"status_code": 200, "request_id": first.request_id, "body": {"choices": []}},
        "error": None,
        "line": 1,
        "status": "succeeded",
    }
    assert shown[4]["error"] == {"code": "timeout", "message": "it took too long"}
    found = api.get(f"{BATCHES}/{batch}").json()
    assert (found["cost_nano_usd"], found["usage"]["total_tokens"], found["eta_s"]) == (12, 7, 20)


def test_answers_are_in_memory_up_to_so_much_of_them_and_none_is_left_out(api, monkeypatch):
    batch = taken(send(api, *(job(number) for number in range(1, 8)), b"{", query="?on_error=skip"))
    for number, row in enumerate(Job.objects.filter(batch=batch).order_by("line")):
        end(row)
        Job.objects.filter(pk=row.pk).update(result=orjson.dumps("x" * (500 if number == 2 else 98)).decode())
    monkeypatch.setattr(results, "MOST_CHARS", 250)
    pages = [[orjson.loads(line)["line"] for line in page.splitlines()] for page in results.pages_of(Batch.objects.get(pk=batch))]
    assert pages == [[1, 2], [3], [4, 5], [6, 7, 8]]


def test_a_batch_is_closed_with_its_last_job_whoever_sees_it(api):
    batch = Batch.objects.get(pk=taken(send(api, job(1), job(2))))
    one, two = Job.objects.filter(batch=batch)
    end(one)
    assert tend_batches(process_pump()) == 0
    end(two, state=State.FAILED, error_code="timeout")
    assert tend_batches(process_pump()) == 1
    batch.refresh_from_db()
    assert (batch.state, batch.finished_at is not None) == (BatchState.COMPLETED, True)
    assert tend_batches(process_pump()) == 0


def test_the_rest_is_cancelled_and_what_ended_stays(api):
    batch = taken(send(api, job(1), job(2), job(3)))
    done, running, _ = Job.objects.filter(batch=batch).order_by("line")
    end(done)
    Job.objects.filter(pk=running.pk).update(state=State.RUNNING)

    response = api.post(f"{BATCHES}/{batch}/cancel")

    shown = response.json()
    assert (response.status_code, shown["status"], shown["cancelled"], shown["asked"]) == (202, "in_progress", 1, 1)
    assert JobEvent.objects.filter(job__batch=batch, kind="cancelled").get().detail["by"].startswith("key ")
    end(running, state=State.CANCELLED)
    again = api.post(f"{BATCHES}/{batch}/cancel")
    assert (again.status_code, again.json()["status"], again.json()["counts"]["succeeded"]) == (200, "cancelled", 1)


def test_the_caretaker_cancels_on_where_somebody_died(api):
    batch = taken(send(api, job(1), job(2)))
    Batch.objects.filter(pk=batch).update(cancel_requested=True)
    assert tend_batches(process_pump()) == 0  # it was closed on the way
    assert api.get(f"{BATCHES}/{batch}").json()["status"] == "cancelled"
    assert cancel_batch(Batch.objects.get(pk=batch)).ended == 0


def test_nobody_sees_anothers_batch(api):
    other = Api(add_tenant("globex").secret)
    batch = taken(send(api, job(1)))
    for path in ("", "/results", "/errors"):
        problem_of(other.get(f"{BATCHES}/{batch}{path}"), 404, "not_found")
    problem_of(other.post(f"{BATCHES}/{batch}/cancel"), 404, "not_found")
    assert other.get(BATCHES).json()["data"] == []
    assert other.get(f"/api/v1/jobs?batch={batch}").json()["data"] == []
    assert [one["id"] for one in api.get(BATCHES).json()["data"]] == [batch]
    assert len(api.get(f"/api/v1/jobs?batch={batch}").json()["data"]) == 1


# ---- the shell and the pages


def test_a_file_comes_in_once_however_often_it_is_submitted(acme, tmp_path, capsys):
    file, out = tmp_path / "jobs.jsonl", tmp_path / "out.jsonl"
    file.write_bytes(jsonl(job(1), job(2)))
    call_command("submit", str(file), "--tenant", "acme")
    end(*Job.objects.all())
    call_command("submit", str(file), "--tenant", "acme", "--wait", "-o", str(out))
    assert [json.loads(line)["custom_id"] for line in out.read_text().splitlines()] == ["q-1", "q-2"]
    assert (Batch.objects.count(), Job.objects.count()) == (1, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"jobs.jsonl", "out.jsonl"}
    call_command("submit", str(file), "--tenant", "acme", "--name", "once more")
    assert Batch.objects.count() == 2


def test_bad_lines_of_a_file_are_told_by_number(acme, tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(jsonl(job(1), b"{", job(3, model="nope")))
    with pytest.raises(CommandError, match=r"2 lines cannot be a job(.|\n)*line 2: (.|\n)*line 3: there is no model"):
        call_command("submit", str(file), "--tenant", "acme")
    assert not Batch.objects.exists()


def test_people_see_batches_within_their_reach_and_members_cancel(api, acme):
    add_tenant("globex")
    batch = taken(send(api, job(1), b"{<script>", query="?on_error=skip&name=%3Cb%3E"))
    page = f"/dashboard/batches/{batch}"
    viewer, member, stranger = signed_in("vera", acme="viewer"), signed_in("mia", acme="member"), signed_in("sam", globex="owner")
    for person, status in ((viewer, 200), (member, 200), (stranger, 404)):
        assert person.client.get(page).status_code == status
        assert person.client.get(f"{page}/part").status_code == status
    listed = [person.client.get("/dashboard/batches").content.decode() for person in (viewer, stranger)]
    assert batch in listed[0]
    assert "<b>" not in listed[0]
    assert batch not in listed[1]
    assert viewer.client.post(f"{page}/cancel").status_code == 403
    assert Job.objects.filter(state=State.QUEUED).count() == 1
    assert "Cancel the rest" in member.client.get(f"{page}/cancel").content.decode()
    assert "1 waiting jobs are cancelled" in member.told(member.client.post(f"{page}/cancel"))
    assert Job.objects.get().state == State.CANCELLED
    assert BatchError.objects.get().line == 2
    assert batch[:8] in member.client.get(f"/dashboard/jobs?batch={batch}").content.decode() or Job.objects.count() == 1
    root = signed_in("root")
    assert root.client.get(f"/admin/rateguard_jobs/batch/{batch}/change/").status_code == 200
