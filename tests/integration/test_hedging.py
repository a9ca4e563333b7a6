"""Hedging with a real gate, worker and provider: a late call of the critical lane gets a second one, and everything is paid and told."""

import datetime as dt
import socket
from typing import ClassVar

import orjson
import pytest
from django.utils import timezone

from rateguard.engine.histogram import bin_of
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.routing.hedging import COST
from rateguard.jobs.attempts.race import OUTRUN
from rateguard.jobs.bodies import opened
from rateguard.jobs.books.rows import differing
from rateguard.jobs.books.span import Span
from rateguard.jobs.ends import event_stream
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.completion import Completion
from rateguard.jobs.insight.latencies import latencies_of
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.jobs.rendering import render_job
from rateguard.jobs.states import TERMINAL, AttemptState, State
from rateguard.screening.contract import Refused
from tenants.models import Deployment, LedgerEntry, Measure, ModelRoute, ProviderAccount, RouteTarget, UsageQuarter, UsageQuarterBin
from tests.line import CREDENTIALS, MODEL, Line, Station, assert_books_close, events_of, has_ended, state_of, wait_for

pytestmark = pytest.mark.long

USUAL_MS = 100
LATE_MS = 20_000
OTHER_KEY = "sk-sim-canary-other"


def answers(line: Line, latency_ms: int = USUAL_MS, count: int = 100, deployment: str = "sim-1") -> None:
    """So many answers of the last hour took so long."""
    quarter = UsageQuarter.objects.create(
        tenant=line.acme, model=MODEL, deployment=deployment, starts_at=timezone.now() - dt.timedelta(minutes=20), team="before"
    )
    UsageQuarterBin.objects.create(quarter=quarter, measure=Measure.LATENCY_MS, bin=bin_of(latency_ms), count=count)


@pytest.fixture
def pair(line: Line, station: Station) -> Line:
    """The model has a second deployment, at another account; its critical lane is hedged, and there is budget for two."""
    answers(line)
    account = ProviderAccount.objects.create(name="other", provider="sim", base_url=line.provider.base_url, credentials=OTHER_KEY)
    line.other = Deployment.objects.create(account=account, name="sim-2", upstream_model=MODEL)
    route = ModelRoute.objects.get()
    RouteTarget.objects.create(route=route, deployment=line.other, position=1)
    route.hedges = True
    route.save()
    hedging = station.runtime._hedging
    ended(urgent(line))  # whereupon it is read how long answers take
    wait_for(lambda: hedging._p95)
    hedging._budgets[MODEL].saved = 2 * COST
    line.come_before = len(line.provider.control.log())
    return line


def urgent(line: Line, *, is_streamed: bool = False, **fields) -> Job:
    submission = line.submission(lane=Lane.CRITICAL, **fields)
    submission.body["stream"] = is_streamed
    return submit(submission).job


def late(line: Line, key: str = CREDENTIALS, kind: FaultKind = FaultKind.SLOW_HEADERS, wait_ms: int = LATE_MS, **fields) -> None:
    """The next call with this key takes longer than usual."""
    line.provider.control.add_faults(Fault(kind, key=key, wait_ms=wait_ms, **fields))


def keys_that_came(line: Line) -> list[str]:
    """By which accounts calls have arrived since the line was made ready."""
    return sorted(one.key for one in line.provider.control.log()[line.come_before :])


def ended(job: Job, within_s: float = 10) -> Job:
    wait_for(lambda: has_ended(job), within_s)
    job.refresh_from_db()
    return job


def both(job: Job) -> tuple[Attempt, Attempt]:
    """The attempts of a job's two calls, once both are written: its own, and the second one's."""
    wait_for(lambda: Attempt.objects.filter(job=job).exclude(state=AttemptState.RUNNING).count() == 2)
    own, second = sorted(Attempt.objects.filter(job=job), key=lambda one: one.reservation_id != job.pk)
    return own, second


def hedged(job: Job) -> dict:
    return JobEvent.objects.get(job=job, kind="hedged").detail


def settled(line: Line) -> None:
    """Nothing is held any more, and the books agree with each other."""
    assert wait_for(lambda: line.gate.inspect().reservations == 0)
    assert not list(differing(Span()))
    ended_jobs = Job.objects.filter(state__in=TERMINAL).count()
    assert sum(UsageQuarter.objects.values_list("jobs", flat=True)) == ended_jobs  # a second call is no job
    assert_books_close()


