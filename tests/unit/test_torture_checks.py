"""Each check of a campaign finds what is planted in its evidence, and nothing where all is well."""

import dataclasses
import uuid

import pytest

from rateguard.engine.providers.sim.config import REQUESTS, LimitRule
from rateguard.engine.providers.sim.journal import Arrival, BillLine
from rateguard.engine.providers.sim.log_file import Written
from rateguard.torture.checks import MOST_TOLD
from rateguard.torture.checks.evidence import (
    AttemptSeen,
    BudgetSeen,
    EntrySeen,
    EventSeen,
    Evidence,
    JobSeen,
    MessageSeen,
    StreamSeen,
)
from rateguard.torture.checks.judging import CHECKS, judge
from rateguard.torture.checks.restarts import restarts_of
from rateguard.torture.checks.room import full_spans, within_all
from rateguard.torture.record import Accepted, Asked, Fault, Life, Record

KEY = "sk-a"
HOLDER = "here:7:abc"
OTHER = "here:8:def"
COST = 100


def call(job, number, at, *, status=200, fault="", is_there=True, cost=COST):
    attempt = f"{job}.{number}"
    bill = BillLine(attempt, f"req-{attempt}-{at}", KEY, "m", 1, 1, cost, 0.0) if status == 200 else None
    arrival = Arrival(attempt, KEY, "m", at * 1_000, 10, status, status == 200)
    return Written(f"req-{attempt}-{at}", arrival, at, fault, bill, is_answered=status > 0, is_there=is_there, ended_s=at + 1)


class Story:
    """One job that was done in its first attempt, and whatever a test adds."""

    def __init__(self):
        self.job = uuid.uuid4()
        record = Record(seed=1)
        record.began_at = record.began_wall = 0.0
        record.accepted.append(Accepted(self.job, 1.0, "rest", "at_least_once", has_webhook=False))
        record.lives += [Life("worker-1", 7, 0.0), Life("worker-2", 8, 0.0)]
        self.evidence = Evidence(
            record=record,
            log=[call(self.job, 1, 3.0)],
            jobs={self.job: JobSeen(self.job, "succeeded", "acme", team="ml")},
            budgets=[BudgetSeen("the budget of acme", 250, "acme")],
            limits={KEY: [LimitRule(REQUESTS, 2, 1_000)]},
            own_limits={("acme", "ml"): LimitRule(REQUESTS, 2, 2_000)},
        )
        self.happens("submitted queued 1 0", "started running 2.9 1", "succeeded succeeded 4 1")
        self.attempt(1, 2.9, 4.0)
        self.pays(1, 4.0)

    def happens(self, *events):
        """Each `kind state at attempt`; the first one anew."""
        known = self.evidence.events.setdefault(self.job, [])
        for event in events:
            kind, _, at, attempt = event.split()
            known.append(EventSeen(len(known), self.job, kind, int(attempt), float(at)))

    def forget(self):
        self.evidence.events[self.job] = []

    def state(self, state, **fields):
        self.evidence.jobs[self.job] = dataclasses.replace(self.evidence.jobs[self.job], state=state, **fields)

    def attempt(self, number, began_at, ended_at, state="succeeded", holder=HOLDER, reserved=120):
        self.evidence.attempts[self.job, number] = AttemptSeen(
            self.job, number, state, holder, began_at, ended_at, reserved_nano_usd=reserved
        )

    def pays(self, attempt, at, nano_usd=COST, kind="charge", **fields):
        entry = EntrySeen(self.job, attempt, kind, nano_usd, at, "acme", quarter=("acme", "m"), days=(("acme", "user", "u"),), **fields)
        self.evidence.entries = [*self.evidence.entries, entry]
        self.evidence.quarters = {("acme", "m"): sum(one.nano_usd for one in self.evidence.entries)}
        self.evidence.days = {("acme", "user", "u"): sum(one.nano_usd for one in self.evidence.entries)}

    def called_again(self, at=10.0, ended="abandoned", how="orphaned", holder=OTHER, **first):
        """A second attempt, after the first one ended so."""
        self.forget()
        self.happens(
            "submitted queued 1 0", "started running 2.9 1", f"{how} queued 8 1", "started running 9.9 2", "succeeded succeeded 11 2"
        )
        self.attempt(1, 2.9, 8.0, ended)
        self.attempt(2, at - 0.1, at + 1, holder=holder)
        self.pays(2, at + 1)
        self.evidence.log = [call(self.job, 1, 3.0, **first), call(self.job, 2, at)]
        if first.get("status", 200) != 200:
            self.evidence.entries = [dataclasses.replace(one, nano_usd=0) if one.attempt == 1 else one for one in self.evidence.entries]
            self.evidence.quarters, self.evidence.days = {("acme", "m"): COST}, {("acme", "user", "u"): COST}

    def finds(self):
        """What is not as it should be, by its key."""
        findings = judge(self.evidence)
        return {key: value for key in CHECKS if (value := getattr(findings, key))}


