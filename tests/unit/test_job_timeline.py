"""A job's life in steps and in one sentence: from rows to what people read."""

from __future__ import annotations

import datetime as dt
import uuid
from zoneinfo import ZoneInfo

import pytest

from dashboard.panels.job import became
from dashboard.panels.timeline import timeline
from dashboard.queries.in_the_way import UNKNOWN, InTheWay
from dashboard.queries.job import Past
from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.hindrances import WaitedFor
from rateguard.jobs.models import Attempt, Job, JobEvent
from tenants.models import LedgerEntry

UTC = ZoneInfo("UTC")
START = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


def at(seconds):
    return START + dt.timedelta(seconds=seconds)


def job(state, **columns):
    return Job(**{"state": state, "model": "gpt", "lane": Lane.NORMAL, "submitted_at": START, "queued_at": START, **columns})


def happened(*told):
    """(kind, seconds, attempt) each, and a detail where there is one."""
    return [
        JobEvent(pk=number, kind=kind, at=at(seconds), attempt=attempt, detail=detail[0] if detail else {})
        for number, (kind, seconds, attempt, *detail) in enumerate(told)
    ]


def attempt(number, **columns):
    row = {"deployment_id": 1, "deployment": "eu-1", "finished_at": START, "nano_usd": 0, "reserved_nano_usd": 10**9}
    sizes = {"reserved_input_tokens": 10, "reserved_output_tokens": 20, "reserved_max_output_tokens": 30}
    return Attempt(**{"number": number, **row, **sizes, **columns})


def steps(past, now_s=1_000):
    return timeline(past, UTC, at(now_s))


def titles(past, now_s=1_000):
    return [step.title for step in steps(past, now_s)]


def limit(begin, end, text="600 requests/min"):
    return WaitedFor("limit", "account", "main", text, at(begin), at(end), is_now=False)


CASES = {
    "answered at once": (
        job("succeeded"),
        [("submitted", 0, 0), ("started", 0.2, 1), ("succeeded", 1.5, 1)],
        ["Submitted", "Attempt 1 began at eu-1", "Attempt 1 answered"],
    ),
    "waited": (
        job("succeeded"),
        [("submitted", 0, 0), ("started", 252, 1), ("succeeded", 254, 1)],
        ["Submitted", "Waited 4 min 12 s", "Attempt 1 began at eu-1", "Attempt 1 answered"],
    ),
    "a retry": (
        job("failed"),
        [("submitted", 0, 0), ("started", 0, 1), ("retry", 1, 1), ("released", 9, 1), ("started", 9.1, 2), ("failed", 10, 2)],
        [
            "Submitted",
            "Attempt 1 began at eu-1",
            "Attempt 1 failed: server",
            "Its time came: queued",
            "Attempt 2 began at eu-1",
            "Attempt 2 failed: server",
        ],
    ),
    "held back and lost": (
        job("running"),
        [("submitted", 0, 0), ("started", 0, 1), ("limited", 1, 1), ("started", 21, 2), ("orphaned", 30, 2)],
        [
            "Submitted",
            "Attempt 1 began at eu-1",
            "Attempt 1 was held back by the provider: server",
            "Waited 20.0 s",
            "Attempt 2 began at eu-1",
            "Attempt 2 was lost with its worker",
        ],
    ),
    "cancelled": (job("cancelled"), [("submitted", 0, 0), ("cancelled", 60, 0)], ["Submitted", "Waited 1 min", "Cancelled by user ada"]),
    "stopped": (
        job("cancelled"),
        [("submitted", 0, 0), ("started", 0, 1), ("cancel_requested", 5, 1), ("stopped", 6, 1)],
        ["Submitted", "Attempt 1 began at eu-1", "Asked to end by user ada", "Attempt 1 was stopped"],
    ),
    "expired": (job("expired", deadline_at=at(9)), [("scheduled", 0, 0), ("expired", 9, 0)], ["Submitted for later", "Expired"]),
    "refused": (
        job("failed", error_code="exceeds_limit"),
        [("submitted", 0, 0), ("refused", 0.1, 0, {"error": "exceeds_limit"})],
        ["Submitted", "Refused: exceeds_limit"],
    ),
    "a cheaper model": (
        job("queued"),
        [("submitted", 0, 0), ("downgraded", 0.1, 0, {"from": "big", "to": "gpt", "budget": "$5.00 a day"})],
        ["Submitted", "Went to the cheaper model gpt", "Waits, for 16 min 40 s so far"],
    ),
    "another deployment, another model": (
        job("running"),
        [
            ("submitted", 0, 0),
            ("started", 0, 1),
            ("passed_on", 0, 1, {"deployment": "eu-1"}),
            ("started", 21, 2),
            ("fell_back", 22, 2, {"from": "gpt", "to": "large", "on": "server"}),
        ],
        [
            "Submitted",
            "Attempt 1 began at eu-1",
            "Attempt 1 was not sent: its deployment cannot do it",
            "Waited 21.0 s",
            "Attempt 2 began at eu-1",
            "Attempt 2 failed: server",
        ],
    ),
    "tried again by a person": (
        job("queued", queued_at=at(90)),
        [("submitted", 0, 0), ("cancelled", 0.5, 0), ("resubmitted", 90, 0)],
        ["Submitted", "Cancelled by user ada", "To be tried again by user ada", "Waits, for 15 min 10 s so far"],
    ),
    "later": (job("scheduled", run_at=at(1_060)), [("scheduled", 0, 0)], ["Submitted for later", "Goes on in 1 min"]),
    "what nobody knows": (job("succeeded"), [("polished_twice", 0, 0)], ["Polished twice"]),
    "nothing": (job("running"), [], []),
}


