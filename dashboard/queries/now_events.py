"""What happened lately that people want to hear of: breakers, budgets that came near their end, and pauses in force."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence

from rateguard import wiring
from rateguard.engine.scopes import kind_of, name_of
from rateguard.jobs.controls.targets import target_of
from rateguard.jobs.insight.heldwords import node_words
from rateguard.jobs.insight.naming import in_words
from tenants.access import Access
from tenants.models import EventKind, GateEvent, Pause, PauseKind

MOST_EVENTS = 8
MOST_PAUSES = 20
LOOK_BACK = dt.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. kind: `breaker`, `threshold`, `pause`. level: `good`, `warn`, `bad`. detail: what more is known."""

    kind: str
    level: str
    what: str
    detail: str
    at: dt.datetime


def all_pauses() -> list[Pause]:
    """Every pause, the oldest first; there are few. One query."""
    return list(Pause.objects.order_by("pk")[:1_000])


def events(access: Access, now: dt.datetime, pauses: Sequence[Pause]) -> list[Event]:
    """The newest first. One query, and one for each pause that is told."""
    rows = access.within(GateEvent.objects.filter(at__gt=now - LOOK_BACK).order_by("-at").select_related("tenant"), "tenant")[:MOST_EVENTS]
    told = [*map(_of_row, rows), *map(_of_pause, _pauses_within(access, now, pauses))]
    return sorted(told, key=lambda one: one.at, reverse=True)[: MOST_EVENTS + MOST_PAUSES]


def _of_row(row: GateEvent) -> Event:
    if row.kind == EventKind.THRESHOLD:
        level = "bad" if row.value >= 100 else "warn"
        return Event("threshold", level, f"A budget{_whose(row)} reached {row.value} %", "", row.at)
    if row.kind == EventKind.COOLED:
        return Event("cooled", "bad", f"Nothing goes to {in_words(row.subject)}", row.detail, row.at)
    place = wiring.directory().places.get(int(row.subject)) if row.subject.isdecimal() else None
    name = place.name if place else row.subject
    return Event("breaker", *_transition(row.detail, name), row.at)


def _whose(row: GateEvent) -> str:
    """Of a default the node, of a run that it is one's, else the tenant."""
    limit, _, node = row.subject.partition("@")
    tenant = f" of tenant {row.tenant.name}" if row.tenant else ""
    if ":" in node:
        return f" of {node_words(kind_of(node), name_of(node))}{tenant}"
    return f" of a run{tenant}" if limit.startswith("rb") else tenant


_STATES = {"open": ("bad", "opened"), "half_open": ("warn", "lets one probe through"), "closed": ("good", "closed")}


def _transition(detail: str, name: str) -> tuple[str, str, str]:
    """Level, words and reason of `closed>open: 5 of 8 calls failed`, or of what a person did."""
    change, _, reason = detail.partition(": ")
    after = change.partition(">")[2]
    if after not in _STATES:
        return "warn", f"The breaker of {name}: {detail}", ""
    level, verb = _STATES[after]
    return level, f"The breaker of {name} {verb}", reason


def _pauses_within(access: Access, now: dt.datetime, pauses: Iterable[Pause]) -> list[Pause]:
    """An operator sees all; others their tenants' own."""
    ids = access.tenant_ids()
    in_force = [row for row in pauses if row.until is None or row.until > now]
    own = [row for row in in_force if ids is None or (row.target_kind == PauseKind.TENANT and int(row.target) in ids)]
    return own[-MOST_PAUSES:]


def _of_pause(row: Pause) -> Event:
    target = target_of(row)
    what = "Everything" if target.kind == PauseKind.ALL else f"{target.kind.value.capitalize()} {target.name}"
    until = f"until {row.until:%Y-%m-%d %H:%M} UTC" if row.until else "until it is resumed"
    by = f"by {row.created_by}" if row.created_by else ""
    return Event("pause", "warn", f"{what} is paused", ", ".join(part for part in (until, by, row.reason) if part), row.created_at)
