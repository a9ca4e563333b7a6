"""The settle: the end of attempts behind one fence; what is written, what is not, and that the rollups are the ledger's sums."""

import collections
import dataclasses
import datetime as dt

import pytest
from django.db.models import Sum
from django.utils import timezone

from rateguard.engine.histogram import bin_of
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, Hedged, settle
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.jobs.states import FAIL, HOLD_BACK, ORPHAN, RETRY, STOP, SUCCEED, AttemptState, State
from tenants.models import Dimension, LedgerEntry, Measure, UsageDay, UsageQuarter, UsageQuarterBin
from tests.line import assert_books_close, events_of

PARTS = {
    "cache_write_long_tokens": 1,
    "audio_input_tokens": 3,
    "audio_output_tokens": 5,
    "reasoning_tokens": 6,
    "tier": "priority",
    "searches": 2,
}
USAGE = Usage(input_tokens=10, cached_tokens=4, cache_write_tokens=2, output_tokens=30, terms=("fast", "us"), **PARTS)


def ended(claimed, **fields):
    told = {"state": AttemptState.SUCCEEDED, "transition": SUCCEED, "usage": USAGE, "nano_usd": 1_234, "result": '{"a": 1}'}
    return Ended(job=claimed.job, attempt=claimed.attempt, latency_ms=120, queue_ms=7, **{**told, **fields})


def everything():
    """All that a settle may touch, as values."""
    tables = (Job, Attempt, JobEvent, LedgerEntry, UsageQuarter, UsageQuarterBin, UsageDay)
    return {table: list(table.objects.order_by("pk").values()) for table in tables}


@pytest.fixture
def claimed(line):
    return line.run(user="ada", team="red", labels={"app": "chat", "x": "y"}, cost_center="cc")


def test_an_end_is_written_whole(claimed, line):
    assert settle([ended(claimed, provider_request_id="req-1")]) == {(claimed.job, 1)}
    job, attempt, entry = Job.objects.get(), Attempt.objects.get(), LedgerEntry.objects.get()
    assert (job.state, job.result, job.holder, job.error_code) == (State.SUCCEEDED, '{"a": 1}', "", "")
    assert (job.used_input_tokens, job.used_output_tokens, job.nano_usd, job.latency_ms, job.queue_ms) == (16, 30, 1_234, 120, 7)
    assert job.finished_at is not None
    assert (attempt.state, attempt.nano_usd, attempt.provider_request_id) == (AttemptState.SUCCEEDED, 1_234, "req-1")
    assert attempt.finished_at is not None
    assert (entry.kind, entry.nano_usd, entry.tenant_id, entry.job_id) == ("charge", 1_234, line.acme.pk, claimed.job)
    assert (entry.input_tokens, entry.cached_tokens, entry.cache_write_tokens, entry.output_tokens) == (10, 4, 2, 30)
    assert (entry.user, entry.team, entry.cost_center, entry.labels) == ("ada", "red", "cc", {"app": "chat", "x": "y"})
    assert (entry.is_estimated, entry.is_overrun, entry.deployment, entry.model) == (False, False, "sim-1", "sim-1")
    assert events_of(claimed.job) == ["submitted", "started", "succeeded"]


def test_what_has_a_price_of_its_own_is_told_apart_in_the_attempt_and_in_the_entry(claimed):
    settle([ended(claimed)])
    told = {**PARTS, "terms": "fast us"}
    for row in (Attempt.objects.get(), LedgerEntry.objects.get()):
        assert {name: getattr(row, name) for name in told} == told


