"""A job's life as steps that people read, each with what it took since the one before. Pure: the rows go in, the steps come out."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.queries.in_the_way import InTheWay
from dashboard.queries.job import Past
from dashboard.templatetags.rateguard_pages import count, duration, usd
from rateguard.engine.lanes import Lane
from rateguard.jobs.ends.cancel import ASKED
from rateguard.jobs.insight.hindrances import WaitedFor
from rateguard.jobs.models import Attempt, JobEvent
from rateguard.jobs.states import CHANGE_LANE, CHANGE_LANE_AHEAD, AttemptState, State
from rateguard.jobs.steering.requeue import ASKED_BACK

WORTH_TELLING_MS = 1_000
"""A shorter wait is told by the time between two steps alone."""
_VIA = {"rest": "By the API", "delay": "From Python"}
_MS = dt.timedelta(milliseconds=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One step. tone: good, warn, bad, now, or none. lines: sentences. facts: names and values. after_ms: since the step before it."""

    at: dt.datetime
    title: str
    tone: str = ""
    lines: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    after_ms: float | None = None


def timeline(past: Past, zone: ZoneInfo, now: dt.datetime) -> tuple[Step, ...]:
    """The steps so far, the oldest first, and the one that goes on now."""
    steps: list[Step] = []
    waits_since: dt.datetime | None = None
    for number, event in enumerate(past.events):
        if waits_since is not None and event.kind in _ENDS_A_WAIT:
            steps += _wait(past, waits_since, event.at)
            waits_since = None
        steps.append(_step(past, number, zone))
        if event.kind in _BEGINS_A_WAIT:
            waits_since = past.job.submitted_at if event.kind == "submitted" else event.at  # the event is a moment younger than its row
    steps += _going_on(past, waits_since, zone, now)
    befores = [None, *(step.at for step in steps)]
    return tuple(
        dataclasses.replace(step, after_ms=None if before is None else max(0.0, (step.at - before) / _MS))
        for step, before in zip(steps, befores, strict=False)
    )


_CHANGES_LANE = {CHANGE_LANE.name, CHANGE_LANE_AHEAD.name}
_BEGINS_A_WAIT = {"submitted", "released", "limited", "passed_on", "fell_back", "orphaned", "requeued", "resubmitted"}
_ENDS_A_WAIT = {"started", "cancelled", "expired", "refused"}


def _wait(past: Past, since: dt.datetime, until: dt.datetime) -> list[Step]:
    took_ms = (until - since) / _MS
    reasons = _reasons(past, since, until)
    if took_ms < WORTH_TELLING_MS and not reasons:
        return []
    return [Step(since, f"Waited {duration(took_ms)}", lines=reasons)]


def _reasons(past: Past, since: dt.datetime, until: dt.datetime) -> tuple[str, ...]:
    """What it waited for in that time, each with how long, where it was seen more than once."""
    spans = [(one, _shared(one, since, until)) for one in past.waited_for]
    return tuple(f"for {one.words}{_for_how_long(took_ms)}" for one, took_ms in spans if took_ms is not None)


def _for_how_long(took_ms: float) -> str:
    return f": {duration(took_ms)}" if took_ms >= WORTH_TELLING_MS else ""


def _shared(one: WaitedFor, since: dt.datetime, until: dt.datetime) -> float | None:
    begin, end = max(one.began_at, since), min(one.ended_at, until)
    return (end - begin) / _MS if begin <= end else None


def _going_on(past: Past, waits_since: dt.datetime | None, zone: ZoneInfo, now: dt.datetime) -> list[Step]:
    """What a job does now that has not ended; a running attempt stands there already."""
    job = past.job
    if job.state == State.QUEUED:
        since = waits_since or job.queued_at
        return [
            Step(
                since,
                f"Waits, for {duration(max(0.0, (now - since) / _MS))} so far",
                "now",
                (*_reasons(past, since, now), *waits_now(past)),
            )
        ]
    if job.state == State.SCHEDULED and job.run_at is not None:
        left_ms = (job.run_at - now) / _MS
        told = f"in {duration(left_ms)}" if left_ms > 0 else "any moment"
        return [Step(now, f"Goes on {told}", "now", (f"at {_at(job.run_at, zone)}",))]
    return []


def waits_now(past: Past) -> tuple[str, ...]:
    """What a queued job waits for at this moment, as sentences."""
    found = past.waits_for
    if found is None:
        return ()
    if not found.is_known:
        return ("The gate does not answer just now, so nothing starts; the job is safe and goes on as soon as it does.",)
    if not found.words:
        return ("Nothing limits it: it goes in its turn.",)
    if found.is_never:
        return (f"It needs more than there is in all: {found.words}. Raise the limit, or cancel it.",)
    return (f"Now: for {found.words}{opens(found)}.",)


def opens(found: InTheWay) -> str:
    """When there is room, where somebody knows."""
    if not found.opens_in_ms:
        return ""
    return f"; there is room in at most {duration(found.opens_in_ms)}, unless others go first"