@pytest.fixture
def story():
    return Story()


def test_nothing_is_found_where_all_is_well(story):
    assert story.finds() == {}
    findings = judge(story.evidence)
    assert (findings.jobs, findings.details) == (1, {})


# Ends


def test_an_accepted_job_that_runs_or_has_no_row_is_unfinished(story):
    gone = uuid.uuid4()
    story.evidence.record.accepted.append(Accepted(gone, 1.0, "delay", "at_least_once", has_webhook=False))
    story.state("running")
    findings = judge(story.evidence)
    assert findings.unfinished == 2
    assert any(str(gone) in line for line in findings.details["unfinished"])


def test_a_job_of_which_the_api_tells_another_state_is_unfinished(story):
    story.evidence.told = {story.job: "running"}
    assert story.finds() == {"unfinished": 1}


@pytest.mark.parametrize(
    ("ends", "text", "found"),
    [(["succeeded"], "as it is", 0), ([], "as it is", 1), (["failed"], "as it is", 1), (["succeeded"], "as it", 1)],
)
def test_a_reader_who_is_told_no_end_or_another_text_is_misled(story, ends, text, found):
    story.evidence.streams = [StreamSeen(story.job, ends, text, "as it is")]
    assert judge(story.evidence).unfinished == found


@pytest.mark.parametrize(("state", "found"), [("succeeded", 1), ("failed", 0)])
def test_a_step_of_a_canvas_is_promised_once_those_before_it_succeeded(story, state, found):
    step = Accepted(uuid.uuid4(), 1.0, "delay", "at_least_once", has_webhook=False, line=f"after {story.job}")
    story.evidence.record.accepted.append(step)
    story.state(state)
    assert judge(story.evidence).unfinished == found


# Calls


def test_two_calls_with_one_attempt_id_are_foreign(story):
    story.evidence.log = [call(story.job, 1, 3.0), call(story.job, 1, 3.5, status=500)]
    assert story.finds() == {"foreign_duplicates": 1}


def test_a_call_without_an_attempt_and_one_after_its_attempts_end_are_foreign(story):
    story.evidence.log = [*story.evidence.log, call(uuid.uuid4(), 1, 5.0, status=500)]
    assert story.finds() == {"foreign_duplicates": 1}
    late = Story()
    late.evidence.log = [call(late.job, 1, 4.9)]
    assert late.finds() == {"foreign_duplicates": 1}


def test_a_job_whose_transaction_was_rolled_back_is_never_called(story):
    story.evidence.rolled_back = [story.job]
    assert story.finds() == {"foreign_duplicates": 1}


def test_a_second_call_without_a_reason_is_foreign(story):
    story.called_again()
    assert story.finds() == {"foreign_duplicates": 1}


@pytest.mark.parametrize("how", ["retry", "limited"])
def test_a_second_call_after_a_failure_that_is_repeated_is_none(story, how):
    story.called_again(how=how, ended="failed", status=503)
    assert "foreign_duplicates" not in story.finds()


