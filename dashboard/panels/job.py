"""A job's page: what became of it in one sentence, its facts, and what may be done with it. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
from zoneinfo import ZoneInfo

from dashboard.panels.jobs import TONES, address
from dashboard.panels.timeline import Step, opens, timeline, waits_now
from dashboard.queries.job import Past
from dashboard.templatetags.rateguard_pages import count, duration, usd
from rateguard.engine.lanes import Lane
from rateguard.jobs.bodies import why_gone
from rateguard.jobs.models import Delivery, Job, JobEvent, MessageState, WebhookMessage
from rateguard.jobs.states import RESUBMIT, TERMINAL, WAITING, State
from rateguard.jobs.steering.requeue import is_requeueable

_MS = dt.timedelta(milliseconds=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value; address: the list of the jobs that share it, or "". at: a moment, instead of a value."""

    name: str
    value: str = ""
    address: str = ""
    at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class JobPanel:
    """The page. is_live: it goes on, so the page asks again. can_…: whether it makes sense, whoever looks."""

    sentence: str
    tone: str
    steps: tuple[Step, ...]
    facts: tuple[Fact, ...]
    is_live: bool
    can_cancel: bool
    can_retry: bool
    can_requeue: bool
    can_move: bool
    gone: str = ""


def job_panel(past: Past, zone: ZoneInfo, now: dt.datetime) -> JobPanel:
    """All of it but what was asked and answered."""
    job = past.job
    return JobPanel(
        sentence=became(past, zone, now),
        tone=TONES.get(State(job.state), ""),
        steps=timeline(past, zone, now),
        facts=tuple(_facts(past)),
        is_live=job.state not in TERMINAL,
        can_cancel=can_cancel(job),
        can_retry=job.state in RESUBMIT.sources and not why_gone(job),
        can_requeue=is_requeueable(job),
        can_move=job.state in WAITING,
        gone=why_gone(job),
    )


def can_cancel(job: Job) -> bool:
    """Whether asking for its end changes anything."""
    return job.state in WAITING or (job.state == State.RUNNING and not job.cancel_requested)


# ---- one sentence


def became(past: Past, zone: ZoneInfo, now: dt.datetime) -> str:
    """What became of it, or where it stands."""
    return _ended(past, zone) if past.job.state in TERMINAL else _stands(past, now)


def _ended(past: Past, zone: ZoneInfo) -> str:
    job = past.job
    match State(job.state):
        case State.SUCCEEDED:
            took = f" in {duration(job.latency_ms)}" if job.latency_ms is not None else ""
            return f"Succeeded{took}{_after_waiting(past)}{_tries(job)}; cost {usd(job.nano_usd)}."
        case State.FAILED:
            return f"Failed{_tries(job)}: {job.error_code or 'an error'}. {_sentence(job.error_message)}{_cost(job)}".strip()
        case State.CANCELLED:
            when = "while it ran" if any(one.kind == "stopped" for one in past.events[-1:]) else "while it waited"
            return f"Cancelled{_by(past)} {when}.{_cost(job)}"
        case _:
            deadline = f", {job.deadline_at.astimezone(zone):%Y-%m-%d %H:%M:%S}" if job.deadline_at else ""
            return f"Expired: it had not begun by its deadline{deadline}.{_cost(job)}"


def _stands(past: Past, now: dt.datetime) -> str:
    job = past.job
    match State(job.state):
        case State.RUNNING:
            asked = " It is asked to end." if job.cancel_requested else " It is asked to come back." if job.requeue_requested else ""
            return f"Runs at {job.deployment} for {duration(_since(job.started_at, now))}{_tries(job)}.{asked}"
        case State.QUEUED:
            return _waits(past, duration(_since(job.queued_at, now)))
        case _:
            return _scheduled(job, now)


def _waits(past: Past, so_far: str) -> str:
    """What it waits for, for how long, and how long still."""
    found = past.waits_for
    if found is None or not found.is_known or found.is_never:
        return " ".join((f"Waits, for {so_far} so far.", *waits_now(past)))
    if not found.words:
        return f"Waits for its turn, for {so_far} so far: nothing limits it."
    return f"Waits for {found.words}, for {so_far} so far{opens(found)}."