@pytest.mark.parametrize("case", CASES)
def test_each_event_is_a_step_and_so_is_what_goes_on(case):
    row, told, wanted = CASES[case]
    attempts = [attempt(1, error_code="server"), attempt(2, error_code="server")]
    by = dict.fromkeys(range(9), "user ada")
    assert titles(Past(row, happened(*told), attempts, by=by)) == wanted


def test_a_second_call_is_a_step_with_its_own_figures_and_the_attempt_that_it_outran_says_so():
    told = happened(
        ("submitted", 0, 0), ("started", 0, 1), ("hedged", 2, 1, {"deployment": "us-1", "after_ms": 500, "won": True}), ("succeeded", 2, 1)
    )
    own = attempt(1, state="cancelled", error_code="cancelled", nano_usd=7_000)
    second = attempt(1, job_id=uuid.UUID(int=1), reservation_id=uuid.UUID(int=9), started_at=at(1), nano_usd=9_000, latency_ms=40)
    found = steps(Past(job("succeeded"), told, [second, own]))
    assert [step.title for step in found[1:]] == [
        "Attempt 1 began at eu-1",
        "A second call went to us-1 after 500 ms",
        "Attempt 1 was outrun by its second call",
    ]
    assert (found[2].lines, dict(found[2].facts)["latency"]) == (("It answered first.",), "40 ms")


def test_a_wait_names_what_it_was_for_and_how_long_in_that_wait_alone():
    told = happened(("submitted", 0, 0), ("started", 100, 1), ("limited", 101, 1), ("started", 141, 2))
    past = Past(job("running"), told, [attempt(1), attempt(2, finished_at=None)], waited_for=[limit(40, 100), limit(90, 131, "")])
    waits = [step.lines for step in steps(past) if step.title.startswith("Waited")]
    assert waits == [
        ("for 600 requests/min on account main: 1 min", "for a limit on account main: 10.0 s"),
        ("for a limit on account main: 30.0 s",),
    ]


def test_an_attempt_tells_what_it_took_and_cost():
    columns = {"input_tokens": 612, "cached_tokens": 300, "output_tokens": 184, "nano_usd": 12_345_678, "latency_ms": 2_300}
    past = Past(job("succeeded"), happened(("succeeded", 3, 1)), [attempt(1, provider_request_id="req_1", **columns)])
    assert steps(past)[0].facts == (
        ("input", "912 tokens (300 of them cached)"),
        ("output", "184 tokens"),
        ("cost", "$0.012345678"),
        ("latency", "2.3 s"),
        ("speed", "80 tokens/s"),
        ("provider's id", "req_1"),
    )