# ---- a step for each kind of event


@dataclasses.dataclass(frozen=True, slots=True)
class _Told:
    """An event to be told, and whose it is."""

    past: Past
    event: JobEvent
    zone: ZoneInfo


def _step(past: Past, number: int, zone: ZoneInfo) -> Step:
    event = past.events[number]
    attempt = next((one for one in past.attempts if one.number == event.attempt and not one.is_second_call), None)
    if event.kind == "started":
        return _began(past, event, attempt)
    if event.kind in _ENDS_OF_ATTEMPTS:
        return _ended(past, number, attempt)
    tell = _OTHERS.get(event.kind)
    return tell(_Told(past, event, zone)) if tell else Step(event.at, event.kind.replace("_", " ").capitalize())


def _submitted(told: _Told) -> Step:
    job = told.past.job
    by = f" with the key {told.past.key}" if told.past.key else ""
    line = f"{_VIA.get(job.via, f'By {job.via}')}{by}, on lane {_first_lane(told.past)}, for {job.asked_model}."
    later = told.event.kind == "scheduled"
    return Step(told.event.at, "Submitted for later" if later else "Submitted", lines=(line,))


def _first_lane(past: Past) -> str:
    """The lane that it came in on."""
    moves = (event.detail for event in past.events if event.kind in _CHANGES_LANE)
    first: dict[str, Any] = next(moves, {})
    return str(first.get("from", Lane(past.job.lane).label))


def _released(told: _Told) -> Step:
    is_asked = bool(told.event.detail.get("by"))
    return Step(told.event.at, f"Put in line before its time{_by(told)}" if is_asked else "Its time came: queued")


def _refused(told: _Told) -> Step:
    is_last = told.past.job.state == State.FAILED and told.event is told.past.events[-1]
    return Step(
        told.event.at,
        f"Refused: {told.event.detail.get('error', 'it cannot be done')}",
        "bad",
        _message(told.past.job.error_message if is_last else ""),
    )


def _downgraded(told: _Told) -> Step:
    moved = told.event.detail
    line = f"From {moved.get('from', '?')}, because the budget does not hold the most that it can cost there: {moved.get('budget', '')}."
    return Step(told.event.at, f"Went to the cheaper model {moved.get('to', '')}", "warn", (line,))


def _asked_to_end(told: _Told) -> Step:
    return Step(told.event.at, f"Asked to end{_by(told)}", "warn")


def _asked_back(told: _Told) -> Step:
    return Step(told.event.at, f"Asked to come back{_by(told)}", "warn", ("Its call is given up, and it waits again at its place.",))


def _moved(told: _Told) -> Step:
    moved = told.event.detail
    return Step(told.event.at, f"Moved from lane {moved.get('from', '?')} to {moved.get('to', '?')}{_by(told)}")


def _cancelled(told: _Told) -> Step:
    return Step(told.event.at, f"Cancelled{_by(told)}", "warn", ("It ended without an answer.",))


def _expired(told: _Told) -> Step:
    deadline = told.past.job.deadline_at
    return Step(told.event.at, "Expired", "bad", (f"It had not begun by its deadline, {_at(deadline, told.zone)}.",) if deadline else ())


def _resubmitted(told: _Told) -> Step:
    return Step(told.event.at, f"To be tried again{_by(told)}", lines=("It waits again; what it cost so far stays charged.",))


def _hedged(told: _Told) -> Step:
    """Its second calls stand in the order of its events."""
    event, past = told.event, told.past
    seconds = sorted((one for one in past.attempts if one.is_second_call), key=lambda one: (one.started_at, one.pk))
    place = [one for one in past.events if one.kind == "hedged"].index(event)
    word = "It answered first." if event.detail.get("won") else "It did not bring the answer."
    title = f"A second call went to {event.detail.get('deployment', '?')} after {duration(event.detail.get('after_ms', 0))}"
    return Step(
        event.at, title, "good" if event.detail.get("won") else "", (word,), figures(seconds[place]) if place < len(seconds) else ()
    )


def _corrected(told: _Told) -> Step:
    nano_usd = told.event.detail.get("nano_usd", 0)
    entry = next((one for one in told.past.corrections if one.attempt == told.event.attempt and one.nano_usd == nano_usd), None)
    facts = [("attempt", str(told.event.attempt)), ("cost", f"{'+' if nano_usd > 0 else ''}{usd(nano_usd)}")]
    if entry is not None:
        facts += [("input tokens", f"{entry.input_tokens:+,}"), ("output tokens", f"{entry.output_tokens:+,}")]
    return Step(told.event.at, "Cost put right by the provider's bill", "warn", facts=tuple(facts))


