"""What the address of the page of jobs asks for: read from its parameters, within the reach of who asks. Empty is as good as absent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from django.db.models import Q

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.keyset import Cursor, read_cursor
from rateguard.jobs.insight.search import Search, label_pair
from rateguard.jobs.models import ENDED_BADLY
from rateguard.jobs.states import WAITING, State
from tenants.access import Access
from tenants.models import ApiKey, Tenant
from tenants.models.tenant import zone_named

NAMES = (
    "q",
    "tenant",
    "state",
    "model",
    "range",
    "lane",
    "user",
    "team",
    "label",
    "key",
    "deployment",
    "run",
    "batch",
    "error",
    "fingerprint",
    "from",
    "to",
    "zone",
)
"""The parameters of the filter, as the page has them."""
TEXTS = ("model", "user", "team", "deployment", "error", "fingerprint")
STATES = {
    "waiting": ("Waiting", frozenset(WAITING)),
    "running": ("Running", frozenset({State.RUNNING})),
    "succeeded": ("Succeeded", frozenset({State.SUCCEEDED})),
    "ended-badly": ("Ended badly", frozenset(ENDED_BADLY)),
    "failed": ("– failed", frozenset({State.FAILED})),
    "cancelled": ("– cancelled", frozenset({State.CANCELLED})),
    "expired": ("– expired", frozenset({State.EXPIRED})),
    "queued": ("Waiting: queued", frozenset({State.QUEUED})),
    "scheduled": ("Waiting: scheduled", frozenset({State.SCHEDULED})),
}
"""What `state` may be: the words for it, and the states that it means."""
RANGES = {
    "1h": ("Last hour", dt.timedelta(hours=1)),
    "24h": ("Last 24 hours", dt.timedelta(days=1)),
    "7d": ("Last 7 days", dt.timedelta(days=7)),
    "30d": ("Last 30 days", dt.timedelta(days=30)),
    "any": ("Any time", None),
}
USUAL_RANGE, CUSTOM_RANGE = "24h", "custom"
LONGEST = 256
MOST_KEYS = 100
MOST_PK = 2**63 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for. given: the parameters that are not empty; range: the name of the time that is looked at, also where nobody said.

    tenant: the one whose jobs are shown, None: those of all, which operators alone see. faults: what could not be read, one sentence each;
    missing: what is named and not there, so that nothing can be found.
    """

    given: Mapping[str, str]
    search: Search
    zone: ZoneInfo
    range: str
    tenant: Tenant | None = None
    cursor: Cursor | None = None
    faults: tuple[str, ...] = ()
    missing: str = ""


def read_asked(parameters: Mapping[str, str], access: Access, now: dt.datetime) -> Asked:
    """Read the parameters; at most three statements."""
    given = {name: value.strip() for name in NAMES if (value := parameters.get(name, "")).strip()}
    if any("\0" in value or len(value) > LONGEST for value in given.values()):
        fault = f"Write at most {LONGEST} characters in a field, without NUL."
        return Asked({}, Search(), ZoneInfo("UTC"), USUAL_RANGE, faults=(fault,))
    faults: list[str] = []
    tenant, missing = _tenant(given.get("tenant", ""), access)
    zone = _zone(given.get("zone", ""), tenant, faults)
    keys = _keys(given["key"], access, tenant) if "key" in given else None
    if keys is not None and not keys:
        missing = missing or f"There is no key {given['key']}: write its name, or the characters that it begins with."
    cursor = _cursor(parameters.get("cursor", ""), faults)
    name, since, until = _span(given, zone, now, faults)
    search = Search(
        tenant=None if tenant is None else tenant.pk,
        states=_states(given.get("state", ""), faults),
        lanes=_lanes(given.get("lane", ""), faults),
        run=_id("run", given, faults),
        batch=_id("batch", given, faults),
        keys=keys,
        labels=_labels(given.get("label", ""), faults),
        since=since,
        until=until,
        **{name: given.get(name, "") for name in TEXTS},
    )
    return Asked(given, search, zone, name, tenant, cursor, tuple(faults), missing)