def test_a_job_whose_second_call_won_shows_where_and_pays_for_both(claimed):
    hedged = Hedged("elsewhere", after_ms=70, won=True, nano_usd=1_000, input_tokens=5, output_tokens=7)
    settle([ended(claimed, state=AttemptState.CANCELLED, error_code="cancelled", error_message="the second was first", hedged=hedged)])
    job, attempt, entry = Job.objects.get(), Attempt.objects.get(), LedgerEntry.objects.get()
    assert (job.state, job.deployment, job.error_code, job.error_message) == (State.SUCCEEDED, "elsewhere", "", "")
    assert (job.nano_usd, job.used_input_tokens, job.used_output_tokens) == (2_234, 21, 37)
    assert (attempt.state, attempt.error_code, attempt.deployment, attempt.nano_usd) == (
        AttemptState.CANCELLED,
        "cancelled",
        "sim-1",
        1_234,
    )
    assert (entry.deployment, entry.nano_usd) == ("sim-1", 1_234)
    told = JobEvent.objects.filter(job=claimed.job).order_by("pk").values_list("kind", "detail")
    assert list(told)[-2:] == [("hedged", {"deployment": "elsewhere", "after_ms": 70, "won": True}), ("succeeded", {})]


@pytest.mark.long
def test_a_second_call_that_lost_leaves_the_job_where_it_ran(claimed):
    settle([ended(claimed, hedged=Hedged("elsewhere", after_ms=70, won=False, nano_usd=9, input_tokens=5, output_tokens=7))])
    job = Job.objects.get()
    assert (job.deployment, job.nano_usd, events_of(claimed.job)[-2:]) == ("sim-1", 1_243, ["hedged", "succeeded"])


def test_a_second_end_of_the_same_attempt_changes_nothing_at_all(claimed):
    settle([ended(claimed)])
    before = everything()
    assert settle([ended(claimed)]) == set()
    assert settle([ended(claimed, state=AttemptState.FAILED, transition=FAIL, nano_usd=9, error_code="server")]) == set()
    assert everything() == before


def test_a_fenced_attempt_changes_nothing_but_its_late_usage(claimed):
    settle(
        [ended(claimed, state=AttemptState.ABANDONED, transition=ORPHAN, usage=Usage(estimated=True), nano_usd=50, counts_abandoned=True)]
    )
    before = everything()
    assert settle([ended(claimed)]) == set()
    late = Attempt.objects.get().late_usage
    assert late == {**dataclasses.asdict(USAGE), "terms": ["fast", "us"], "nano_usd": 1_234}
    Attempt.objects.update(late_usage=None)
    assert everything() == before


def test_late_usage_is_kept_once(claimed):
    settle([ended(claimed, state=AttemptState.ABANDONED, transition=ORPHAN, nano_usd=50)])
    settle([ended(claimed)])
    settle([ended(claimed, nano_usd=9)])
    assert Attempt.objects.get().late_usage["nano_usd"] == 1_234


def test_in_a_batch_only_the_open_ones_are_written(line, claimed):
    other = line.run()
    settle([ended(other)])
    assert settle([ended(claimed), ended(other)]) == {(claimed.job, 1)}
    assert LedgerEntry.objects.count() == 2
    assert_books_close()


@pytest.mark.parametrize(
    ("transition", "state"),
    [(FAIL, State.FAILED), (RETRY, State.SCHEDULED), (HOLD_BACK, State.QUEUED), (ORPHAN, State.QUEUED), (STOP, State.CANCELLED)],
    ids=lambda one: getattr(one, "name", ""),
)
def test_each_end_moves_the_job_and_writes_exactly_one_charge(claimed, transition, state):
    settle([ended(claimed, state=AttemptState.FAILED, transition=transition, usage=Usage(), nano_usd=0, result=None, retry_ms=5)])
    assert Job.objects.get().state == state
    assert LedgerEntry.objects.get().nano_usd == 0
    assert events_of(claimed.job)[-1] == transition.name
    assert (UsageQuarter.objects.get().jobs, Job.objects.get().finished_at is not None) == (
        (1, True) if state.value in {"failed", "cancelled"} else (0, False)
    )


def test_a_retry_is_scheduled_for_after_its_wait_and_counts_a_try(claimed):
    began = timezone.now()
    settle(
        [ended(claimed, state=AttemptState.FAILED, transition=RETRY, retry_ms=30_250, counts_try=True, error_code="server", result=None)]
    )
    job = Job.objects.get()
    assert (job.state, job.tries, job.error_code) == (State.SCHEDULED, 1, "server")
    assert dt.timedelta(seconds=30.2) < job.run_at - began < dt.timedelta(seconds=35)
    assert JobEvent.objects.order_by("pk").last().detail == {"error": "server"}