_OTHERS: Mapping[str, Callable[[_Told], Step]] = {
    "submitted": _submitted,
    "scheduled": _submitted,
    "released": _released,
    "refused": _refused,
    "downgraded": _downgraded,
    ASKED: _asked_to_end,
    ASKED_BACK: _asked_back,
    **dict.fromkeys(_CHANGES_LANE, _moved),
    "cancelled": _cancelled,
    "expired": _expired,
    "resubmitted": _resubmitted,
    "corrected": _corrected,
    "hedged": _hedged,
}


def _by(told: _Told) -> str:
    who = told.past.by.get(told.event.pk)
    return f" by {who}" if who else ""


def _message(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _at(moment: dt.datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


# ---- attempts


def _began(past: Past, event: JobEvent, attempt: Attempt | None) -> Step:
    is_open = attempt is not None and attempt.finished_at is None
    where = "" if attempt is None else f" at {attempt.deployment}"
    account = past.accounts.get(attempt.deployment_id, "") if attempt else ""
    facts: tuple[tuple[str, str], ...] = (("account", account),) if account else ()
    if is_open and attempt is not None:
        reserved = f"{count(attempt.reserved_input_tokens + attempt.reserved_max_output_tokens)} tokens, {usd(attempt.reserved_nano_usd)}"
        facts += (("reserved at most", reserved),)
    return Step(event.at, f"Attempt {event.attempt} began{where}", "now" if is_open else "", facts=facts)


_ENDS_OF_ATTEMPTS = {
    "succeeded": ("Attempt {n} answered", "good"),
    "failed": ("Attempt {n} failed: {error}", "bad"),
    "retry": ("Attempt {n} failed: {error}", "warn"),
    "limited": ("Attempt {n} was held back by the provider: {error}", "warn"),
    "passed_on": ("Attempt {n} was not sent: its deployment cannot do it", "warn"),
    "fell_back": ("Attempt {n} failed: {error}", "warn"),
    "orphaned": ("Attempt {n} was lost with its worker", "warn"),
    "requeued": ("Attempt {n} was given up", "warn"),
    "stopped": ("Attempt {n} was stopped", "warn"),
}


_OUTRUN = {AttemptState.CANCELLED, AttemptState.FAILED}
"""How an attempt stands whose job succeeded all the same, by its second call."""


def _ended(past: Past, number: int, attempt: Attempt | None) -> Step:
    event = past.events[number]
    title, tone = _ENDS_OF_ATTEMPTS[event.kind]
    if event.kind == "succeeded" and attempt is not None and attempt.state in _OUTRUN:
        title = "Attempt {n} was outrun by its second call"
    error = (attempt.error_code if attempt else "") or str(event.detail.get("error", "an error"))
    lines = _message(attempt.error_message) if attempt and event.kind != "succeeded" else ()
    if event.kind in _NEXT:
        lines += (_NEXT[event.kind],)
    if event.kind == "retry":
        lines += _retry_wait(past, number)
    if event.kind == "fell_back":
        lines += (f"It goes on at the model {event.detail.get('to', '?')}, which {event.detail.get('from', '?')} names for this.",)
    return Step(event.at, title.format(n=event.attempt, error=error), tone, lines, figures(attempt) if attempt else ())


_NEXT = {
    "failed": "No further try follows.",
    "limited": "It waits again in its place; this counts as no try.",
    "passed_on": "Another deployment of its model is asked; this counts as no try.",
    "orphaned": "It goes back to the front of its lane.",
    "requeued": "It waits again at its place; this counts as no try.",
}


def _retry_wait(past: Past, number: int) -> tuple[str, ...]:
    """How long the next try was, or is, put off."""
    at = past.events[number].at
    later = past.events[number + 1] if number + 1 < len(past.events) else None
    until = later.at if later else past.job.run_at
    return () if until is None else (f"The next try comes {duration(max(0.0, (until - at) / _MS))} later.",)


def figures(attempt: Attempt) -> tuple[tuple[str, str], ...]:
    """What an attempt took, cost and was called; what is not known is left out."""
    cached = f" ({count(attempt.cached_tokens)} of them cached)" if attempt.cached_tokens else ""
    whole = attempt.input_tokens + attempt.cached_tokens + attempt.cache_write_tokens
    estimated = ", estimated" if attempt.is_estimated else ""
    found = [
        ("input", f"{count(whole)} tokens{cached}" if whole else ""),
        ("output", f"{count(attempt.output_tokens)} tokens" if attempt.output_tokens else ""),
        ("cost", f"{usd(attempt.nano_usd)}{estimated}"),
        ("latency", duration(attempt.latency_ms) if attempt.latency_ms is not None else ""),
        ("speed", speed(attempt)),
        ("provider's id", attempt.provider_request_id),
    ]
    return tuple((name, value) for name, value in found if value)


def speed(attempt: Attempt) -> str:
    """Output tokens a second, of an answer."""
    if attempt.error_code or not attempt.output_tokens or not attempt.latency_ms:
        return ""
    return f"{attempt.output_tokens * 1_000 / attempt.latency_ms:,.0f} tokens/s"
