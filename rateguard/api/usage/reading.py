"""A GET of usage as a Question."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import orjson
from django.utils import timezone
from django.utils.dateparse import parse_date
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from rateguard.api.authentication import Caller
from rateguard.api.params import MOST_PK, Query
from rateguard.api.reading import read_time
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.controls.targets import find_named
from tenants.models import Tenant
from tenants.models.tenant import no_such_zone, zone_named
from tenants.periods import start_of
from tenants.usage.question import Per, Period, Place, Question
from tenants.usage.reading import DIMENSIONS, MOST_LINES, is_by_day

FILTERS = ("model", "deployment", "team", "key", "user", "label")
_KNOWN = ("group_by", "per", "time_zone", "from", "to", "tenant", *FILTERS, "cursor", "limit")
DEFAULT_SPANS = {Per.HOUR: 1, Per.DAY: 30, Per.MONTH: 365, Per.TOTAL: 30}
"""Days before `to` at which an answer begins where nobody says more."""
LONGEST_LABEL = 384
EARLIEST_YEAR, LATEST_YEAR = 1970, 9000
_LONGEST_CURSOR = 4_000
_UTC = ZoneInfo("UTC")


def read_question(request: Request, caller: Caller) -> Question:
    """What a GET asks. Raises InvalidRequest, PermissionDenied."""
    query = Query(request, _KNOWN)
    dimensions, filters = _dimensions(query), _filters(query)
    per = Per(query.choice("per", list(Per)) or Per.DAY)
    tenant = _tenant(caller, query.text("tenant"), dimensions)
    own = _UTC if is_by_day({*dimensions, *filters}) else ZoneInfo((tenant or caller.tenant).time_zone)
    zone = _zone(query.text("time_zone")) or own
    left_off = _read_cursor(query.text("cursor", most=_LONGEST_CURSOR), dimensions)
    return Question(
        tenant_id=tenant.pk if tenant else None,
        dimensions=dimensions,
        per=per,
        zone=zone,
        span=left_off[0] if left_off else _span(query, per, zone),
        filters=filters,
        limit=query.whole("limit", 100, 1, MOST_LINES),
        after=left_off[1] if left_off else None,
    )


def _dimensions(query: Query) -> tuple[str, ...]:
    names = tuple(name for name in query.text("group_by").split(",") if name)
    if len(set(names)) != len(names) or set(names) - set(DIMENSIONS):
        _refuse(f"group_by is a list of different ones of {', '.join(DIMENSIONS)}, with commas between")
    return names


def _filters(query: Query) -> dict[str, str | int]:
    """What must hold. A key is named by its id."""
    texts = {name: query.text(name) for name in ("model", "deployment", "team", "user")}
    texts["label"] = re.sub(r"^([^:=]+):", r"\1=", query.text("label", most=LONGEST_LABEL))  # as the rollups write it
    found: dict[str, str | int] = {name: text for name, text in texts.items() if text}
    key = query.whole("key", -1, 0, MOST_PK)
    return found if key < 0 else {**found, "key": key}


def _tenant(caller: Caller, name: str, dimensions: tuple[str, ...]) -> Tenant | None:
    """Whose usage; None for everybody's."""
    if not caller.key.is_operator:
        if name not in {"", caller.tenant.name} or "tenant" in dimensions:
            raise PermissionDenied("a tenant's key sees the tenant's own usage: more takes a key with the operator flag")
        return caller.tenant
    if not name:
        return None if "tenant" in dimensions else caller.tenant
    tenant = find_named(Tenant.objects.all(), name)
    if tenant is None:
        _refuse(f"there is no tenant {name!r}")
    return tenant


def _zone(name: str) -> ZoneInfo | None:
    if not name:
        return None
    return zone_named(name) or _refuse(f"time_zone: {no_such_zone(name)}")


def _span(query: Query, per: Per, zone: ZoneInfo) -> Period:
    end = _moment(query, "to", zone) or timezone.now()
    start = _moment(query, "from", zone) or end - dt.timedelta(days=DEFAULT_SPANS[per])
    return Period(start, end)


def _moment(query: Query, name: str, zone: ZoneInfo) -> dt.datetime | None:
    """A day of the zone, which means its beginning, or a time with its zone."""
    text = query.text(name)
    if not text:
        return None
    try:
        day = parse_date(text)
        found = start_of(day, zone) if day else read_time(text, "")
    except (InvalidRequest, ValueError, OverflowError):
        found = None
    if found is None or not EARLIEST_YEAR <= found.year <= LATEST_YEAR:
        _refuse(f"{name} is a day such as 2030-01-31, or a time with its zone such as 2030-01-31T12:00:00Z (write a + as %2B)")
    return found


# ---- pages


def cursor_of(span: Period, place: Place) -> str:
    """Where a page of a span ended, as a text that a caller hands back: the pages are of one span, though time goes on."""
    moments = (span.start, span.end, place.period.start, place.period.end)
    told = [*(moment.isoformat() for moment in moments), *place.group]
    return base64.urlsafe_b64encode(orjson.dumps(told)).rstrip(b"=").decode()


def _read_cursor(text: str, dimensions: tuple[str, ...]) -> tuple[Period, Place] | None:
    if not text:
        return None
    try:
        told = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        first, last, start, end = (_told_moment(value) for value in told[:4])
        group = tuple(told[4:])
        is_good = _fits(group, dimensions)
    except (ValueError, TypeError, KeyError, binascii.Error):
        is_good = False
    if not is_good:
        _refuse("cursor is `next_cursor` of the page before, with the same group_by")
    return Period(first, last), Place(Period(start, end), group)


def _told_moment(value: str) -> dt.datetime:
    """A moment out of a cursor. Raises ValueError, TypeError."""
    moment = dt.datetime.fromisoformat(value)
    if moment.tzinfo is None or not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise ValueError(value)
    return moment


def _fits(values: Sequence[Any], dimensions: tuple[str, ...]) -> bool:
    """Whether these are values of the dimensions: texts that a column can hold, of a key a number."""
    return len(values) == len(dimensions) and all(
        type(value) is int and 0 <= value <= MOST_PK if name == "key" else isinstance(value, str) and "\0" not in value
        for name, value in zip(dimensions, values, strict=True)
    )


def _refuse(message: str) -> NoReturn:
    raise InvalidRequest(message, code="invalid_parameter")
