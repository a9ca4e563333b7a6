"""A worker's runtime against the simulated provider: what each answer and each fault does to the job, the money and the gate."""

import socket

import orjson
import pytest

from rateguard.engine.errors import ErrorKind
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.jobs.ends import event_stream
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.intake.bodies import endpoint_of
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState, State
from tenants.models import LedgerEntry, UsageQuarter
from tests.line import MODEL, assert_books_close, events_of, has_ended, state_of, wait_for


def ended(job, within_s=15):
    wait_for(lambda: has_ended(job), within_s)
    job.refresh_from_db()
    return job


def bill(line):
    return {one.attempt_id: one.nano_usd for one in line.provider.control.bill()}


def test_a_job_is_answered_billed_and_settled(line, station):
    budget, limit = line.budget(10**9), line.limit("tokens", 1_000)
    job = ended(line.submit(user="ada"))
    attempt = Attempt.objects.get()
    assert job.state == State.SUCCEEDED
    assert "choices" in job.result
    assert bill(line) == {f"{job.pk}.1": attempt.nano_usd}
    assert (job.nano_usd, LedgerEntry.objects.get().nano_usd) == (attempt.nano_usd, attempt.nano_usd)
    assert attempt.provider_request_id
    assert wait_for(lambda: line.used(budget).used == attempt.nano_usd and line.used(budget).reserved == 0)
    assert line.used(limit).used == attempt.input_tokens + attempt.output_tokens
    assert_books_close()


def test_an_embedding_is_answered_and_billed_by_its_input_alone(line, station):
    body = {"model": MODEL, "input": ["hello", "world"]}
    job = ended(submit(Submission(tenant=line.acme, endpoint=Endpoint.EMBEDDINGS, body=body)).job)
    attempt = Attempt.objects.get()
    assert (job.state, len(orjson.loads(job.result)["data"])) == (State.SUCCEEDED, 2)
    assert (attempt.input_tokens > 0, attempt.output_tokens) == (True, 0)
    assert bill(line) == {f"{job.pk}.1": attempt.nano_usd}
    assert_books_close()


def test_many_jobs_end_and_the_books_agree_with_the_providers_bill(line, station):
    line.submit_many(60)
    wait_for(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 60, 20)
    assert sum(bill(line).values()) == sum(LedgerEntry.objects.values_list("nano_usd", flat=True))
    assert UsageQuarter.objects.get().succeeded == 60
    assert wait_for(lambda: line.gate.inspect().reservations == 0)
    assert_books_close()


# ---- a provider's limit


@pytest.mark.parametrize("form", list(RetryAfterForm))
def test_a_429_cools_what_it_names_costs_no_try_and_the_job_succeeds_later(line, station, form):
    line.provider.control.add_faults(Fault(FaultKind.RATE_LIMITED, retry_after=form, wait_ms=400))
    job = line.submit(max_tries=1)
    wait_for(lambda: Attempt.objects.filter(number=1, state=AttemptState.FAILED).exists())
    ended(job)
    first, second = Attempt.objects.order_by("number")
    assert (job.state, job.tries, job.attempt) == (State.SUCCEEDED, 0, 2)
    assert (first.error_code, first.nano_usd, second.state) == (ErrorKind.RATE_LIMITED, 0, AttemptState.SUCCEEDED)
    arrivals = [one.arrived_ms for one in line.provider.control.log()]
    expected_ms = {RetryAfterForm.SECONDS: 1_000, RetryAfterForm.HTTP_DATE: 1, RetryAfterForm.ZERO: 0, RetryAfterForm.NONE: 1_000}
    assert arrivals[1] - arrivals[0] >= expected_ms.get(form, 400)
    assert events_of(job) == ["submitted", "started", "limited", "started", "succeeded"]
    assert_books_close()