def test_a_failed_attempt_tells_why_and_when_the_next_comes():
    told = happened(("started", 0, 1), ("retry", 2, 1), ("released", 10, 1))
    failed = attempt(1, error_code="server", error_message="502 Bad Gateway", latency_ms=2_000, is_estimated=True)
    step = steps(Past(job("queued"), told, [failed]))[1]
    assert (step.tone, step.lines) == ("warn", ("502 Bad Gateway", "The next try comes 8.0 s later."))
    assert ("cost", "$0.00, estimated") in step.facts
    assert "speed" not in dict(step.facts)


def test_a_correction_tells_what_it_changed():
    entry = LedgerEntry(attempt=1, nano_usd=678, input_tokens=2, output_tokens=-1)
    past = Past(job("succeeded"), happened(("corrected", 99, 1, {"nano_usd": 678})), [], corrections=[entry])
    assert steps(past)[0].facts == (("attempt", "1"), ("cost", "+$0.000000678"), ("input tokens", "+2"), ("output tokens", "-1"))


def test_the_time_between_two_steps_is_told():
    past = Past(job("failed"), happened(("submitted", 0, 0), ("refused", 0.25, 0), ("corrected", 0.1, 0)), [])
    assert [step.after_ms for step in steps(past)] == [None, 250, 0]


WAITS = {
    "a limit": (
        InTheWay("600 requests/min on account main", 12_000),
        "Waits for 600 requests/min on account main, for 1 min so far; there is room in at most 12.0 s, unless others go first.",
    ),
    "its turn": (InTheWay(), "Waits for its turn, for 1 min so far: nothing limits it."),
    "never": (
        InTheWay("1 request/min on tenant acme", is_never=True),
        "Waits, for 1 min so far. It needs more than there is in all: 1 request/min on tenant acme. Raise the limit, or cancel it.",
    ),
    "no gate": (
        UNKNOWN,
        "Waits, for 1 min so far. The gate does not answer just now, so nothing starts; the job is safe and goes on as soon as it does.",
    ),
}


@pytest.mark.parametrize("case", WAITS)
def test_a_sentence_says_what_a_job_waits_for(case):
    found, wanted = WAITS[case]
    assert became(Past(job("queued"), [], [], waits_for=found), UTC, at(60)) == wanted


ENDS = [
    (
        job("succeeded", latency_ms=1_300, queue_ms=252_000, nano_usd=12_300_000, attempt=1),
        "Succeeded in 1.3 s after waiting 4 min 12 s for 600 requests/min on account main; cost $0.0123.",
    ),
    (
        job("failed", attempt=3, error_code="server", error_message="the provider said 502", nano_usd=10**9),
        "Failed, at attempt 3: server. The provider said 502. It cost $1.00.",
    ),
    (job("failed"), "Failed: an error."),
    (job("cancelled"), "Cancelled by user ada while it ran."),
    (job("expired", deadline_at=at(5)), "Expired: it had not begun by its deadline, 2026-01-31 12:00:05."),
    (
        job("running", deployment="eu-1", started_at=at(30), cancel_requested=True, attempt=1),
        "Runs at eu-1 for 30.0 s. It is asked to end.",
    ),
    (job("scheduled", run_at=at(70)), "Begins in 10.0 s."),
    (job("scheduled", run_at=at(50), attempt=2, error_code="server"), "Tries again any moment, after attempt 2 failed: server."),
]


@pytest.mark.parametrize(("row", "wanted"), ENDS, ids=[wanted[:24] for _, wanted in ENDS])
def test_a_sentence_says_what_became_of_a_job(row, wanted):
    past = Past(
        row, happened(("cancel_requested", 1, 1), ("stopped", 2, 1)), [], waited_for=[limit(0, 9), limit(9, 10, "")], by={0: "user ada"}
    )
    assert became(past, UTC, at(60)) == wanted
