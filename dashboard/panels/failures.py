"""What failed alike, as its page shows it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

from dashboard.panels.jobs import address
from dashboard.queries.failures import Asked, Seen
from rateguard.jobs.insight.failures import Failures
from tenants.access import Access, Power

LONGEST_MESSAGE = 300


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A group. jobs: a number, or `10,000+`. address: of the list of its jobs; tenant: whose, for the way to a retry."""

    error: str
    message: str
    jobs: str
    models: tuple[str, ...]
    tenant: str
    fingerprint: str
    first_at: dt.datetime
    last_at: dt.datetime
    last_job: uuid.UUID
    address: str
    may_retry: bool


@dataclasses.dataclass(frozen=True, slots=True)
class FailuresPanel:
    """The page."""

    lines: tuple[Line, ...]
    has_tenants: bool
    is_partial: bool


def failures_panel(access: Access, asked: Asked, seen: Seen) -> FailuresPanel:
    """The page of what was asked and found."""
    lines = tuple(_line(one, seen.tenants.get(one.tenant, ""), may_retry=access.may(Power.WORK, one.tenant)) for one in seen.found.groups)
    return FailuresPanel(lines, has_tenants=asked.tenant is None, is_partial=seen.found.is_partial)


def _line(one: Failures, tenant: str, *, may_retry: bool) -> Line:
    return Line(
        one.error,
        one.message if len(one.message) <= LONGEST_MESSAGE else f"{one.message[:LONGEST_MESSAGE]}…",
        f"{one.jobs:,}{'+' if one.is_more else ''}",
        one.models,
        tenant,
        one.fingerprint,
        one.first_at,
        one.last_at,
        one.job,
        address({"tenant": tenant, "fingerprint": one.fingerprint}),
        may_retry,
    )