def _scheduled(job: Job, now: dt.datetime) -> str:
    left_ms = 0.0 if job.run_at is None else (job.run_at - now) / _MS
    when = f"in {duration(left_ms)}" if left_ms > 0 else "any moment"
    return f"Tries again {when}, after attempt {job.attempt} failed: {job.error_code}." if job.error_code else f"Begins {when}."


def _after_waiting(past: Past) -> str:
    """The last wait, and what it was for most of the time."""
    waited_ms = past.job.queue_ms
    if not waited_ms:
        return ""
    longest = max(past.waited_for, key=lambda one: one.ended_at - one.began_at, default=None)
    return f" after waiting {duration(waited_ms)}" + (f" for {longest.words}" if longest else "")


def _tries(job: Job) -> str:
    return f", at attempt {job.attempt}" if job.attempt > 1 else ""


def _cost(job: Job) -> str:
    return f" It cost {usd(job.nano_usd)}." if job.nano_usd else ""


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    return "" if not text else text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _by(past: Past) -> str:
    """Who ended it: the last of those who wanted something of it."""
    told = [past.by[event.pk] for event in past.events if event.pk in past.by and _wants_its_end(event)]
    return f" by {told[-1]}" if told else ""


def _wants_its_end(event: JobEvent) -> bool:
    return event.kind in {"cancelled", "cancel_requested", "stopped"}


def _since(moment: dt.datetime | None, now: dt.datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment) / _MS)


# ---- facts


def _facts(past: Past) -> list[Fact]:
    """Those that are there, in the order in which people ask."""
    job = past.job
    tokens = f"{count(job.used_input_tokens)} in, {count(job.used_output_tokens)} out"
    found = [
        _listed(job, "model", job.model),
        Fact("asked for", job.asked_model if job.asked_model != job.model else ""),
        Fact("lane", Lane(job.lane).label),
        Fact("cost", usd(job.nano_usd) if job.nano_usd or job.state in TERMINAL else ""),
        Fact("tokens", tokens if job.used_input_tokens or job.used_output_tokens else ""),
        Fact("last deployment", job.deployment),
        *(_listed(job, name, getattr(job, name)) for name in ("user", "team")),
        Fact("role group", job.rolegroup),
        Fact("role", job.role),
        _run(past),
        _listed(job, "batch", str(job.batch_id) if job.batch_id else ""),
        Fact("line", f"{job.line:,}, {job.custom_id}".rstrip(", ") if job.line else ""),
        *(_listed(job, "label", f"{key}={value}") for key, value in sorted(job.labels.items())),
        Fact("cost center", job.cost_center),
        Fact("API key", past.key),
        Fact("request id", job.request_id),
        Fact("idempotency key", job.idempotency_key or ""),
        Fact("not before", at=job.run_at if job.state in WAITING else None),
        Fact("deadline", at=job.deadline_at),
        Fact("tries", f"{job.tries} of {job.max_tries} failed" if job.tries else f"at most {job.max_tries}"),
        Fact("delivery", "never sent twice" if job.delivery == Delivery.AT_MOST_ONCE else ""),
        Fact("failed alike", job.fingerprint, address({"tenant": job.tenant.name, "fingerprint": job.fingerprint})),
        Fact("longest call", duration(job.timeout_s * 1_000)),
        *(Fact("webhook", _became(message)) for message in past.told),
    ]
    return [fact for fact in found if fact.value or fact.at]


def _listed(job: Job, name: str, value: str) -> Fact:
    """With the list of the tenant's jobs that share it."""
    return Fact(name, value, address({"tenant": job.tenant.name, name: value}) if value else "")


def _became(message: WebhookMessage) -> str:
    """Whether an endpoint was told."""
    tries = f"{message.tries} {'try' if message.tries == 1 else 'tries'}"
    match MessageState(message.state):
        case MessageState.DELIVERED:
            return f"{message.endpoint.name} was told" + (f" at try {message.tries}" if message.tries > 1 else "")
        case MessageState.DEAD:
            return f"{message.endpoint.name} was not told: given up after {tries}"
        case _:
            return f"{message.endpoint.name} is told soon" + (f": {tries} failed" if message.tries else "")


def _run(past: Past) -> Fact:
    run = past.job.run
    if run is None:
        return Fact("run")
    return Fact("run", f"{past.run} ({run})" if past.run else str(run), address({"tenant": past.job.tenant.name, "run": str(run)}))