def test_while_an_account_cools_nothing_is_sent_to_it(line, station):
    line.provider.control.add_faults(Fault(FaultKind.RATE_LIMITED, retry_after=RetryAfterForm.SECONDS, wait_ms=1_000))
    first = line.submit()
    wait_for(lambda: line.gate.inspect().cooling)
    (cooling,) = line.gate.inspect().cooling
    assert cooling.target in {f"a{line.account.pk}", f"d{line.deployment.pk}"}
    assert 0 < cooling.for_ms <= 1_000
    others = line.submit_many(5)
    for job in (first, *others):
        ended(job)
    arrivals = [one.arrived_ms for one in line.provider.control.log()]
    assert arrivals[1] - arrivals[0] >= 1_000


# ---- failures that are tried again


@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.OVERLOADED, FaultKind.HTML])
def test_a_5xx_is_tried_again_and_counts_a_try(line, station, kind):
    line.provider.control.add_faults(Fault(kind, count=2))
    job = ended(line.submit())
    assert (job.state, job.tries, job.attempt) == (State.SUCCEEDED, 2, 3)
    assert events_of(job) == ["submitted", *["started", "retry", "released"] * 2, "started", "succeeded"]
    assert_books_close()


def test_the_last_try_fails_the_job(line, station):
    line.provider.control.add_faults(Fault(FaultKind.SERVER_ERROR, count=9))
    job = ended(line.submit(max_tries=3))
    assert (job.state, job.error_code, job.tries, job.attempt) == (State.FAILED, ErrorKind.SERVER, 3, 3)
    assert (job.nano_usd, LedgerEntry.objects.count()) == (0, 3)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FaultKind.CONTENT_FILTER, ErrorKind.CONTENT_FILTER),
        (FaultKind.CONTEXT_LENGTH, ErrorKind.CONTEXT_TOO_LONG),
        (FaultKind.INSUFFICIENT_QUOTA, ErrorKind.QUOTA_EXHAUSTED),
    ],
)
def test_what_no_retry_helps_fails_at_once_and_costs_nothing(line, station, kind, code):
    budget = line.budget(10**9)
    line.provider.control.add_faults(Fault(kind))
    job = ended(line.submit())
    assert (job.state, job.error_code, job.attempt, job.nano_usd) == (State.FAILED, code, 1, 0)
    assert wait_for(lambda: line.used(budget).reserved == 0)
    assert line.used(budget).used == 0


# ---- what a breaker hears


def heard(line):
    """What the deployment's breaker has counted: (calls, failures)."""
    return next(((one.calls, one.failures) for one in line.gate.inspect().breakers if one.deployment == str(line.deployment.pk)), (0, 0))


@pytest.mark.parametrize(
    ("kind", "failures"),
    [
        (FaultKind.SERVER_ERROR, 1),
        (FaultKind.OVERLOADED, 1),
        (FaultKind.MALFORMED, 1),
        (FaultKind.RATE_LIMITED, 0),
        (FaultKind.CONTENT_FILTER, 0),
    ],
)
def test_a_deployment_is_blamed_for_its_own_failures_alone(line, station, kind, failures):
    line.provider.control.add_faults(Fault(kind, wait_ms=10))
    ended(line.submit())
    other = ended(line.submit())
    assert other.state == State.SUCCEEDED
    assert wait_for(lambda: line.gate.inspect().reservations == 0)
    assert heard(line)[1] == failures


def test_a_spent_account_says_nothing_against_its_deployment(line, station):
    line.provider.control.add_faults(Fault(FaultKind.INSUFFICIENT_QUOTA))
    assert ended(line.submit()).error_code == ErrorKind.QUOTA_EXHAUSTED
    assert wait_for(lambda: line.gate.inspect().reservations == 0)
    assert heard(line)[1] == 0


# ---- what may have been billed


