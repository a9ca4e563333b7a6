"""The page Now: every figure of it, for one reach. The rows first; the gate is asked until it fails once, then no more.

Figures are shared: whoever sees the same tenants gets those of the last second, so that a hundred open pages ask as often as one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from dashboard.queries.now_events import Event, all_pauses, events
from dashboard.queries.now_places import AccountNow, accounts_now, deployment_rows, places_within
from dashboard.queries.now_rows import Depth, Moment, Pace, pace, waiting_now
from rateguard.conf import conf
from rateguard.engine.errors import GateError
from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.heldback import HeldBack, held_back
from rateguard.jobs.insight.heldlook import Known, Look, look
from rateguard.jobs.insight.heldrows import Groups, waiting_groups
from rateguard.jobs.insight.hindrances import last_seen
from rateguard.jobs.models import CARETAKER, Hindrance, Job, Lease
from rateguard.jobs.states import WAITING
from tenants.access import Access
from tenants.directory import Place
from tenants.models import Tenant

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class InTheWay:
    """One obstacle and the jobs that it holds back, of all models and lanes. held: as it is of the largest part of them.

    tenant: whose node it is, "" for what all share.
    """

    held: HeldBack
    jobs: int
    models: tuple[str, ...]
    tenant: str


@dataclasses.dataclass(frozen=True, slots=True)
class Obstacles:
    """What is in the way, the most jobs first. looked_at: waiting jobs that this was found among; is_all: whether those are all.

    as_of: when the caretaker saw it last, where the gate cannot say it now; None: now.
    """

    found: tuple[InTheWay, ...]
    looked_at: int
    is_all: bool
    as_of: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Worker:
    """A live worker: its slots, how many of them are taken, and the lanes that it serves. is_leaving: it takes nothing new."""

    id: str
    slots: int
    in_use: int
    lanes: tuple[Lane, ...]
    is_leaving: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Workers:
    """Slots of all workers, and those of them that may be shown. workers: None where the gate is away or who looks is no operator.

    last_sign: where the gate is away, when the caretaker of the workers was heard last, by its lease.
    """

    count: int | None
    slots: int
    in_use: int
    workers: tuple[Worker, ...] | None
    last_sign: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class OwnTenant:
    """A tenant of who looks. most_waiting: where so many of its jobs wait that no more are taken, how many that are; else None."""

    name: str
    time_zone: str
    most_waiting: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """Everything on the page. tenants: those of who looks, empty for an operator. gate_is_away: what it says is missing or old."""

    moment: Moment
    depths: tuple[Depth, ...]
    pace: Pace
    obstacles: Obstacles
    accounts: tuple[AccountNow, ...]
    workers: Workers
    events: tuple[Event, ...]
    tenants: tuple[OwnTenant, ...]
    is_operator: bool
    gate_is_away: bool


def figures(access: Access) -> Figures:
    """Read them all."""
    now, counted = waiting_now(access)
    speed, groups, pauses = pace(access), waiting_groups(access.tenant_ids()), all_pauses()
    places = places_within(access)
    rows = deployment_rows(places)
    seen = _look(groups, places, Known(speed.all_running, {pk: row.forced for pk, row in rows.items()}, pauses))
    return Figures(
        now,
        tuple(counted),
        speed,
        _obstacles(access, groups, seen),
        tuple(accounts_now(access, places, rows, seen, pauses)),
        _workers(access, speed.running, seen),
        tuple(events(access, now.at, pauses)),
        _own_tenants(access, counted),
        access.is_operator,
        seen is None,
    )


def _look(groups: Groups, places: Sequence[Place], known: Known) -> Look | None:
    """What the gate says; None where it fails, and then it is asked nothing more for this page."""
    try:
        return look(groups, places, known)
    except GateError as error:
        logger.info("the page shows what was known last: %s", error)
        return None


# ---- what is in the way


def _obstacles(access: Access, groups: Groups, seen: Look | None) -> Obstacles:
    if seen is None:
        return _last_obstacles(access, groups)
    found = held_back(groups, seen)
    return _summed(access, found, Obstacles((), groups.jobs, groups.is_all))


def _last_obstacles(access: Access, groups: Groups) -> Obstacles:
    """As the caretaker saw it last. How many jobs of others there were is an operator's to know."""
    rows = last_seen(access.tenant_ids(), {group.model for group in groups.groups}) if groups.jobs else []
    as_of = max((row.seen_at for row in rows), default=None)
    is_all = access.is_operator or all(row.tenant_id is not None for row in rows)
    found = [_held(row, row.jobs if is_all else 0) for row in rows]
    return _summed(access, found, Obstacles((), groups.jobs, groups.is_all, as_of))


def _held(row: Hindrance, jobs: int) -> HeldBack:
    return HeldBack(
        row.model,
        Lane(row.lane),
        row.kind,
        row.scope_kind,
        row.scope,
        jobs,
        limit_id=row.limit_id,
        text=row.text,
        tenant_id=row.tenant_id,
        node=row.node,
        opens_ms=None,
    )


def _summed(access: Access, found: Iterable[HeldBack], without: Obstacles) -> Obstacles:
    """One line an obstacle, whatever models and lanes it holds back."""
    parts: dict[tuple[object, ...], list[HeldBack]] = defaultdict(list)
    for one in found:
        parts[one.key].append(one if access.is_operator else one.as_seen_by_a_tenant())
    names = _names({one.tenant_id for held in parts.values() for one in held if one.tenant_id is not None})
    lines = [
        InTheWay(held[0], sum(one.jobs for one in held), tuple(sorted({one.model for one in held})), names.get(held[0].tenant_id, ""))
        for held in parts.values()
    ]
    return dataclasses.replace(without, found=tuple(sorted(lines, key=lambda line: -line.jobs)))


def _names(tenant_ids: Collection[int]) -> dict[int | None, str]:
    return dict(Tenant.objects.filter(pk__in=tenant_ids).values_list("pk", "name")) if tenant_ids else {}


# ---- who works


def _workers(access: Access, running: Mapping[str, int], seen: Look | None) -> Workers:
    if seen is None:
        return Workers(
            None, 0, sum(running.values()), None, Lease.objects.filter(name=CARETAKER).values_list("expires_at", flat=True).first()
        )
    live = [
        Worker(one.id, one.slots, running.get(one.id, 0), one.lanes, is_leaving=not one.slots)
        for one in sorted(seen.seen.holders, key=lambda one: one.id)
        if one.slots or running.get(one.id)
    ]
    counted = [one for one in live if not one.is_leaving]
    told = tuple(live) if access.is_operator else None
    return Workers(len(counted), sum(one.slots for one in counted), sum(one.in_use for one in counted), told)


# ---- whose page it is


def _own_tenants(access: Access, counted: Sequence[Depth]) -> tuple[OwnTenant, ...]:
    if access.is_operator:
        return ()
    rows = access.tenants().order_by("name")
    return tuple(OwnTenant(row.name, row.time_zone, _bound_reached(row, len(access.powers), counted)) for row in rows)


def _bound_reached(row: Tenant, tenants: int, counted: Sequence[Depth]) -> int | None:
    """How many jobs of a tenant may wait, where so many do."""
    most = row.max_waiting if row.max_waiting is not None else conf().max_waiting
    waiting = sum(depth.waiting for depth in counted)
    if tenants == 1 and not any(depth.is_more for depth in counted):
        return most if waiting >= most else None
    if waiting < most and not any(depth.is_more for depth in counted):
        return None
    own = Job.objects.filter(tenant=row, state__in=WAITING).values("pk")[:most]
    return most if own.count() >= most else None
