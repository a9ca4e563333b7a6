"""The list of jobs, as its page shows it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

from dashboard.queries.job_filters import CUSTOM_RANGE, RANGES, STATES, Asked
from dashboard.queries.jobs import Listed
from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.keyset import Cursor
from rateguard.jobs.insight.search import BadEnd
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, State

TONES = {State.SUCCEEDED: "good", State.FAILED: "bad", State.CANCELLED: "warn", State.EXPIRED: "bad", State.RUNNING: "now"}
"""How a state's badge looks; those that wait have no colour."""
STATE_OPTIONS = tuple((name, words) for name, (words, _) in STATES.items())
RANGE_OPTIONS = tuple((name, words) for name, (words, _) in RANGES.items())
LANE_OPTIONS = tuple(lane.label for lane in Lane)
_MORE = ("lane", "user", "team", "label", "key", "deployment", "run", "batch", "error", "fingerprint", "from", "to", "zone")
"""Fields that lie folded away until one of them is used."""
_TABS = (("", "All"), ("waiting", "Waiting"), ("running", "Running"), ("succeeded", "Succeeded"), ("ended-badly", "Ended badly"))


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A job in the list. waited_ms: until it last began, or by now; None: it never was to."""

    id: uuid.UUID
    short: str
    at: dt.datetime
    tenant: str
    model: str
    lane: str
    state: str
    tone: str
    waited_ms: float | None
    is_waiting: bool
    latency_ms: int | None
    tokens: int | None
    nano_usd: int | None
    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Jobs that ended badly in the same way, and the address that lists them."""

    what: str
    tone: str
    model: str
    jobs: int
    last_at: dt.datetime
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class JobsPanel:
    """The page. looked_at, summed: after how many jobs the search, the summary stopped; None: they saw all. older, newer: addresses."""

    lines: tuple[Line, ...]
    has_tenants: bool
    time_words: str
    older: str
    newer: str
    looked_at: int | None
    groups: tuple[Group, ...]
    summed: int | None
    any_time: str
    tabs: tuple[tuple[str, str, bool], ...]
    is_more: bool
    chips: tuple[tuple[str, str], ...]


def jobs_panel(asked: Asked, listed: Listed | None, now: dt.datetime) -> JobsPanel:
    """The page of what was asked and found; listed: None where nothing was looked for."""
    page = listed.found.page if listed else None
    bad = listed.bad_ends if listed else None
    return JobsPanel(
        lines=tuple(_line(job, listed.tenants, now) for job in page.jobs) if page and listed else (),
        has_tenants=asked.tenant is None,
        time_words=_time_words(asked),
        older=_beside(asked, page.older) if page else "",
        newer=_beside(asked, page.newer) if page else "",
        looked_at=listed.found.looked_at if listed else None,
        groups=tuple(_group(one, asked) for one in bad.groups) if bad else (),
        summed=bad.looked_at if bad else None,
        any_time="" if asked.range == "any" else address(_but(asked.given, "from", "to") | {"range": "any"}),
        tabs=tuple((words, _tab(asked, name), asked.given.get("state", "") == name) for name, words in _TABS),
        is_more=any(name in asked.given for name in _MORE),
        chips=tuple((name, address(_but(asked.given, name))) for name in asked.given if name not in {"range", "zone"}),
    )


def address(given: Mapping[str, str]) -> str:
    """The part of the page's address behind its path."""
    return f"?{urlencode(given)}" if given else "?"


def _beside(asked: Asked, cursor: Cursor | None) -> str:
    return address({**asked.given, "cursor": cursor.written()}) if cursor else ""


def _but(given: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in given.items() if name not in names}


def _tab(asked: Asked, state: str) -> str:
    """The same search in another state, at the time that is usual there where the person did not say from and to."""
    given = _but(asked.given, "state", "range", "error", "q")
    return address(given | ({"state": state} if state else {}))


def _time_words(asked: Asked) -> str:
    if asked.range != CUSTOM_RANGE:
        return RANGES[asked.range][0].lower()
    since, until = (f"{at.astimezone(asked.zone):%Y-%m-%d %H:%M}" if at else "" for at in (asked.search.since, asked.search.until))
    return " ".join(part for part in (f"from {since}" if since else "", f"to {until}" if until else "") if part) or "any time"


def _line(job: Job, tenants: Mapping[int, str], now: dt.datetime) -> Line:
    is_used = job.state in TERMINAL or job.nano_usd != 0
    return Line(
        id=job.pk,
        short=short_id(job.pk),
        at=job.submitted_at,
        tenant=tenants.get(job.tenant_id, ""),
        model=job.model,
        lane=Lane(job.lane).label,
        state=job.state,
        tone=TONES.get(State(job.state), ""),
        waited_ms=waited_ms(job, now),
        is_waiting=job.state == State.QUEUED,
        latency_ms=job.latency_ms,
        tokens=job.used_input_tokens + job.used_output_tokens if is_used else None,
        nano_usd=job.nano_usd if is_used else None,
        error=job.error_code,
    )


def short_id(job_id: uuid.UUID) -> str:
    """The end of an id, which tells jobs of one moment apart: their beginnings are the time."""
    return f"…{job_id.hex[-8:]}"


def waited_ms(job: Job, now: dt.datetime) -> float | None:
    """How long a job waited before it last began, or waits by now."""
    if job.state == State.QUEUED:
        return max(0.0, (now - job.queued_at) / dt.timedelta(milliseconds=1))
    if job.queue_ms is not None:
        return job.queue_ms
    until = job.started_at or (job.finished_at if job.state in TERMINAL else None)
    return None if until is None or until < job.queued_at else (until - job.queued_at) / dt.timedelta(milliseconds=1)


def _group(one: BadEnd, asked: Asked) -> Group:
    given = _but(asked.given, "state", "error", "model")
    wanted = {"state": one.state, "model": one.model, **({"error": one.error} if one.error else {})}
    return Group(one.error or one.state, TONES[State(one.state)], one.model, one.jobs, one.last_at, address(given | wanted))
