"""The door for jobs: what callers may send, what they get, and that nothing they send breaks it."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt

import orjson
import pytest
import structlog
from django.db import OperationalError
from django.test import Client, override_settings
from django.utils import timezone

from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import CANCEL, State
from tenants.keys import issue_key, revoke_key
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme, add_tenant  # noqa: F401
from tests.webprocess import call, session, start_web  # noqa: F401

pytestmark = pytest.mark.django_db

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}


@pytest.fixture
def api(acme):
    return Api(acme.secret)


def finish(job_id, **columns):
    """Put a job at its end, as a worker would leave it."""
    columns = {"state": State.SUCCEEDED, "finished_at": timezone.now(), "started_at": timezone.now(), "attempt": 1, **columns}
    Job.objects.filter(pk=job_id).update(**columns)


class TestSubmit:
    def test_a_chat_is_accepted_with_its_place(self, api):
        response = api.submit(HELLO)
        job = response.json()
        assert response.status_code == 202
        assert response.headers["Location"] == f"/api/v1/jobs/{job['id']}"
        assert (job["object"], job["status"], job["endpoint"], job["model"], job["lane"]) == ("job", "queued", "chat", CHAT_MODEL, "normal")
        assert (job["result"], job["error"], job["cost_usd"], job["cost_nano_usd"]) == (None, None, "0.000000000", 0)
        assert api.get(response.headers["Location"]).json() == job

    def test_an_input_makes_embeddings(self, api):
        assert api.submit({"model": EMBEDDING_MODEL, "input": ["a", "b"]}).json()["endpoint"] == "embeddings"

    def test_the_body_is_kept_as_it_was_sent_without_the_job(self, api):
        sent = {**HELLO, "seed": 2**53, "response_format": {"type": "json_object"}, "job": {"team": "red"}}
        row = Job.objects.get(pk=api.submit(sent).json()["id"])
        assert orjson.loads(row.request) == {name: value for name, value in sent.items() if name != "job"}

    def test_what_the_caller_says_of_the_job_is_carried(self, api):
        run_at, deadline = "2099-01-01T00:00:00Z", "2099-01-02T01:00:00+01:00"
        said = {
            "lane": "high",
            "user": "ada",
            "team": "red",
            "rolegroup": "engineers",
            "role": "lead",
            "labels": {"feature": "search"},
            "cost_center": "4711",
            "max_tries": 2,
            "timeout": 30,
            "delivery": "at_most_once",
            "metadata": {"ticket": 7},
        }
        job = api.submit({**HELLO, "job": {**said, "run_at": run_at, "deadline": deadline}}).json()
        assert {name: job[name] for name in said} == said
        assert (job["status"], job["run_at"], job["deadline"]) == ("scheduled", run_at, "2099-01-02T00:00:00Z")

    def test_the_request_id_is_the_callers_or_made_and_stands_in_the_row(self, api):
        given = api.submit(HELLO, X_Request_ID="trace-1")
        made = api.submit(HELLO, X_Request_ID="no good\x01id")
        assert given.headers["X-Request-ID"] == given.json()["request_id"] == "trace-1"
        assert made.headers["X-Request-ID"] == made.json()["request_id"] != "no good\x01id"
        assert Job.objects.get(pk=given.json()["id"]).request_id == "trace-1"

    def test_the_request_id_is_bound_to_the_logs_of_the_request_alone(self, api, monkeypatch):
        seen = []
        monkeypatch.setattr("rateguard.api.jobs.views.submit", lambda _: seen.append(structlog.contextvars.get_contextvars()))
        api.submit(HELLO, X_Request_ID="trace-2")
        assert (seen[0]["request_id"], structlog.contextvars.get_contextvars()) == ("trace-2", {})

    def test_where_nobody_can_wait_the_answer_comes_at_once_and_says_so(self, api):
        response = api.submit(HELLO, Prefer="respond-async, wait=60")
        assert (response.status_code, "Preference-Applied" in response.headers) == (202, False)
        assert api.get(f"{response.headers['Location']}?wait=60").json()["status"] == "queued"


BAD_BODIES = [
    (b" ", "invalid_json", ""),
    (b"{", "invalid_json", ""),
    (b"\xff\xfe", "invalid_json", ""),
    (b'{"a": NaN}', "invalid_json", ""),
    (b"[" * 1_000 + b"]" * 1_000, "invalid_field", ""),
    (b"[" * 100_000, "invalid_json", ""),
    (b"[]", "invalid_field", ""),
    (b"null", "invalid_field", ""),
    ({"model": CHAT_MODEL}, "missing_field", "/messages"),
    ({**HELLO, "input": "x"}, "invalid_field", "/input"),
    ({**HELLO, "messages": []}, "invalid_field", "/messages"),
    ({**HELLO, "messages": "hi"}, "invalid_field", "/messages"),
    ({**HELLO, "messages": [1]}, "invalid_field", "/messages/0"),
    ({**HELLO, "messages": [{"content": "x"}]}, "invalid_field", "/messages/0/role"),
    ({**HELLO, "messages": [{"role": "user", "content": 5}]}, "invalid_field", "/messages/0/content"),
    ({**HELLO, "messages": [{"role": "user", "content": [None]}]}, "invalid_field", "/messages/0/content/0"),
    ({**HELLO, "messages": [{"role": "user", "tool_calls": {}}]}, "invalid_field", "/messages/0/tool_calls"),
    ({**HELLO, "messages": [{"role": "user", "content": "a\0b"}]}, "invalid_field", "/messages/0/content"),
    ({**HELLO, "a/b~c": "\0"}, "invalid_field", "/a~1b~0c"),
    ({**HELLO, "tools": [3]}, "invalid_field", "/tools/0"),
    ({**HELLO, "max_tokens": 0}, "invalid_field", "/max_tokens"),
    ({**HELLO, "max_tokens": "20"}, "invalid_field", "/max_tokens"),
    ({**HELLO, "max_tokens": True}, "invalid_field", "/max_tokens"),
    (b'{"model": "gpt-5.4-mini", "messages": [{"role": "user"}], "max_tokens": 1' + b"0" * 40 + b"}", "invalid_json", "/max_tokens"),
    ({**HELLO, "n": 1_000}, "invalid_field", "/n"),
    ({**HELLO, "stream": "yes"}, "invalid_field", "/stream"),
    ({**HELLO, "model": None}, "invalid_field", "/model"),
    ({**HELLO, "model": "m" * 200}, "invalid_field", "/model"),
    ({**HELLO, "model": "nobody-knows"}, "unknown_model", "/model"),
    ({"model": EMBEDDING_MODEL, "input": ""}, "invalid_field", "/input"),
    ({"model": EMBEDDING_MODEL, "input": [{}]}, "invalid_field", "/input/0"),
    ({"model": EMBEDDING_MODEL, "input": [["a"]]}, "invalid_field", "/input/0"),
]
BAD_JOBS = [
    ([], "invalid_field", "/job"),
    ({"priority": 1}, "unknown_field", "/job/priority"),
    ({"lane": "fast"}, "unknown_lane", "/job/lane"),
    ({"lane": 3}, "unknown_lane", "/job/lane"),
    ({"user": "u" * 129}, "invalid_field", "/job/user"),
    ({"user": 5}, "invalid_field", "/job/user"),
    ({"team": "a\0"}, "invalid_field", "/job/team"),
    ({"labels": []}, "invalid_field", "/job/labels"),
    ({"labels": {"a": 1}}, "invalid_field", "/job/labels/a"),
    ({"labels": {str(n): "" for n in range(17)}}, "invalid_field", "/job/labels"),
    ({"labels": {"": "x"}}, "invalid_field", "/job/labels"),
    ({"labels": {"a\0": "x"}}, "invalid_field", "/job/labels"),
    ({"metadata": "x"}, "invalid_field", "/job/metadata"),
    ({"metadata": {"a": "x" * 20_000}}, "invalid_field", "/job/metadata"),
    ({"metadata": {"a": ["\0"]}}, "invalid_field", "/job/metadata/a/0"),
    ({"run_at": "tomorrow"}, "invalid_field", "/job/run_at"),
    ({"run_at": "2099-01-01T00:00:00"}, "invalid_field", "/job/run_at"),
    ({"run_at": "0001-01-01T00:00:00+14:00"}, "invalid_field", "/job/run_at"),
    ({"run_at": "2099-13-01T00:00:00Z"}, "invalid_field", "/job/run_at"),
    ({"run_at": 5}, "invalid_field", "/job/run_at"),
    ({"deadline": "2001-01-01T00:00:00Z"}, "deadline_passed", "/job/deadline"),
    ({"run_at": "2099-01-02T00:00:00Z", "deadline": "2099-01-01T00:00:00Z"}, "invalid_field", "/job/deadline"),
    ({"max_tries": 0}, "invalid_field", "/job/max_tries"),
    ({"max_tries": 1.5}, "invalid_field", "/job/max_tries"),
    ({"timeout": 10**12}, "invalid_field", "/job/timeout"),
    ({"delivery": "twice"}, "invalid_field", "/job/delivery"),
    ({"delivery": {}}, "invalid_field", "/job/delivery"),
]


def deep(levels):
    return b'{"model": "gpt-5.4-mini", "messages": [{"role": "user"}], "x": ' + b"[" * levels + b"]" * levels + b"}"


class TestWhatIsRefused:
    @pytest.mark.parametrize(("body", "code", "pointer"), BAD_BODIES, ids=range(len(BAD_BODIES)))
    def test_a_bad_body_is_a_problem_at_its_place_and_nothing_is_written(self, api, body, code, pointer):
        problem = problem_of(api.submit(body), 400, code)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
        assert not Job.objects.exists()

    @pytest.mark.parametrize(("job", "code", "pointer"), BAD_JOBS, ids=range(len(BAD_JOBS)))
    def test_a_bad_job_is_a_problem_at_its_place_and_nothing_is_written(self, api, job, code, pointer):
        problem = problem_of(api.submit({**HELLO, "job": job}), 400, code)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
        assert not Job.objects.exists()

    @pytest.mark.parametrize("levels", [249, 250, 251, 252, 253, 254, 255, 1_000, 1_020])
    def test_a_body_is_stored_or_refused_at_any_depth(self, api, levels):
        response = api.submit(deep(levels))
        assert response.status_code == 202 or problem_of(response, 400, "too_deep")
        assert response.status_code == (202 if levels < 252 else 400)

    @pytest.mark.parametrize("parameters", [True, {"properties": {"a": True, "b": {"type": ["string", "null"]}}}, {"properties": 5}])
    def test_a_tool_of_any_schema_is_the_providers_to_judge(self, api, parameters):
        tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        assert api.submit({**HELLO, "tools": [tool]}).status_code == 202

    def test_a_body_over_the_bound_is_too_large(self, api):
        problem_of(api.submit({**HELLO, "padding": "x" * 10_000_000}), 413, "body_too_large")

    def test_seven_megabytes_are_not_too_large(self, api):
        response = api.submit({"model": EMBEDDING_MODEL, "input": ["x" * 1_000_000] * 7})
        assert response.status_code == 202

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
    def test_another_content_type_is_unsupported(self, api, content_type):
        problem_of(api.send("post", "/api/v1/jobs", orjson.dumps(HELLO), content_type=content_type), 415, "unsupported_media_type")

    @pytest.mark.parametrize(("method", "path"), [("delete", "/api/v1/jobs"), ("put", "/api/v1/jobs"), ("options", "/api/v1/jobs")])
    def test_another_method_is_not_allowed_and_the_allowed_are_named(self, api, method, path):
        response = api.send(method, path)
        problem_of(response, 405, "method_not_allowed")
        assert "POST" in response.headers["Allow"]

    @pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2/jobs", "/api/v1/jobs/", "/api/v1/jobs/7", "/api/v1/jobs/%00", "/api/%ff"])
    @pytest.mark.parametrize("method", ["get", "post", "delete"])
    def test_an_unknown_address_is_a_problem(self, api, method, path):
        problem_of(api.send(method, path), 404, "not_found")

    @override_settings(ALLOWED_HOSTS=["elsewhere.example"])
    def test_what_django_itself_refuses_is_a_problem_too(self, api):
        problem_of(api.submit(HELLO), 400, "invalid_request")

    @pytest.mark.parametrize("wait", ["61", "-1", "x", "1.5", "%D9%A1", ""])
    def test_a_wait_beyond_a_minute_is_refused(self, api, wait):
        job = api.submit(HELLO).json()
        problem_of(api.get(f"/api/v1/jobs/{job['id']}?wait={wait}"), 400, "invalid_parameter")

    def test_a_database_that_is_away_is_said_with_a_time_to_come_back(self, api, monkeypatch):
        def away(_):
            raise OperationalError("no connection")

        monkeypatch.setattr("rateguard.api.jobs.views.submit", away)
        response = api.submit(HELLO)
        problem_of(response, 503, "unavailable")
        assert response.headers["Retry-After"] == "1"

    def test_a_fault_of_ours_is_a_problem_that_tells_nothing(self, api, monkeypatch):
        monkeypatch.setattr("rateguard.api.jobs.views.submit", lambda _: 1 / 0)
        assert "division" not in str(problem_of(api.submit(HELLO), 500, "internal_error"))


class TestWhoMayCome:
    @pytest.mark.parametrize(
        "authorization", ["", "Bearer", "Bearer rg_unknown", "Basic cmc6cmc=", "Bearer rg_" + "x" * 5_000, "Bearer rg_ä"]
    )
    def test_without_a_key_in_force_nothing_is_answered(self, acme, authorization):
        response = Client().post("/api/v1/jobs", HELLO, content_type="application/json", headers={"Authorization": authorization})
        problem_of(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    def test_a_revoked_key_is_none(self, acme, api):
        revoke_key(acme.key)
        problem_of(api.submit(HELLO), 401, "unauthenticated")

    @pytest.mark.parametrize("is_operator", [False, True])
    def test_another_tenants_job_does_not_exist(self, api, is_operator):
        path = api.submit(HELLO).headers["Location"]
        stranger = Api(issue_key(add_tenant("globex").tenant, "other", is_operator=is_operator)[1])
        problem_of(stranger.get(path), 404, "not_found")
        problem_of(stranger.send("post", f"{path}/cancel"), 404, "not_found")
        assert api.get(path).json()["status"] == "queued"

    def test_another_tenants_idempotency_key_is_another_key(self, api):
        mine = api.submit(HELLO, Idempotency_Key="k").json()
        theirs = Api(add_tenant("globex").secret).submit(HELLO, Idempotency_Key="k")
        assert theirs.json()["id"] != mine["id"]


class TestIdempotency:
    def test_the_same_key_and_request_give_the_same_job(self, api):
        first, again = (api.submit(HELLO, Idempotency_Key="order 7") for _ in range(2))
        assert again.json() == first.json()
        assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
        assert (Job.objects.count(), JobEvent.objects.count()) == (1, 1)

    def test_an_ended_job_is_answered_as_it_ended(self, api):
        first = api.submit(HELLO, Idempotency_Key="k")
        finish(first.json()["id"], result='{"choices": []}')
        again = api.submit(HELLO, Idempotency_Key="k")
        assert (again.status_code, again.json()["result"]) == (200, {"choices": []})

    @pytest.mark.parametrize("change", [{"max_tokens": 21}, {"job": {"lane": "high"}}, {"job": {"deadline": "2099-01-01T00:00:00Z"}}])
    def test_the_same_key_with_another_request_is_refused(self, api, change):
        api.submit(HELLO, Idempotency_Key="k")
        problem_of(api.submit({**HELLO, **change}, Idempotency_Key="k"), 422, "idempotency_mismatch")
        assert Job.objects.count() == 1

    def test_a_request_that_could_not_be_sent_anew_is_answered_still(self, api):
        sent = {**HELLO, "job": {"deadline": (timezone.now() + dt.timedelta(hours=1)).isoformat()}}
        first = api.submit(sent, Idempotency_Key="k").json()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rateguard.jobs.intake.submit.timezone.now", lambda: dt.datetime.now(dt.UTC) + dt.timedelta(hours=2))
            assert api.submit(sent, Idempotency_Key="k").json()["id"] == first["id"]

    def test_a_key_is_forgotten_after_its_time(self, api):
        first = api.submit(HELLO, Idempotency_Key="k").json()
        Job.objects.update(submitted_at=timezone.now() - dt.timedelta(hours=25))
        assert api.submit(HELLO, Idempotency_Key="k").json()["id"] != first["id"]

    @pytest.mark.parametrize("key", ["", " ", "k" * 256, "schlüssel"])
    def test_a_key_that_cannot_be_kept_is_refused(self, api, key):
        problem_of(api.submit(HELLO, Idempotency_Key=key), 400, "invalid_header")


class TestRepresentation:
    def test_the_answer_goes_out_as_the_provider_gave_it(self, api):
        path = api.submit(HELLO).headers["Location"]
        answer = '{"id":"c-1",  "choices":[{"message":{"content":"Hi \\u00e4"}}],"created":1.50}'
        finish(path.rpartition("/")[2], result=answer)
        assert answer.encode() in api.get(path).content

    def test_money_tokens_and_times_are_told(self, api):
        path = api.submit(HELLO).headers["Location"]
        figures = {"nano_usd": 1_234_567_890, "used_input_tokens": 9, "used_output_tokens": 12, "queue_ms": 40, "latency_ms": 700}
        finish(path.rpartition("/")[2], deployment="main", **figures)
        job = api.get(path).json()
        assert (job["cost_usd"], job["cost_nano_usd"]) == ("1.234567890", 1_234_567_890)
        assert job["usage"] == {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
        assert (job["queue_ms"], job["latency_ms"], job["deployment"]) == (40, 700, "main")
        assert job["started_at"].endswith("Z")
        assert job["finished_at"].endswith("Z")

    def test_a_failure_has_a_code_and_a_message(self, api):
        path = api.submit(HELLO).headers["Location"]
        finish(path.rpartition("/")[2], state=State.FAILED, error_code="bad_request", error_message="no such tool")
        assert api.get(path).json()["error"] == {"code": "bad_request", "message": "no such tool"}


class TestCancel:
    def test_a_waiting_job_ends_at_once(self, api):
        path = api.submit(HELLO).headers["Location"]
        response = api.send("post", f"{path}/cancel")
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
        assert JobEvent.objects.get(kind=CANCEL.name).detail["by"].startswith("key rg_")

    def test_a_running_job_is_asked_to_end(self, api):
        path = api.submit(HELLO).headers["Location"]
        Job.objects.update(state=State.RUNNING, attempt=1)
        response = api.send("post", f"{path}/cancel")
        assert (response.status_code, response.json()["status"], response.json()["cancel_requested"]) == (202, "running", True)

    def test_an_ended_job_stays_as_it_is(self, api):
        path = api.submit(HELLO).headers["Location"]
        finish(path.rpartition("/")[2])
        response = api.send("post", f"{path}/cancel")
        assert (response.status_code, response.json()["status"]) == (200, "succeeded")


def test_the_lanes_are_named_as_everywhere(api):
    assert {api.submit({**HELLO, "job": {"lane": lane.label}}).json()["lane"] for lane in Lane} == {lane.label for lane in Lane}


class TestWebProcess:
    @pytest.mark.long
    def test_a_body_in_chunks_is_a_body(self, start_web, acme):
        with session(start_web(), acme.secret) as http:
            sent = orjson.dumps(HELLO)
            assert call(http, "POST", "/api/v1/jobs", iter([sent[:10], sent[10:]]))[0] == 202
            assert call(http, "POST", "/api/v1/jobs", iter([b" " * 1_000_000] * 9))[0] == 413
