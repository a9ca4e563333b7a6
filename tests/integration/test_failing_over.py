"""A job whose deployment fails goes on at another one; one that its model gives up, at the model that is named for such an error."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import types

import orjson
import pytest

from rateguard import complete, wiring
from rateguard.engine.errors import ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Outcome
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.retry import RetrySettings
from rateguard.engine.routing.sticky import home
from rateguard.jobs.attempts.claim import claim
from rateguard.jobs.attempts.outcome import failed, succeeded
from rateguard.jobs.attempts.passing_on import passed_on
from rateguard.jobs.attempts.settle import settle
from rateguard.jobs.intake import supported
from rateguard.jobs.intake.fallback import with_fallbacks
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.jobs.rendering import render_job
from rateguard.jobs.states import State
from tenants.models import ApiKey, Deployment, LedgerEntry, ModelRoute, Price, ProviderAccount, RouteFallback, RouteTarget, UsageQuarter
from tests.api import Api
from tests.line import MODEL, assert_books_close, events_of, has_ended, wait_for
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401

OTHER, LARGE = "sim-other", "sim-large"


def deployment(line, name):
    Price.objects.create(provider="sim", model=name, valid_from="2020-01-01T00:00Z", input_pico=300_000, output_pico=1_200_000)
    return Deployment.objects.create(account=line.account, name=name, upstream_model=name)


@pytest.fixture
def other(line):
    """A second deployment of MODEL, behind the first."""
    made = deployment(line, OTHER)
    RouteTarget.objects.create(route=ModelRoute.objects.get(name=MODEL), deployment=made, position=1)
    wiring.forget_directory()
    wiring.push_configuration()
    return made


@pytest.fixture
def large(line):
    """A model to fall back to: what is too long for MODEL, or fails there, goes on at it."""
    route = ModelRoute.objects.create(name=LARGE)
    RouteTarget.objects.create(route=route, deployment=deployment(line, LARGE))
    for position, on in enumerate(("context_too_long", "server")):
        RouteFallback.objects.create(route=ModelRoute.objects.get(name=MODEL), on=on, position=position, to=route)
    wiring.forget_directory()
    wiring.push_configuration()
    return route


def place_of(name):
    return next(place for place in wiring.directory().places.values() if place.name == name)


def end(claimed, kind=ErrorKind.SERVER, *, at=MODEL, max_tries=5, **said):
    """The attempt fails; its end is written. Returns the job."""
    error = ProviderError("no", kind=kind, **said)
    finished = failed(claimed, place_of(at), error, 1, has_left=True, chance=0.0, settings=RetrySettings(max_tries=max_tries))
    (finished,) = with_fallbacks([finished])
    settle([finished.ended])
    process_pump().settle([(finished.settlement, None)])
    return Job.objects.get(pk=claimed.job)


def again(line, job):
    """The job as it is granted and claimed next."""
    if job.state == State.SCHEDULED:
        Job.objects.filter(pk=job.pk).update(state=State.QUEUED)
    line.beat()
    process_pump().enqueue([waiting_of(Job.objects.get(pk=job.pk))])
    entries, epoch = line.next_message()
    (claimed,) = claim(entries, epoch, "w1", {place.id: place.name for place in wiring.directory().places.values()})
    return claimed


def ended(job, within_s=15):
    wait_for(lambda: has_ended(job), within_s)
    job.refresh_from_db()
    return job


# ---- another deployment


def test_a_retry_begins_at_another_deployment_and_comes_back_when_that_fails_too(line, other):
    claimed = line.run()
    job = end(claimed)
    assert (job.state, job.tries, job.route_marks) == (State.SCHEDULED, 1, f"*{line.deployment.pk}")
    claimed = again(line, job)
    assert (claimed.deployment_id, claimed.route_marks) == (other.pk, job.route_marks)
    job = end(claimed, at=OTHER)
    assert job.route_marks == f"*{other.pk}"
    assert again(line, job).deployment_id == line.deployment.pk


def test_a_model_that_is_not_there_is_sought_at_each_deployment_once(line, other):
    job = end(line.run(), ErrorKind.NOT_FOUND, status=404)
    assert (job.state, job.tries, job.route_marks) == (State.QUEUED, 0, f"-{line.deployment.pk}")
    job = end(again(line, job), ErrorKind.NOT_FOUND, at=OTHER, status=404)
    assert (job.state, job.error_code) == (State.FAILED, "not_found")


def test_an_adapter_that_refuses_passes_the_job_on_while_there_is_another(line, other):
    claimed = line.run()
    refusal = InvalidRequest("no words for it", code="unsupported_by_provider", pointer="/seed")
    finished = passed_on(claimed, place_of(MODEL), refusal, 1)
    settle([finished.ended])
    job = Job.objects.get()
    assert (job.state, job.tries, job.route_marks) == (State.QUEUED, 0, f"-{line.deployment.pk}")
    detail = JobEvent.objects.get(kind="passed_on").detail
    assert detail == {"deployment": MODEL, "error": "unsupported_by_provider"}
    process_pump().settle([(finished.settlement, None)])
    claimed = again(line, job)
    assert claimed.deployment_id == other.pk
    assert passed_on(claimed, place_of(OTHER), refusal, 1) is None


def test_what_one_deployment_cannot_do_never_goes_there_and_is_counted_for_the_other(line, other, monkeypatch):
    refuses = types.SimpleNamespace(check=_refuse_at(MODEL), check_says_all=True)
    monkeypatch.setattr(supported, "_registry", lambda: types.SimpleNamespace(get=lambda _: refuses))
    job = line.submit()
    assert job.route_marks == f"-{line.deployment.pk}"
    line.beat()
    assert line.next_message()[0][0][2] == other.pk
    refuses.check = _refuse_at(MODEL, OTHER)
    with pytest.raises(InvalidRequest):
        line.submit()


def _refuse_at(*models):
    def check(target, _):
        if target.upstream_model in models:
            raise InvalidRequest("no", code="unsupported_by_provider")

    return check


# ---- another model


def test_a_fallback_is_counted_anew_and_each_model_has_its_own_entry(line, large):
    claimed = line.run()
    Job.objects.update(route_marks="*9", tries=3)
    job = end(claimed, ErrorKind.CONTEXT_TOO_LONG, status=400, may_be_billed=True)
    assert (job.state, job.model, job.fallen_back_from, job.fallbacks) == (State.QUEUED, LARGE, MODEL, 1)
    assert (job.tries, job.route_marks, job.input_tokens > 0) == (0, "", True)
    shown = render_job(job)
    assert (shown["model"], shown["fallen_back_from"], shown["fallbacks"]) == (LARGE, MODEL, 1)
    told = {"from": MODEL, "to": LARGE, "on": "context_too_long", "error": "context_too_long"}
    assert JobEvent.objects.get(kind="fell_back").detail == told

    claimed = again(line, job)
    usage = Usage(input_tokens=3, output_tokens=2)
    outcome = Outcome(b"{}", usage, "stop", "r", sent_at=1.0, answered_at=1.1)
    settle([succeeded(claimed, place_of(LARGE), outcome, 5).ended])
    entries = LedgerEntry.objects.order_by("attempt").values_list("model", "deployment", "nano_usd")
    assert list(entries) == [(MODEL, MODEL, entries[0][2]), (LARGE, LARGE, 3_300)]
    assert entries[0][2] > 0
    assert list(Attempt.objects.order_by("number").values_list("model", flat=True)) == [MODEL, LARGE]
    quarters = UsageQuarter.objects.values_list("model", "jobs", "succeeded")
    assert {model: (jobs, answered) for model, jobs, answered in quarters} == {MODEL: (0, 0), LARGE: (1, 1)}
    assert_books_close()


@pytest.mark.long
def test_a_model_falls_back_only_for_the_errors_it_names_and_when_its_tries_are_over(line, large):
    claimed = line.run(max_tries=2)
    job = end(claimed, max_tries=2)
    assert (job.state, job.model) == (State.SCHEDULED, MODEL)
    claimed = again(line, job)
    job = end(claimed, max_tries=2)
    assert (job.state, job.model, job.tries) == (State.QUEUED, LARGE, 0)
    job = end(again(line, job), ErrorKind.CONTENT_FILTER, at=LARGE, status=400)
    assert (job.state, job.error_code, job.model) == (State.FAILED, "content_filter", LARGE)


@pytest.mark.long
@pytest.mark.parametrize("reason", ["most", "key", "cancelled", "at_most_once"])
def test_it_fails_with_its_error_where_it_may_not_fall_back(line, large, reason):
    claimed = line.run(delivery="at_most_once" if reason == "at_most_once" else "at_least_once")
    if reason == "most":
        ModelRoute.objects.filter(name=MODEL).update(max_fallbacks=0)
        wiring.forget_directory()
    elif reason == "key":
        key = ApiKey.objects.create(tenant=line.acme, name="mine", prefix="rg_mine", digest="d", allowed_models=[MODEL])
        Job.objects.update(api_key_id=key.pk)
    elif reason == "cancelled":
        Job.objects.update(cancel_requested=True)
    job = end(claimed, ErrorKind.CONTEXT_TOO_LONG, status=400)
    assert (job.state, job.error_code, job.model, job.fallbacks) == (State.FAILED, "context_too_long", MODEL, 0)


def test_two_models_do_not_send_a_job_to_and_fro_and_a_retry_begins_at_its_own(line, large):
    huge = ModelRoute.objects.create(name="huge")
    RouteTarget.objects.create(route=huge, deployment=line.deployment)
    for position, to in enumerate((ModelRoute.objects.get(name=MODEL), huge)):
        RouteFallback.objects.create(route=large, on="any", position=position, to=to)
    wiring.forget_directory()
    wiring.push_configuration()
    job = end(line.run(), ErrorKind.CONTEXT_TOO_LONG, status=400)
    job = end(again(line, job), ErrorKind.CONTEXT_TOO_LONG, at=LARGE, status=400)
    assert (job.state, job.model, job.fallen_back_from, job.fallbacks) == (State.QUEUED, "huge", MODEL, 2)
    job = end(again(line, job), ErrorKind.CONTEXT_TOO_LONG, status=400)
    assert (job.state, job.error_code, job.fallbacks) == (State.FAILED, "context_too_long", 2)
    job = retry(job)
    assert (job.state, job.model, job.fallen_back_from, job.fallbacks) == (State.QUEUED, MODEL, "", 0)
    assert end(again(line, job), ErrorKind.CONTEXT_TOO_LONG, status=400).model == LARGE


@pytest.mark.long
@pytest.mark.parametrize(
    ("on", "has_other", "model"), [("rate_limited", False, LARGE), ("any", False, MODEL), ("rate_limited", True, MODEL)]
)
def test_a_passing_limit_is_waited_for_unless_a_model_is_named_for_it_and_no_other_deployment_is_open(line, large, on, has_other, model):
    RouteFallback.objects.create(route=ModelRoute.objects.get(name=MODEL), on=on, position=5, to=large)
    if has_other:
        RouteTarget.objects.create(route=ModelRoute.objects.get(name=MODEL), deployment=deployment(line, OTHER), position=1)
    wiring.forget_directory()
    wiring.push_configuration()
    job = end(line.run(), ErrorKind.RATE_LIMITED, status=429, cools="deployment")
    assert (job.state, job.model, job.tries, job.fallbacks) == (State.QUEUED, model, 0, int(model == LARGE))


# ---- sessions


def test_a_session_stays_where_its_model_is_sticky(line, other):
    plain = line.submit(session="a talk")
    ModelRoute.objects.filter(name=MODEL).update(is_sticky=True)
    wiring.forget_directory()
    at = home("a talk", [(str(line.deployment.pk), 1), (str(other.pk), 1)])
    jobs = [line.submit(session="a talk") for _ in range(2)]
    assert (plain.route_marks, [job.route_marks for job in jobs]) == ("", [f"+{at}"] * 2)
    named = line.submission()
    named.body["prompt_cache_key"] = "a talk"
    assert submit(named).job.route_marks == f"+{at}"
    assert {line.submit(session=f"talk {number}").route_marks for number in range(12)} == {f"+{line.deployment.pk}", f"+{other.pk}"}


@pytest.mark.django_db
def test_a_session_comes_in_by_rest_and_by_delay(acme):
    route = ModelRoute.objects.get(name=CHAT_MODEL)
    second = Deployment.objects.create(account=ProviderAccount.objects.get(), name="second", upstream_model="gpt-4o-mini")
    RouteTarget.objects.create(route=route, deployment=second, position=1)
    ModelRoute.objects.filter(pk=route.pk).update(is_sticky=True)
    wiring.forget_directory()
    body = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
    api = Api(acme.secret)
    api.post("/api/v1/jobs", {**body, "job": {"session": "a talk"}})
    complete.delay("Hello", model=CHAT_MODEL, tenant=acme.tenant, max_tokens=20, session="a talk")
    (marks,) = set(Job.objects.values_list("route_marks", flat=True))
    assert (marks[0], Job.objects.count()) == ("+", 2)
    refused = api.post("/api/v1/jobs", {**body, "job": {"session": 5}})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/job/session")


# ---- with a worker


@pytest.mark.long
def test_a_worker_takes_a_failed_job_to_another_deployment(line, other, station):
    line.provider.control.add_faults(Fault(FaultKind.SERVER_ERROR, count=9, model=MODEL))
    job = ended(line.submit())
    assert (job.state, job.tries, job.deployment) == (State.SUCCEEDED, 1, OTHER)
    assert events_of(job) == ["submitted", "started", "retry", "released", "started", "succeeded"]
    assert_books_close()


@pytest.mark.long
def test_a_worker_passes_on_what_an_adapter_refuses_since(line, other, station, monkeypatch):
    claude = ProviderAccount.objects.create(name="claude", provider="anthropic", base_url=line.provider.base_url, credentials="sk-no")
    Deployment.objects.filter(pk=line.deployment.pk).update(account=claude, upstream_model="claude-haiku-4-5")
    wiring.forget_directory()
    wiring.push_configuration()
    monkeypatch.setattr(supported, "_refusal", lambda *_: None)
    submission = line.submission()
    submission.body["logit_bias"] = {"50256": -100}
    job = ended(submit(submission).job)
    assert (job.state, job.deployment, job.tries) == (State.SUCCEEDED, OTHER, 0)
    assert events_of(job) == ["submitted", "started", "passed_on", "started", "succeeded"]
    assert_books_close()


@pytest.mark.long
def test_a_worker_falls_back_to_the_larger_model(line, large, station):
    line.provider.control.add_faults(Fault(FaultKind.CONTEXT_LENGTH, count=9, model=MODEL))
    job = ended(line.submit())
    assert (job.state, job.model, job.fallen_back_from) == (State.SUCCEEDED, LARGE, MODEL)
    assert "choices" in orjson.loads(job.result)
    assert events_of(job) == ["submitted", "started", "fell_back", "started", "succeeded"]
    assert wait_for(lambda: line.gate.inspect().reservations == 0)
    assert_books_close()