def test_counters_rise_only_when_they_are_told(claimed):
    settle([ended(claimed, transition=ORPHAN, state=AttemptState.ABANDONED, counts_abandoned=True)])
    assert Job.objects.values_list("tries", "abandoned").get() == (0, 1)


def test_a_text_that_no_database_holds_is_mended(claimed):
    settle([ended(claimed, error_message="a\x00b" + "c" * 3_000, state=AttemptState.FAILED, transition=FAIL, error_code="server")])
    assert Job.objects.get().error_message == ("ab" + "c" * 3_000)[:2_000]


def test_an_answer_in_any_script_comes_back_as_it_was(claimed):
    answer = '{"text": "Größe 漢字 \\u0000 🎉 \\" %s %% \'"}'
    settle([ended(claimed, result=answer)])
    assert Job.objects.get().result == answer


def test_rollups_bins_and_days_are_the_ledgers_sums(line):
    other = line.tenant("other")
    who = [(line.acme, "ada", "red"), (line.acme, "ada", "blue"), (line.acme, "bob", "red"), (other, "ada", ""), (other, "", "")]
    ends = []
    for number, (tenant, user, team) in enumerate(who * 3):
        claimed = line.run(tenant=tenant, user=user, team=team, labels={"n": str(number % 2)})
        usage = Usage(input_tokens=number, cached_tokens=number % 3, output_tokens=2 * number)
        is_good = number % 4 != 0
        end = {"state": AttemptState.SUCCEEDED, "transition": SUCCEED} if is_good else {"state": AttemptState.FAILED, "transition": FAIL}
        ends.append(ended(claimed, usage=usage, nano_usd=100 + number, **end))
    settle(ends[:7])
    settle(ends[7:])

    entries = list(LedgerEntry.objects.all())
    quarters = {(q.tenant_id, q.team): q for q in UsageQuarter.objects.all()}
    for (tenant_id, team), quarter in quarters.items():
        mine = [e for e in entries if (e.tenant_id, e.team) == (tenant_id, team)]
        assert quarter.nano_usd == sum(e.nano_usd for e in mine)
        assert quarter.input_tokens == sum(e.input_tokens for e in mine)
        assert quarter.cached_tokens == sum(e.cached_tokens for e in mine)
        assert quarter.output_tokens == sum(e.output_tokens for e in mine)
        assert quarter.jobs == len(mine) == quarter.succeeded + quarter.failed
    assert sum(q.jobs for q in quarters.values()) == len(entries) == 15

    bins = collections.Counter()
    for row in UsageQuarterBin.objects.all():
        bins[(row.measure, row.bin)] += row.count
    good = [one for one in ends if one.transition == SUCCEED]
    assert bins == collections.Counter(
        [(Measure.LATENCY_MS, bin_of(120)) for _ in good]
        + [(Measure.QUEUE_WAIT_MS, bin_of(7)) for _ in good]
        + [(Measure.OUTPUT_TOKENS, bin_of(one.usage.output_tokens)) for one in good]
    )

    for day in UsageDay.objects.all():
        names = {Dimension.USER: lambda e: e.user, Dimension.LABEL: lambda e: f"n={e.labels['n']}"}
        mine = [e for e in entries if e.tenant_id == day.tenant_id and names[day.dimension](e) == day.value]
        assert (day.jobs, day.nano_usd) == (len(mine), sum(e.nano_usd for e in mine))
        assert day.input_tokens == sum(e.input_tokens + e.cached_tokens + e.cache_write_tokens for e in mine)
    by_label = UsageDay.objects.filter(dimension=Dimension.LABEL).aggregate(Sum("nano_usd"))
    assert by_label["nano_usd__sum"] == sum(e.nano_usd for e in entries)
    assert not UsageDay.objects.filter(value="").exists()
    assert_books_close()


def test_a_batch_with_one_bad_row_writes_nothing(line, claimed):
    other = line.run()
    before = everything()
    with pytest.raises(Exception, match=r"(?i)constraint"):
        settle([ended(other), ended(claimed, nano_usd=-1)])
    assert everything() == before
