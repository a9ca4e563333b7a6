"""The page Now as its template shows it: figures become words, shares and levels. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

from dashboard.panels.now_places import AccountPanel, account_panel, span
from dashboard.panels.now_sentence import Sentence, Situation, sentence
from dashboard.queries.now import Figures, InTheWay, Worker
from dashboard.queries.now_events import Event
from dashboard.queries.now_rows import Depth
from dashboard.templatetags.rateguard_pages import MISSING
from rateguard.jobs.insight.heldwords import SLOTS, as_title, in_the_way

MOST_OBSTACLES = 12
KINDS = {"no_deployment": "no deployment", "slots": "workers", "untold": "not told"}


@dataclasses.dataclass(frozen=True, slots=True)
class LanePanel:
    """A lane: how many wait, `100,000+` where they are not all counted, since when the oldest does, and its share of all that wait."""

    name: str
    waiting: str
    oldest: str
    oldest_at: dt.datetime | None
    share: float


@dataclasses.dataclass(frozen=True, slots=True)
class ObstaclePanel:
    """An obstacle: what it is, jobs held back (None: not told), their share, how much of it is used, when there is room."""

    id: str
    kind: str
    words: str
    jobs: int | None
    share: float | None
    used: float | None
    opens: str
    models: str


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerPanel:
    """A worker: where it runs, its slots and those taken, its lanes."""

    name: str
    slots: int
    in_use: int
    share: float | None
    lanes: str
    is_leaving: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows."""

    sentence: Sentence
    waiting: str
    later: str
    running: int
    slots: int | None
    worker_count: int | None
    finished: int
    failed: int
    lanes: tuple[LanePanel, ...]
    obstacles: tuple[ObstaclePanel, ...]
    more_obstacles: int
    looked_at: int
    is_all: bool
    as_of: dt.datetime | None
    accounts: tuple[AccountPanel, ...]
    workers: tuple[WorkerPanel, ...] | None
    last_sign: dt.datetime | None
    events: tuple[Event, ...]
    gate_is_away: bool
    is_operator: bool
    at: dt.datetime
    zone: ZoneInfo


def page_of(now: Figures, zone: ZoneInfo) -> Page:
    """Make it."""
    waiting = [one for one in now.depths if one.lane is not None]
    total = sum(one.waiting for one in waiting)
    more = "+" if any(one.is_more for one in waiting) else ""
    later = next(one for one in now.depths if one.lane is None)
    obstacles = now.obstacles
    return Page(
        sentence=sentence(situation(now)),
        waiting=f"{total:,}{more}",
        later=f"{later.waiting:,}{'+' if later.is_more else ''}" if later.waiting else "",
        running=sum(now.pace.running.values()),
        slots=None if now.gate_is_away else now.workers.slots,
        worker_count=now.workers.count,
        finished=now.pace.finished,
        failed=now.pace.failed,
        lanes=tuple(_lane(one, total, now.moment.at) for one in waiting),
        obstacles=tuple(_obstacle(number, one, obstacles.looked_at) for number, one in enumerate(obstacles.found[:MOST_OBSTACLES])),
        more_obstacles=max(0, len(obstacles.found) - MOST_OBSTACLES),
        looked_at=obstacles.looked_at,
        is_all=obstacles.is_all,
        as_of=obstacles.as_of,
        accounts=tuple(account_panel(one) for one in now.accounts),
        workers=None if now.workers.workers is None else tuple(map(_worker, now.workers.workers)),
        last_sign=now.workers.last_sign,
        events=now.events,
        gate_is_away=now.gate_is_away,
        is_operator=now.is_operator,
        at=now.moment.at,
        zone=zone,
    )


def situation(now: Figures) -> Situation:
    """The figures that the sentence is made of."""
    waiting = [one for one in now.depths if one.lane is not None]
    found = now.obstacles.found
    worst = found[0] if found else None
    return Situation(
        is_read_only=now.moment.is_read_only,
        bound=now.tenants[0].most_waiting if len(now.tenants) == 1 else None,
        waiting=sum(one.waiting for one in waiting),
        is_more=any(one.is_more for one in waiting),
        later=sum(one.waiting for one in now.depths if one.lane is None),
        running=sum(now.pace.running.values()),
        finished=now.pace.finished,
        failed=now.pace.failed,
        gate_is_away=now.gate_is_away,
        workers=now.workers.count,
        obstacle=_said(worst) if worst else "",
        held=worst.jobs if worst else 0,
        looked_at=now.obstacles.looked_at,
        opens_ms=worst.held.opens_ms if worst else None,
    )


def _said(one: InTheWay, say: Callable[[str, str, str, str], str] = in_the_way) -> str:
    """An obstacle; a tenant by its name, and of a node below one whose it is."""
    held = one.held
    scope = one.tenant or held.scope if held.scope_kind == "tenant" else held.scope
    whose = f"{scope} of tenant {one.tenant}" if held.node and one.tenant else scope
    return say(held.kind, held.scope_kind, whose, held.text)


def _lane(one: Depth, total: int, now: dt.datetime) -> LanePanel:
    age_ms = max(0.0, (now - one.oldest_at).total_seconds() * 1000) if one.oldest_at else None
    share = one.waiting / total if total else 0.0
    name = one.lane.label if one.lane else ""
    return LanePanel(
        name, f"{one.waiting:,}{'+' if one.is_more else ''}", MISSING if age_ms is None else span(age_ms), one.oldest_at, share
    )


def _obstacle(number: int, one: InTheWay, looked_at: int) -> ObstaclePanel:
    held = one.held
    return ObstaclePanel(
        id=f"obstacle-{number}",
        kind=KINDS.get(held.kind, held.kind),
        words=_said(one, as_title),
        jobs=one.jobs or None,
        share=one.jobs / looked_at if one.jobs and looked_at else None,
        used=held.share,
        opens=_opens(one),
        models=", ".join(one.models[:4]) + (f" and {len(one.models) - 4} more" if len(one.models) > 4 else ""),
    )


def _opens(one: InTheWay) -> str:
    held = one.held
    if held.kind == SLOTS:
        return ""
    if held.opens_ms is None:
        return "when a call ends" if held.kind == "limit" else "not by itself"
    return "room now and then" if held.opens_ms == 0 else f"room in {span(held.opens_ms)} at the latest"


def _worker(one: Worker) -> WorkerPanel:
    """`host:pid:…` is read as a machine and a process."""
    host, _, rest = one.id.rpartition(":")[0].rpartition(":")
    name = f"{host}, process {rest}" if host and rest.isdigit() else one.id
    lanes = "all lanes" if len(one.lanes) == 5 else ", ".join(lane.label for lane in one.lanes)
    return WorkerPanel(name, one.slots, one.in_use, one.in_use / one.slots if one.slots else None, lanes, one.is_leaving)