def _tenant(name: str, access: Access) -> tuple[Tenant | None, str]:
    """Whose jobs; who is no operator sees those of one tenant at a time, and first those of the first."""
    rows = access.tenants()
    if name:
        tenant = rows.filter(name=name).first()
        return tenant, "" if tenant else f"There is no tenant {name}, or it is not yours."
    return (None, "") if access.is_operator else (rows.order_by("name").first(), "")


def _zone(name: str, tenant: Tenant | None, faults: list[str]) -> ZoneInfo:
    if name and zone_named(name) is None:
        faults.append(f"There is no time zone {name}: write one like UTC or Europe/Berlin.")
        name = ""
    return ZoneInfo(name or (tenant.time_zone if tenant else "UTC"))


def _keys(text: str, access: Access, tenant: Tenant | None) -> frozenset[int]:
    """The ids of the keys of that name, that beginning, or that id."""
    rows = access.within(ApiKey.objects.all()) if tenant is None else ApiKey.objects.filter(tenant=tenant)
    found = Q(prefix=text) | Q(name=text)
    if text.isascii() and text.isdecimal() and int(text) <= MOST_PK:
        found |= Q(pk=int(text))
    return frozenset(rows.filter(found).values_list("pk", flat=True)[:MOST_KEYS])


def _states(text: str, faults: list[str]) -> frozenset[str]:
    if text and text not in STATES:
        faults.append(f"There is no state {text}: choose one of {', '.join(STATES)}.")
    return STATES[text][1] if text in STATES else frozenset()


def _lanes(text: str, faults: list[str]) -> frozenset[Lane]:
    by_name = {lane.label: lane for lane in Lane}
    if text and text not in by_name:
        faults.append(f"There is no lane {text}: choose one of {', '.join(by_name)}.")
    return frozenset({by_name[text]} if text in by_name else ())


def _id(name: str, given: Mapping[str, str], faults: list[str]) -> uuid.UUID | None:
    text = given.get(name, "")
    if text and as_id(text) is None:
        faults.append(f"A {name} is looked for by its id, such as 01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e.")
    return as_id(text)


def as_id(text: str) -> uuid.UUID | None:
    """An id; None for what is none."""
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None


def _labels(text: str, faults: list[str]) -> tuple[tuple[str, str], ...]:
    """Of several, with commas between them, a job must have all."""
    pairs = [label_pair(part.strip()) for part in text.split(",") if part.strip()]
    if not all(pairs):
        faults.append("Write a label as key=value, such as feature=search; several with commas between them.")
    return tuple(pair for pair in pairs if pair)


def _cursor(text: str, faults: list[str]) -> Cursor | None:
    try:
        return read_cursor(text[:LONGEST])
    except InvalidRequest:
        faults.append("The place in the list cannot be read: begin with the newest jobs.")
        return None


# ---- the time that is looked at


def _span(
    given: Mapping[str, str], zone: ZoneInfo, now: dt.datetime, faults: list[str]
) -> tuple[str, dt.datetime | None, dt.datetime | None]:
    """Its name, its begin and its end. Where nobody said: the last day, or any time for what an index leads to wherever it stands."""
    if "from" in given or "to" in given:
        since, until = _moment(given.get("from", ""), zone, faults), _moment(given.get("to", ""), zone, faults)
        if since is not None and until is not None and since >= until:
            faults.append("The time that is looked at ends before it begins: change from or to.")
        return CUSTOM_RANGE, since, until
    name = given.get("range", "")
    if name and name not in RANGES:
        faults.append(f"There is no time {name}: choose one of {', '.join(RANGES)}, or say from and to.")
    if name not in RANGES:
        name = "any" if {"run", "batch", "fingerprint"} & set(given) or given.get("state") in _LEAD_ANYWHERE else USUAL_RANGE
    length = RANGES[name][1]
    return name, None if length is None else now - length, None


_LEAD_ANYWHERE = {"waiting", "queued", "scheduled", "running"}


def _moment(text: str, zone: ZoneInfo, faults: list[str]) -> dt.datetime | None:
    """A time that is written without a zone is in the page's."""
    if not text:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        faults.append("Write a time like 2030-01-31T12:00.")
        return None