def test_a_retry_of_a_call_that_the_provider_answered_well_is_foreign(story):
    story.called_again(how="limited", ended="failed")
    assert story.finds() == {"foreign_duplicates": 1}


def test_a_second_call_after_the_death_of_its_process_is_none(story):
    story.called_again()
    story.evidence.record.lives[0].ended_at = 5.0
    assert "foreign_duplicates" not in story.finds()


@pytest.mark.parametrize(("length_s", "found"), [(3.0, 1), (15.0, 0)])
def test_a_second_call_after_a_hold_is_none_if_it_was_long_enough(story, length_s, found):
    story.called_again(at=20.0)
    story.evidence.faults = [Fault("freeze_long", "worker-1", 3.5, 3.5 + length_s)]
    assert judge(story.evidence).foreign_duplicates == found


def test_the_death_of_another_process_excuses_nothing(story):
    story.called_again()
    story.evidence.record.lives[1].ended_at = 5.0
    assert judge(story.evidence).foreign_duplicates == 1


@pytest.mark.parametrize("how", ["limited", "resubmitted"])
def test_a_job_that_may_be_sent_once_is_never_called_again(story, how):
    story.called_again(how=how, ended="failed", status=503)
    assert judge(story.evidence).foreign_duplicates == 0
    story.state("succeeded", delivery="at_most_once")
    assert judge(story.evidence).foreign_duplicates == 1


# Money


def test_a_lost_settle_and_a_wrong_charge_are_told_by_their_attempt(story):
    story.evidence.entries = []
    assert story.finds()["ledger_difference_nano_usd"] == COST
    wrong = Story()
    wrong.pays(1, 5.0, nano_usd=7, kind="correction")
    assert wrong.finds() == {"ledger_difference_nano_usd": 7}
    assert f"{wrong.job}.1" in judge(wrong.evidence).details["ledger_difference_nano_usd"][0]


def test_two_wrong_attempts_do_not_make_up_for_each_other(story):
    story.called_again(how="limited", ended="failed", status=503)
    first, second = story.evidence.entries
    story.evidence.entries = [dataclasses.replace(first, nano_usd=30), dataclasses.replace(second, nano_usd=COST - 30)]
    assert story.finds() == {"ledger_difference_nano_usd": 60}


@pytest.mark.parametrize("name", ["quarters", "days"])
def test_a_rollup_that_lacks_something_is_found(story, name):
    setattr(story.evidence, name, dict.fromkeys(getattr(story.evidence, name), 1))
    assert story.finds() == {"rollup_difference": COST - 1}


def test_estimated_charges_and_corrections_are_counted(story):
    story.pays(1, 5.0, nano_usd=-5, kind="correction")
    story.pays(1, 5.0, nano_usd=5, is_estimated=True)
    findings = judge(story.evidence)
    assert (findings.estimated_entries, findings.corrections) == (1, 1)


def test_a_budget_is_overdrawn_while_two_reservations_are_more_than_it_holds(story):
    story.called_again(how="limited", ended="failed", status=503)
    assert "budget_overdrafts" not in story.finds()
    story.attempt(1, 2.9, 10.5, "failed", reserved=200)
    story.evidence.entries = [dataclasses.replace(one, at=10.5) if one.attempt == 1 else one for one in story.evidence.entries]
    assert judge(story.evidence).budget_overdrafts == 1


def test_what_a_provider_bills_beyond_the_most_that_it_could_is_counted_apart(story):
    story.pays(1, 5.0, nano_usd=900, kind="correction", is_overrun=True)
    assert judge(story.evidence).budget_overdrafts == 0
    story.pays(1, 5.0, nano_usd=900, kind="correction")
    story.evidence.entries = [one for one in story.evidence.entries if not one.is_overrun]
    assert judge(story.evidence).budget_overdrafts == 1


# States