def test_a_malformed_answer_is_charged_as_reserved_and_tried_again(line, station):
    line.provider.control.add_faults(Fault(FaultKind.MALFORMED))
    job = ended(line.submit())
    first = Attempt.objects.get(number=1)
    assert (job.state, first.error_code, first.is_estimated) == (State.SUCCEEDED, ErrorKind.SERVER, True)
    assert first.nano_usd == first.reserved_nano_usd >= bill(line)[f"{job.pk}.1"] > 0
    assert_books_close()


def test_a_timeout_is_charged_as_reserved_and_marked_estimated(line, station):
    line.provider.control.add_faults(Fault(FaultKind.SLOW_HEADERS, wait_ms=3_000))
    job = ended(line.submit(timeout_s=1, max_tries=1))
    attempt, entry = Attempt.objects.get(), LedgerEntry.objects.get()
    assert (job.state, job.error_code) == (State.FAILED, ErrorKind.TIMEOUT)
    assert (entry.nano_usd, entry.is_estimated) == (attempt.reserved_nano_usd, True)
    assert (entry.input_tokens, entry.output_tokens) == (attempt.reserved_input_tokens, attempt.reserved_max_output_tokens)


def test_what_may_go_out_at_most_once_is_not_sent_again_after_a_timeout(line, station):
    line.provider.control.add_faults(Fault(FaultKind.SLOW_HEADERS, wait_ms=3_000))
    job = ended(line.submit(timeout_s=1, delivery="at_most_once"))
    assert (job.state, len(line.provider.control.log())) == (State.FAILED, 1)


# ---- what never arrived


def test_a_refused_connection_costs_nothing_and_gives_everything_back(line, station):
    budget, limit = line.budget(10**9), line.limit("requests", 100)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        line.account.base_url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        line.account.save()
        job = ended(line.submit(max_tries=2))
    assert (job.state, job.error_code, job.tries) == (State.FAILED, ErrorKind.CONNECT, 2)
    assert [entry.nano_usd for entry in LedgerEntry.objects.all()] == [0, 0]
    assert wait_for(lambda: line.gate.inspect().reservations == 0)
    assert (line.used(budget).used, line.used(limit).used) == (0, 0)


# ---- cancelled, stopped, doubled, late


@pytest.fixture
def slow(line):
    """Each answer takes a minute."""
    line.provider.control.configure(latency={"base_ms": 60_000})


def running(line, **fields):
    """A job whose request has arrived."""
    job = line.submit(**fields)
    wait_for(lambda: [one for one in line.provider.control.log() if one.attempt_id.startswith(str(job.pk))])
    return job


def test_a_running_job_is_cancelled_within_a_second_and_charged_as_reserved(line, station, slow):
    budget = line.budget(10**9)
    job = running(line)
    cancel(job)
    wait_for(lambda: has_ended(job), 1.5)
    attempt = Attempt.objects.get()
    assert (state_of(job), attempt.state) == (State.CANCELLED, AttemptState.CANCELLED)
    assert (attempt.is_estimated, attempt.nano_usd) == (True, attempt.reserved_nano_usd)
    assert wait_for(lambda: line.used(budget).reserved == 0)
    assert line.used(budget).used == attempt.nano_usd
    assert_books_close()


def test_a_stream_that_is_cancelled_on_its_way_is_charged_by_what_had_come(line, station):
    budget = line.budget(10**9)
    line.provider.control.configure(latency={"per_token_ms": 40})
    submission = line.submission(max_tokens=400)
    submission.body["stream"] = True
    job = submit(submission).job
    wait_for(lambda: line.redis.xlen(event_stream.key_of(job.pk)) > 5)
    cancel(job)
    wait_for(lambda: has_ended(job), 1.5)
    attempt = Attempt.objects.get()
    assert (state_of(job), attempt.state, attempt.is_estimated) == (State.CANCELLED, AttemptState.CANCELLED, True)
    assert attempt.input_tokens == attempt.reserved_input_tokens
    assert 0 < attempt.output_tokens < 100
    assert attempt.nano_usd == attempt.input_tokens * 150 + attempt.output_tokens * 600 < attempt.reserved_nano_usd
    assert wait_for(lambda: line.used(budget).reserved == 0)
    assert line.used(budget).used == attempt.nano_usd
    assert_books_close()


