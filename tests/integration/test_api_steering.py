"""What a caller does to jobs that there are: requeue, another lane, many at once; and the failures that are alike."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt

import orjson
import pytest
from django.utils import timezone

from rateguard.engine.lanes import Lane
from rateguard.jobs.failures import fingerprint_of
from rateguard.jobs.insight import failures as groups
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import State
from tenants.keys import issue_key
from tests.api import Api, problem_of
from tests.line import state_of
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db
HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
ONE = "/api/v1/jobs/{}"


@pytest.fixture
def api(acme):
    return Api(acme.secret)


def submitted(api, **job):
    return Job.objects.get(pk=api.submit({**HELLO, "job": job}).json()["id"])


def failed(api, count=1, code="timeout", message="no answer in 30 s", ago_s=1, **columns):
    at = timezone.now() - dt.timedelta(seconds=ago_s)
    jobs = [submitted(api) for _ in range(count)]
    told = {"error_code": code, "error_message": message, "fingerprint": fingerprint_of(code, message)}
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(state=State.FAILED, finished_at=at, **{**told, **columns})
    return jobs


def patched(api, job, **body):
    return api.send("patch", ONE.format(job.pk), orjson.dumps(body))


def many(api, action, given, **more):
    return api.post("/api/v1/jobs/bulk", {"action": action, "filter": given, **more})


class TestOne:
    def test_a_job_for_later_is_requeued_and_the_key_stands_in_the_event(self, api, acme):
        job = submitted(api, run_at="2099-01-01T00:00:00Z")
        answer = api.post(f"{ONE.format(job.pk)}/requeue")
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        assert JobEvent.objects.get(kind="released").detail["by"] == f"key {acme.key.prefix}"

    def test_a_running_job_is_asked_back_and_one_that_ended_or_may_go_once_is_refused(self, api):
        job = submitted(api)
        Job.objects.filter(pk=job.pk).update(state=State.RUNNING, attempt=1)
        assert api.post(f"{ONE.format(job.pk)}/requeue").status_code == 202
        Job.objects.filter(pk=job.pk).update(delivery="at_most_once", requeue_requested=False)
        problem_of(api.post(f"{ONE.format(job.pk)}/requeue"), 409, "at_most_once")
        problem_of(api.post(f"{ONE.format(failed(api)[0].pk)}/requeue"), 409, "not_requeueable")

    def test_a_waiting_job_changes_its_lane_as_far_as_the_key_may(self, api, acme):
        job = submitted(api)
        assert patched(api, job, lane="background").json()["lane"] == "background"
        low = Api(issue_key(acme.tenant, "low", highest_lane=Lane.NORMAL)[1])
        problem_of(patched(low, job, lane="high"), 403, "lane_not_allowed")
        problem_of(patched(api, job, lane="express"), 400, "invalid_field")
        problem_of(patched(api, job, state="failed"), 400, "unknown_field")
        assert Job.objects.get(pk=job.pk).lane == Lane.BACKGROUND
        problem_of(patched(api, failed(api)[0], lane="high"), 409, "not_waiting")

    def test_it_takes_the_permission_to_submit_and_ones_own_job(self, api, acme):
        job = submitted(api)
        reader, stranger = Api(issue_key(acme.tenant, "reader", permissions=["read"])[1]), Api(add_tenant("globex").secret)
        for who, status, code in ((reader, 403, "forbidden"), (stranger, 404, "not_found")):
            problem_of(patched(who, job, lane="high"), status, code)
            problem_of(who.post(f"{ONE.format(job.pk)}/requeue"), status, code)
        problem_of(many(reader, "cancel", {"status": "queued"}), 403, "forbidden")
        assert many(stranger, "cancel", {"status": "queued"}).json()["chosen"] == 0
        assert state_of(job) == State.QUEUED


class TestMany:
    def test_a_dry_run_says_what_a_retry_would_do_and_the_retry_does_it_once(self, api):
        jobs = failed(api, 3)
        submitted(api)
        given = {"status": "failed,queued", "model": CHAT_MODEL}
        told = many(api, "retry", given, dry_run=True).json()
        assert (told["chosen"], told["by_status"], told["by_model"]) == (3, {"failed": 3}, {CHAT_MODEL: 3})
        assert (told["left_out"], told["moved"], told["left"], state_of(jobs[0])) == ({"waiting": 1}, 0, 0, State.FAILED)
        did = many(api, "retry", given, as_of=told["as_of"]).json()
        assert (did["moved"], did["refused"], did["dry_run"]) == (3, [], False)
        assert many(api, "retry", given, as_of=told["as_of"]).json()["chosen"] == 0

    def test_what_failed_again_is_not_meant_by_an_earlier_look(self, api):
        (job,) = failed(api)
        as_of = many(api, "retry", {"status": "failed"}, dry_run=True).json()["as_of"]
        Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() + dt.timedelta(minutes=1))
        told = many(api, "retry", {"status": "failed"}, as_of=as_of).json()
        assert (told["moved"], told["left_out"]) == (0, {"ended_since": 1})
        assert state_of(job) == State.FAILED

    def test_a_lane_a_requeue_and_a_cancel_of_many(self, api):
        for _ in range(2):
            submitted(api, run_at="2099-01-01T00:00:00Z", labels={"feature": "nightly"})
        kept = submitted(api, run_at="2099-01-01T00:00:00Z")
        given = {"label": "feature:nightly"}
        assert many(api, "lane", given, lane="low").json()["moved"] == 2
        assert many(api, "requeue", given).json()["moved"] == 2
        assert many(api, "cancel", given).json()["by_status"] == {"queued": 2}
        assert (state_of(kept), Job.objects.filter(state=State.CANCELLED, lane=Lane.LOW).count()) == (State.SCHEDULED, 2)

    def test_a_key_that_may_not_is_told_for_how_many(self, api, acme):
        failed(api, 2)
        ruled = Api(issue_key(acme.tenant, "ruled", allowed_models=[EMBEDDING_MODEL])[1])
        assert [(one["code"], one["jobs"]) for one in many(ruled, "retry", {"status": "failed"}).json()["refused"]] == [
            ("model_not_allowed", 2)
        ]

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"action": "delete", "filter": {"status": "failed"}}, "invalid_field"),
            ({"action": "retry"}, "invalid_field"),
            ({"action": "retry", "filter": {}}, "invalid_field"),
            ({"action": "retry", "filter": {"colour": "red"}}, "unknown_field"),
            ({"action": "retry", "filter": {"status": "gone"}}, "invalid_parameter"),
            ({"action": "retry", "filter": {"status": {"a": 1}}}, "invalid_field"),
            ({"action": "lane", "filter": {"status": "queued"}}, "invalid_field"),
            ({"action": "cancel", "lane": "low", "filter": {"status": "queued"}}, "invalid_field"),
            ({"action": "retry", "filter": {"status": "failed"}, "as_of": "yesterday"}, "invalid_field"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_and_nothing_is_done(self, api, body, code):
        job = submitted(api)
        problem_of(api.post("/api/v1/jobs/bulk", body), 400, code)
        assert state_of(job) == State.QUEUED


class TestFailures:
    def test_what_failed_alike_is_one_group_the_newest_first_and_leads_to_its_jobs(self, api):
        failed(api, 2, message="no answer in 30 s from host a1b2c3d4e5f6", ago_s=60)
        failed(api, 1, message="no answer in 31 s from host ffffffffff01", ago_s=30)
        (other,) = failed(api, 1, "auth", "bad key", ago_s=10, model=EMBEDDING_MODEL)
        told = api.get("/api/v1/failures").json()
        assert [(one["jobs"], one["models"], one["error"]["code"]) for one in told["data"]] == [
            (1, [EMBEDDING_MODEL], "auth"),
            (3, [CHAT_MODEL], "timeout"),
        ]
        newest, timeouts = told["data"]
        assert (newest["last_job"], newest["error"]["message"], told["is_partial"]) == (str(other.pk), "bad key", False)
        assert timeouts["first_at"] < timeouts["last_at"]
        listed = api.get(f"/api/v1/jobs?fingerprint={timeouts['fingerprint']}").json()["data"]
        assert {job["fingerprint"] for job in listed} == {timeouts["fingerprint"]}
        assert len(listed) == 3
        assert many(api, "retry", {"fingerprint": timeouts["fingerprint"]}).json()["moved"] == 3
        assert len(api.get("/api/v1/failures").json()["data"]) == 1

    def test_a_time_and_a_model_narrow_them_and_another_tenants_are_not_told(self, api):
        failed(api, 1, "auth", "bad key", ago_s=7_200)
        failed(api, 1, "timeout", "late", model=EMBEDDING_MODEL)
        failed(Api(add_tenant("globex").secret), 1, "server", "theirs")
        since = (timezone.now() - dt.timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        for query, codes in (("", ["timeout", "auth"]), (f"?since={since}", ["timeout"]), (f"?until={since}", ["auth"])):
            assert [one["error"]["code"] for one in api.get(f"/api/v1/failures{query}").json()["data"]] == codes
        found = api.get(f"/api/v1/failures?model={CHAT_MODEL}").json()["data"]
        assert [one["error"]["code"] for one in found] == ["auth"]
        problem_of(api.get("/api/v1/failures?since=soon"), 400, "invalid_parameter")

    def test_the_figures_are_bounded_and_say_so(self, api, monkeypatch):
        failed(api, 3)
        failed(api, 1, "auth", "bad key")
        monkeypatch.setattr(groups, "MOST_GROUPS", 1)
        assert api.get("/api/v1/failures").json()["is_partial"]