# ---- who is first


def test_a_late_call_is_outrun_by_a_second_one_and_both_are_paid(pair):
    late(pair)
    job = ended(urgent(pair, user="ada", labels={"app": "chat"}))
    own, second = both(job)
    assert (job.state, job.deployment, job.error_code) == (State.SUCCEEDED, "sim-2", "")
    assert (own.state, own.deployment, own.is_estimated, own.nano_usd) == ("cancelled", "sim-1", True, own.reserved_nano_usd)
    assert (second.state, second.deployment, second.is_estimated) == ("succeeded", "sim-2", False)
    assert OUTRUN in own.error_message
    entries = LedgerEntry.objects.filter(job_id=job.pk)
    assert {(one.deployment, one.nano_usd, one.user, one.labels["app"]) for one in entries} == {
        ("sim-1", own.nano_usd, "ada", "chat"),
        ("sim-2", second.nano_usd, "ada", "chat"),
    }
    assert job.nano_usd == own.nano_usd + second.nano_usd
    assert (render_job(job)["attempts"], Completion.of(job)["attempts"]) == (2, 2)
    assert (hedged(job)["deployment"], hedged(job)["won"]) == ("sim-2", True)
    assert hedged(job)["after_ms"] >= USUAL_MS
    assert events_of(job) == ["submitted", "started", "hedged", "succeeded"]
    settled(pair)


def test_a_first_call_that_answers_after_all_wins_and_the_second_is_charged_as_reserved(pair):
    late(pair, wait_ms=900)
    late(pair, key=OTHER_KEY)
    job = ended(urgent(pair))
    own, second = both(job)
    assert (job.state, job.deployment, own.state, own.is_estimated) == (State.SUCCEEDED, "sim-1", "succeeded", False)
    assert (second.state, second.is_estimated, second.nano_usd) == ("cancelled", True, second.reserved_nano_usd)
    assert (hedged(job)["won"], job.nano_usd) == (False, own.nano_usd + second.nano_usd)
    settled(pair)


def test_of_two_streams_the_first_piece_decides_and_who_listens_hears_one_answer(pair):
    late(pair, kind=FaultKind.SILENCE, events=0)
    job = ended(urgent(pair, is_streamed=True, max_tokens=30))
    own, second = both(job)
    assert (job.deployment, own.state, second.state) == ("sim-2", "cancelled", "succeeded")
    told = [fields[b"chunk"] for _, fields in pair.redis.xrange(event_stream.key_of(job.pk)) if b"chunk" in fields]
    chunks = [orjson.loads(opened(one.decode())) for one in told]
    assert len({one["id"] for one in chunks}) == 1
    text = "".join(choice["delta"].get("content") or "" for one in chunks for choice in one["choices"])
    assert text == orjson.loads(job.result)["choices"][0]["message"]["content"]
    settled(pair)


class Sees:
    """A middleware that notes whose answers it sees, and refuses what it is told to."""

    seen: ClassVar[list[str]] = []
    refuses = False

    def after(self, answer, request, context):
        self.seen.append(context.deployment)
        if self.refuses:
            raise Refused("the answer is not for you")
        return {**answer, "seen": True}


@pytest.mark.parametrize("refuses", [False, True])
def test_middlewares_see_the_answer_of_the_winner_alone(pair, settings, monkeypatch, refuses):
    settings.RATEGUARD = {**settings.RATEGUARD, "MIDDLEWARE": [f"{__name__}.Sees"]}
    monkeypatch.setattr(Sees, "seen", [])
    monkeypatch.setattr(Sees, "refuses", refuses)
    late(pair)
    job = ended(urgent(pair))
    own, second = both(job)
    assert (Sees.seen, own.state) == (["sim-2"], "cancelled")
    assert (job.state, job.result is None) == ((State.FAILED, True) if refuses else (State.SUCCEEDED, False))
    assert refuses or orjson.loads(job.result)["seen"]
    assert second.nano_usd > 0
    settled(pair)


# ---- what fails