def test_a_call_that_is_cancelled_before_its_first_step_ends_all_the_same(line, station, slow, monkeypatch):
    executor = station.runtime.executor
    begin = executor._begin

    def begin_and_cancel(claimed, *others):
        task = begin(claimed, *others)
        executor.cancel(claimed.job)
        return task

    monkeypatch.setattr(executor, "_begin", begin_and_cancel)
    job = ended(line.submit())
    assert (job.state, job.nano_usd, line.provider.control.log()) == (State.CANCELLED, 0, [])
    assert_books_close()


def test_a_doubled_a_late_and_a_foreign_message_change_nothing(line, station, slow):
    job = running(line)
    (entries, epoch) = station.heard.get(timeout=5)
    station.receive((entries, epoch))
    station.receive(([[*entries[0][:4], entries[0][4] + 60_000]], epoch))
    station.receive(([[*entries[0][:4], 0]], epoch))
    station.receive((entries, epoch - 1))
    station.receive(([["00" * 16, 1, 1, 0, entries[0][4]]], epoch))
    cancel(job)
    ended(job)
    assert (Attempt.objects.count(), LedgerEntry.objects.count(), len(line.provider.control.log())) == (1, 1, 1)
    assert_books_close()


def test_a_lost_message_is_made_good_by_the_reaper(line, station):
    station.to_lose = 1
    job = line.submit()
    wait_for(lambda: line.gate.inspect().reservations == 1)
    line.pass_time(6_000)
    ended(job)
    assert (job.state, job.attempt, Attempt.objects.count()) == (State.SUCCEEDED, 2, 1)


def test_a_worker_that_leaves_puts_back_what_it_could_not_end(line, station, slow, monkeypatch):
    monkeypatch.setattr("rateguard.worker.runtime.LEAVE_S", 0.2)
    jobs = [running(line) for _ in range(3)]
    station.leave()
    assert {state_of(job) for job in jobs} == {State.QUEUED}
    assert {(one.state, one.is_estimated) for one in Attempt.objects.all()} == {(AttemptState.ABANDONED, True)}
    assert (line.gate.inspect().waiting, line.gate.inspect().reservations, line.gate.inspect().holders) == (3, 0, ())
    assert_books_close()


def test_a_worker_that_leaves_lets_calls_in_flight_end_and_takes_no_more(line, station):
    line.provider.control.configure(latency={"base_ms": 700})
    job = running(line)
    station.drain()
    late = line.submit()
    station.leave()
    assert (state_of(job), state_of(late)) == (State.SUCCEEDED, State.QUEUED)
    assert len(line.provider.control.log()) == 1


# ---- responses


def respond(line, **fields):
    body = {"model": MODEL, "input": [{"role": "user", "content": "hello"}], "max_output_tokens": 30, **fields}
    return ended(submit(Submission(tenant=line.acme, endpoint=endpoint_of(body), body=body)).job)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_response_is_answered_and_billed_whole_or_streamed(line, station, is_streamed):
    job = respond(line, stream=is_streamed)
    attempt, answer = Attempt.objects.get(), orjson.loads(job.result)
    assert (job.state, job.endpoint, answer["object"], job.max_output_tokens) == (State.SUCCEEDED, "responses", "response", 30)
    assert attempt.output_tokens == answer["usage"]["output_tokens"] > 0
    assert bill(line) == {f"{job.pk}.1": attempt.nano_usd}
    assert_books_close()


def test_a_response_that_names_no_length_gets_the_default_one(line, station, settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "DEFAULT_MAX_TOKENS": 21}
    job = respond(line, max_output_tokens=None, instructions="Be brief.")
    assert (job.max_output_tokens, orjson.loads(job.request)["max_output_tokens"]) == (21, 21)