@pytest.mark.parametrize(
    "events",
    [
        ["submitted queued 1 0", "succeeded succeeded 4 1"],
        ["started running 2.9 1", "succeeded succeeded 4 1"],
        ["submitted queued 1 0", "started running 2.9 1", "succeeded succeeded 4 1", "failed failed 5 1"],
        ["submitted queued 1 0", "started running 2.9 1", "limited queued 3 1", "started running 3 1", "succeeded succeeded 4 1"],
        ["submitted queued 5 0", "started running 2.9 1", "succeeded succeeded 4 1"],
        ["submitted queued 1 0", "started running 2.9 1", "failed failed 4 1"],
    ],
    ids=["skips the start", "was never submitted", "ends twice", "starts one attempt twice", "goes back in time", "leads elsewhere"],
)
def test_events_that_skip_a_state_are_found(story, events):
    story.forget()
    story.happens(*events)
    assert story.finds() == {"state_gaps": 1}


def test_what_a_person_does_in_between_is_no_gap(story):
    story.forget()
    story.happens("submitted queued 1 0", "started running 2.9 1", "cancel_requested - 3 1", "succeeded succeeded 4 1", "corrected - 9 1")
    assert story.finds() == {}


# Limits


def test_a_window_is_exceeded_by_the_arrival_that_is_one_too_many(story):
    log = [call(story.job, 1, 3.0), call(uuid.uuid4(), 1, 3.5), call(uuid.uuid4(), 1, 3.99)]
    story.evidence.log = log
    assert judge(story.evidence).window_violations == 1
    story.evidence.log = [*log[:2], call(uuid.uuid4(), 1, 4.0)]
    assert judge(story.evidence).window_violations == 0
    story.evidence.log = [*log[:2], call(uuid.uuid4(), 1, 3.9, status=429)]
    assert judge(story.evidence).window_violations == 1
    story.evidence.log = [*log[:2], call(uuid.uuid4(), 1, 3.9, status=429, fault="rate_limited")]
    assert judge(story.evidence).window_violations == 0


def test_a_teams_own_limit_holds_where_requests_arrive(story):
    story.evidence.limits = {}
    story.evidence.log = [call(story.job, number, 3.0 + number / 10) for number in range(3)]
    assert judge(story.evidence).window_violations == 1


# What is left


def test_what_the_gate_holds_and_what_is_open_is_left(story):
    story.evidence.held, story.evidence.waiting = ["a.1 of nobody"], 2
    story.attempt(2, 5.0, None, "running")
    story.evidence.waiting_jobs = ["b.0 in parked_jobs b3"]
    assert story.finds() == {"reservations_left": 4}
    assert any("parked_jobs b3" in line for line in judge(story.evidence).details["reservations_left"])


def test_webhooks_that_are_missing_or_wrongly_signed_are_found(story):
    job = Accepted(story.job, 1.0, "rest", "at_least_once", has_webhook=True)
    story.evidence.record.accepted[:] = [job]
    assert story.finds() == {"webhooks_missing": 1}
    right = MessageSeen("m1", story.job, "job.succeeded", trouble="", at=5.0)
    story.evidence.messages = [right, right]
    assert story.finds() == {}
    story.evidence.messages = [right, dataclasses.replace(right, trouble="wrong")]
    assert story.finds() == {"webhooks_missing": 1}
    story.evidence.messages = [dataclasses.replace(right, kind="job.failed")]
    assert story.finds() == {"webhooks_missing": 1}


# Times


def died_at(story, at):
    story.evidence.record.lives[0].ended_at = at


def test_a_restart_is_counted_from_the_death_to_the_next_claim(story):
    story.called_again(at=30.0)
    died_at(story, 5.0)
    (restart,) = restarts_of(story.evidence)
    assert restart.took_s == pytest.approx(24.9)
    findings = judge(story.evidence)
    assert findings.restart_p99_s == pytest.approx(24.9)
    assert str(story.job) in findings.details["restart_p99_s"][0]