def test_a_first_call_that_breaks_leaves_the_second_to_answer(pair):
    late(pair, key=OTHER_KEY, wait_ms=900)
    with socket.create_server(("127.0.0.1", 0)) as server:
        pair.account.base_url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        pair.account.save()
        job = urgent(pair)
        broken, _ = server.accept()
        wait_for(lambda: keys_that_came(pair) == [OTHER_KEY])
        broken.close()
        ended(job)
    own, second = both(job)
    assert (job.state, job.deployment, job.error_code, job.tries) == (State.SUCCEEDED, "sim-2", "", 0)
    assert (own.state, own.error_code, second.state) == ("failed", "network", "succeeded")
    settled(pair)


def test_where_both_fail_the_first_ones_error_is_the_jobs(pair):
    late(pair)
    late(pair, key=OTHER_KEY, kind=FaultKind.SERVER_ERROR)
    job = ended(urgent(pair, timeout_s=1, max_tries=1))
    own, second = both(job)
    assert (job.state, job.error_code) == (State.FAILED, "timeout")
    assert (own.error_code, second.state, second.error_code, second.nano_usd) == ("timeout", "failed", "server", 0)
    assert not hedged(job)["won"]
    settled(pair)


# ---- who ends it


def test_a_person_who_cancels_ends_both_calls(pair):
    job = under_way(pair)
    cancel(job)
    assert ended(job, 3).state == State.CANCELLED
    own, second = both(job)
    assert (own.state, second.state, own.is_estimated, second.is_estimated) == ("cancelled", "cancelled", True, True)
    settled(pair)


def test_a_worker_that_leaves_gives_both_calls_back(pair, station, monkeypatch):
    monkeypatch.setattr("rateguard.worker.runtime.LEAVE_S", 0.1)
    job = under_way(pair)
    station.leave()
    own, second = both(job)
    assert (state_of(job), own.state, second.state) == (State.QUEUED, "abandoned", "cancelled")
    settled(pair)


def under_way(line: Line) -> Job:
    """A job whose two calls have arrived, and are not answered."""
    late(line)
    late(line, key=OTHER_KEY)
    job = urgent(line)
    wait_for(lambda: keys_that_came(line) == sorted([CREDENTIALS, OTHER_KEY]))
    return job


# ---- who has none, and how many


def test_what_may_go_out_once_and_other_lanes_have_no_second_call(pair):
    for fields in ({"lane": Lane.CRITICAL, "delivery": "at_most_once"}, {"lane": Lane.HIGH}):
        late(pair, wait_ms=500)
        job = ended(pair.submit(**fields))
        assert (job.state, Attempt.objects.filter(job=job).count(), events_of(job)[-2:]) == (State.SUCCEEDED, 1, ["started", "succeeded"])


def test_a_model_that_does_not_ask_for_it_has_none(pair):
    route = ModelRoute.objects.get()
    route.hedges = False
    route.save()
    late(pair, wait_ms=500)
    job = ended(urgent(pair))
    assert (job.state, Attempt.objects.filter(job=job).count()) == (State.SUCCEEDED, 1)


def test_no_more_second_calls_go_than_the_budget_has(pair, station):
    station.runtime._hedging._budgets[MODEL].saved = COST
    pair.provider.control.configure(latency={"base_ms": 500})
    for job in [urgent(pair) for _ in range(5)]:
        ended(job)
    assert JobEvent.objects.filter(kind="hedged").count() == 1
    settled(pair)


def test_a_budget_that_does_not_hold_both_holds_the_second_back(pair):
    most = Attempt.objects.get().reserved_nano_usd
    budget = pair.budget(10**9)
    budget.amount = pair.used(budget).used + most * 3 // 2
    budget.save()
    late(pair, wait_ms=900)
    job = ended(urgent(pair))
    assert (job.state, Attempt.objects.filter(job=job).count()) == (State.SUCCEEDED, 1)
    assert wait_for(lambda: pair.used(budget).reserved == 0)
    assert pair.used(budget).used <= budget.amount
    settled(pair)


# ---- what is learned


def test_the_p95_is_of_the_last_hour_by_deployment_and_of_all(line):
    answers(line, 100, 95)
    answers(line, 5_000, 5, deployment="sim-2")
    found = latencies_of([MODEL, "nobody"])
    assert set(found) == {(MODEL, "sim-1"), (MODEL, "")}
    assert 100 <= found[MODEL, ""] < 120
