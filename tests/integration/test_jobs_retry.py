"""A person's retry: what ended without an answer waits again, in place, as new; what it cost stays."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt

import pytest
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest, LimitInTheWay
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.jobs.controls.runs import start_run, stop_run
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.intake import queue_bound
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import RESUBMIT, TERMINAL, State
from tenants.keys import issue_key
from tenants.models import Limit, ModelRoute, Scope
from tests.api import Api, problem_of
from tests.line import assert_books_close, events_of, state_of, wait_for
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme, add_tenant  # noqa: F401

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}


@pytest.fixture
def api(acme):
    return Api(acme.secret)


def submitted(api, **job):
    return Job.objects.get(pk=api.submit({**HELLO, "job": job}).json()["id"])


def put(job, state, **columns):
    """Put a job into a state, as it would come there."""
    ended = {"finished_at": timezone.now(), "started_at": timezone.now()} if state in TERMINAL else {}
    Job.objects.filter(pk=job.pk).update(**{"state": state, "attempt": 3, "run_at": timezone.now(), **ended, **columns})
    job.refresh_from_db()
    return job


@pytest.mark.django_db
class TestARow:
    @pytest.mark.parametrize("state", sorted(RESUBMIT.sources))
    def test_what_ended_without_an_answer_waits_again_as_new(self, api, state):
        spent = {"nano_usd": 7, "used_input_tokens": 5, "used_output_tokens": 6}
        told = {"tries": 5, "abandoned": 1, "error_code": "server", "error_message": "x", "cancel_requested": True, "deployment": "d"}
        job = put(submitted(api), state, **spent, **told)
        before = job.queued_at
        response = api.post(f"/api/v1/jobs/{job.pk}/retry")
        shown = response.json()
        assert (response.status_code, shown["id"], shown["status"]) == (202, str(job.pk), "queued")
        assert response.headers["Location"] == f"/api/v1/jobs/{job.pk}"
        assert (shown["cost_nano_usd"], shown["usage"]["total_tokens"]) == (7, 11)
        job.refresh_from_db()
        assert (job.attempt, job.tries, job.abandoned, job.cancel_requested, job.error_code) == (3, 0, 0, False, "")
        assert (job.finished_at, job.started_at, job.run_at, job.result, job.deployment) == (None, None, None, None, "")
        assert job.queued_at > before
        event = JobEvent.objects.get(kind=RESUBMIT.name)
        assert (event.attempt, event.detail["by"][:7]) == (3, "key rg_")

    @pytest.mark.parametrize("state", sorted(set(State) - RESUBMIT.sources))
    def test_what_succeeded_or_has_not_ended_is_not_retryable(self, api, state):
        job = put(submitted(api), state)
        problem_of(api.post(f"/api/v1/jobs/{job.pk}/retry"), 409, "not_retryable")
        assert state_of(job) == state
        assert not JobEvent.objects.filter(kind=RESUBMIT.name).exists()

    def test_another_tenants_job_does_not_exist(self, api, acme):
        job = put(submitted(api), State.FAILED)
        problem_of(Api(add_tenant("globex").secret).post(f"/api/v1/jobs/{job.pk}/retry"), 404, "not_found")
        assert state_of(job) == State.FAILED

    def test_a_deadline_that_passed_is_dropped_one_ahead_holds_and_a_new_one_wins(self, api):
        ahead = timezone.now() + dt.timedelta(hours=1)
        passed = put(submitted(api), State.EXPIRED, deadline_at=timezone.now() - dt.timedelta(seconds=1))
        assert retry(passed).deadline_at is None
        assert retry(put(passed, State.FAILED, deadline_at=ahead)).deadline_at == ahead
        put(passed, State.FAILED)
        shown = api.post(f"/api/v1/jobs/{passed.pk}/retry", {"deadline": "2099-01-01T00:00:00Z"}).json()
        assert shown["deadline"] == "2099-01-01T00:00:00Z"

    @pytest.mark.parametrize(
        ("body", "code", "pointer"),
        [
            ({"deadline": "2001-01-01T00:00:00Z"}, "deadline_passed", "/deadline"),
            ({"deadline": 5}, "invalid_field", "/deadline"),
            ({"zz": 1}, "unknown_field", "/zz"),
            ([], "invalid_field", ""),
        ],
    )
    def test_a_bad_body_is_refused_and_nothing_moves(self, api, body, code, pointer):
        job = put(submitted(api), State.FAILED)
        problem = problem_of(api.post(f"/api/v1/jobs/{job.pk}/retry", body), 400, code)
        assert problem["errors"][0]["pointer"] == pointer
        assert state_of(job) == State.FAILED

    def test_the_gate_hears_of_it_when_it_commits(self, api, acme, django_capture_on_commit_callbacks):
        job = put(submitted(api), State.FAILED)
        with django_capture_on_commit_callbacks() as on_commit:
            retry(job)
        assert len(on_commit) == 1


@pytest.mark.django_db
class TestWhatMayBeInTheWay:
    def refusal(self, job, **how):
        before = Job.objects.values().get(pk=job.pk)
        with pytest.raises(InvalidRequest) as caught:
            retry(job, **how)
        assert Job.objects.values().get(pk=job.pk) == before
        return caught.value.code

    def test_its_model_is_gone(self, api):
        job = put(submitted(api), State.FAILED)
        ModelRoute.objects.filter(name=CHAT_MODEL).update(is_enabled=False)
        wiring.forget_directory()  # as the change would, when it commits
        assert self.refusal(job) == "unknown_model"

    def test_its_run_was_stopped(self, api, acme):
        run = start_run(acme.tenant)
        job = put(submitted(api, run=str(run.pk)), State.CANCELLED)
        stop_run(run)
        assert self.refusal(job) == "run_stopped"

    def test_a_limit_became_too_small(self, api, acme):
        job = put(submitted(api), State.FAILED)
        scope = Scope.objects.create(tenant=acme.tenant, kind="tenant", name="")
        Limit.objects.create(scope=scope, metric="tokens", amount=10, window_ms=60_000)
        wiring.forget_directory()
        assert self.refusal(job) == "exceeds_limit"

    def test_the_queue_is_full(self, api, acme):
        job = put(submitted(api), State.FAILED)
        submitted(api)
        acme.tenant.max_waiting = 1
        acme.tenant.save()
        queue_bound.forget()
        with pytest.raises(LimitInTheWay, match="1 may"):
            retry(Job.objects.get(pk=job.pk))

    @pytest.mark.parametrize(
        ("rules", "code"),
        [
            ({"highest_lane": Lane.LOW}, "lane_not_allowed"),
            ({"allowed_models": [EMBEDDING_MODEL]}, "model_not_allowed"),
            ({"bound": {"team": "ml"}}, "bound_to_key"),
        ],
    )
    def test_the_key_that_asks_does_not_allow_it(self, api, acme, rules, code):
        job = put(submitted(api), State.FAILED)
        assert self.refusal(job, key=issue_key(acme.tenant, "ruled", **rules)[0]) == code


class TestOnALine:
    def test_a_failed_job_is_done_at_the_second_asking_and_both_attempts_are_charged(self, line, station):
        line.provider.control.add_faults(Fault(FaultKind.SERVER_ERROR))
        job = line.submit(max_tries=1)
        wait_for(lambda: state_of(job) == State.FAILED)
        retry(job)
        wait_for(lambda: state_of(job) == State.SUCCEEDED)
        job.refresh_from_db()
        assert (job.attempt >= 2, job.attempts.count(), job.tries, job.error_code) == (True, 2, 0, "")
        assert [kind for kind in events_of(job) if kind != "limited"] == [
            "submitted",
            "started",
            "failed",
            "resubmitted",
            "started",
            "succeeded",
        ]
        assert_books_close()

    def test_a_job_that_is_cancelled_and_tried_again_at_once_is_done(self, line, station):
        job = submit(line.submission(run_at=timezone.now() + dt.timedelta(hours=1))).job
        retry(cancel(job))
        wait_for(lambda: state_of(job) == State.SUCCEEDED)