def test_a_restart_is_counted_from_the_return_of_redis_if_that_is_later(story):
    story.called_again(at=30.0)
    died_at(story, 5.0)
    story.evidence.faults = [Fault("freeze_long", "valkey", 4.0, 20.0)]
    (restart,) = restarts_of(story.evidence)
    assert restart.took_s == pytest.approx(9.9)


def test_time_without_room_is_not_counted(story):
    story.called_again(at=30.0)
    died_at(story, 5.0)
    story.evidence.limits = {KEY: [LimitRule(REQUESTS, 1, 10_000)]}
    story.evidence.log = [*story.evidence.log, call(uuid.uuid4(), 1, 12.0)]
    (restart,) = restarts_of(story.evidence)
    assert restart.took_s == pytest.approx(24.9 - 17.3)  # full from 3 to 22.3
    story.evidence.limits = {**story.evidence.limits, "sk-b": [LimitRule(REQUESTS, 1, 10_000)]}
    (restart,) = restarts_of(story.evidence)
    assert restart.took_s == pytest.approx(24.9)


def test_a_worker_that_is_away_has_no_room_and_more_urgent_work_takes_it(story):
    story.called_again(at=30.0)
    died_at(story, 5.0)
    story.state("succeeded", lane=3)
    story.evidence.faults = [Fault("kill", "worker-1", 5.0, 12.0), Fault("freeze_short", "worker-2", 4.0, 9.0)]
    urgent = uuid.uuid4()
    story.evidence.jobs[urgent] = JobSeen(urgent, "succeeded", "acme", lane=1)
    story.evidence.attempts[urgent, 1] = AttemptSeen(urgent, 1, "succeeded", OTHER, 20.0, 21.0)
    (restart,) = restarts_of(story.evidence)
    assert restart.took_s == pytest.approx(24.9 - 5.0 - 1.0)


def test_spans_that_all_have(story):
    assert within_all([[(0, 5), (8, 9)], [(3, 8.5)]]) == [(3, 5), (8, 8.5)]
    assert full_spans(LimitRule(REQUESTS, 2, 1_000), [call(story.job, 1, 1.0)]) == []


def asked(at, took_s, status=202, door="jobs", address="web-1"):
    return Asked(door, at, took_s, status, address)


def test_jobs_posted_while_redis_is_away_are_judged_alone(story):
    story.evidence.faults = [Fault("freeze_short", "valkey", 10.0, 15.0)]
    story.evidence.record.asked += [asked(5.0, 4.0), asked(11.0, 0.4), asked(11.0, 9.0, door="jobs-wait"), asked(12.0, 0.2)]
    assert judge(story.evidence).accept_p99_frozen_s == 0.4
    story.evidence.record.asked.append(asked(13.0, 0.1, status=503))
    assert judge(story.evidence).accept_p99_frozen_s == 60.0
    story.evidence.faults = [*story.evidence.faults, Fault("kill", "web-1", 13.0, 18.0)]
    assert judge(story.evidence).accept_p99_frozen_s == 0.4


def test_answers_while_postgresql_is_gone_are_judged_by_the_longest(story):
    story.evidence.faults = [Fault("postgres_restart", "postgres", 10.0, 14.0)]
    story.evidence.record.asked += [asked(11.0, 0.5, 503), asked(12.0, 2.4, 503), asked(13.0, 4.0, 202), asked(20.0, 9.0, 503)]
    assert judge(story.evidence).db_gone_s == 2.0
    story.evidence.record.asked.append(asked(10.5, 8.0, 202))
    assert judge(story.evidence).db_gone_s == 3.5
    story.evidence.record.asked[:] = [asked(11.0, 0.5, 503), asked(40.0, 1.0)]
    assert judge(story.evidence).db_gone_s == 27.0


def test_of_many_findings_a_few_are_told(story):
    story.evidence.held = [f"{number} of nobody" for number in range(30)]
    findings = judge(story.evidence)
    assert findings.reservations_left == 30
    assert len(findings.details["reservations_left"]) == MOST_TOLD + 1
    assert "20 more" in findings.details["reservations_left"][-1]
