"""How many jobs may wait at once, of a tenant and of all together: the next is refused, instead of waiting for ever.

Each count is this process's figure: what the last count said, and what this process took in since. It is counted again after a second,
and near the bound at each submit, but never so often that counting takes more than a twentieth of the time, and by one thread at a time:
the others go by the last figure, and so does everybody while a count that takes long goes on in a thread of its own. So a bound holds to
within what other processes take in meanwhile, a submit far from it costs no query, and a refusal waits for no count.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from django.db import DatabaseError, connection
from django.db.models.functions import Now

from rateguard.conf import conf
from rateguard.engine.errors import LimitInTheWay
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import WAITING
from tenants.models import Tenant

logger = logging.getLogger(__name__)

FRESH_S = 1.0
COST_SHARE = 20
NEAR_PERCENT = 90
SLOW_S = 0.05
"""A count that took longer than this is taken again in a thread of its own, while everybody goes by the last figure."""
LATELY_S = 60
MOST_KEPT = 10_000
ALL = 0
"""In place of a tenant's number: all of them."""


@dataclasses.dataclass(slots=True)
class _Figure:
    """count: as it was read at `read_at` (time.monotonic()), which took `cost_s`. since: taken in since then by this process.

    is_being_counted: somebody counts it anew. leaving: how many left in the last minute, as it was known at `leaving_at`.
    """

    count: int
    read_at: float
    cost_s: float
    since: int = 0
    is_being_counted: bool = False
    leaving: int = 0
    leaving_at: float = float("-inf")

    @property
    def total(self) -> int:
        return self.count + self.since

    def is_due(self, more: int, most: int) -> bool:
        """Whether it is to be counted again before so many more are judged."""
        age_s = time.monotonic() - self.read_at
        is_near = (self.total + more) * 100 > most * NEAR_PERCENT
        return not self.is_being_counted and age_s > COST_SHARE * self.cost_s and (is_near or age_s > FRESH_S)


_lock = threading.Lock()
_figures: dict[int, _Figure] = {}


def take_places(rows: Iterable[Job]) -> None:
    """Let these rows wait, all or none. Raises LimitInTheWay: `queue_full`."""
    found = list(rows)
    tenants = {row.tenant_id: row.tenant for row in found}
    _take(Counter(row.tenant_id for row in found), tenants)


def check_place(tenant: Tenant) -> None:
    """Whether one more could wait; it takes no place. Raises LimitInTheWay: `queue_full`."""
    _take({tenant.pk: 1}, {tenant.pk: tenant}, is_kept=False)


def _take(counts: Mapping[int, int], tenants: Mapping[int, Tenant], *, is_kept: bool = True) -> None:
    """All bounds let them in, or none counts them."""
    most = {key: tenants[key].max_waiting or conf().max_waiting for key in counts} | {ALL: conf().max_waiting_in_all}
    more = {**counts, ALL: sum(counts.values())}
    figures = {key: _figure(key, more[key], most[key]) for key in more}
    with _lock:
        current = {key: _figures.get(key, figures[key]) for key in more}
        full = next((key for key in more if current[key].total + more[key] > most[key]), None)
        if full is None:
            for key, figure in current.items():
                figure.since += more[key] if is_kept else 0
            return
    raise _refusal(tenants.get(full), current[full], more[full], most[full])


# ---- figures


def _figure(key: int, more: int, most: int) -> _Figure:
    """What is known of a count, fresh enough to judge so many more by."""
    with _lock:
        before = _figures.get(key)
        if before is not None:
            if not before.is_due(more, most):
                return before
            before.is_being_counted = True
    if before is None or before.cost_s <= SLOW_S:
        return _count(key, before)
    threading.Thread(target=_count_apart, args=(key, before), name="rateguard-queue-bound", daemon=True).start()
    return before


def _count(key: int, before: _Figure | None) -> _Figure:
    """Outside the lock: what was taken in while it was counted is added, perhaps twice, never left out."""
    known, started = (before.since if before else 0), time.monotonic()
    try:
        waiting = Job.objects.filter(state__in=WAITING)
        count = (waiting if key == ALL else waiting.filter(tenant=key)).count()
    finally:
        if before is not None:
            before.is_being_counted = False
    with _lock:
        if len(_figures) >= MOST_KEPT:
            _figures.clear()
        meanwhile = before.since - known if before else 0
        figure = _figures[key] = _Figure(count, started, time.monotonic() - started, meanwhile)
        if before is not None:
            figure.leaving, figure.leaving_at = before.leaving, before.leaving_at
    return figure


def _count_apart(key: int, before: _Figure) -> None:
    """In a thread of its own, which leaves no connection behind."""
    try:
        _count(key, before)
    except DatabaseError as error:
        logger.info("the jobs that wait cannot be counted now: %s", error)
    finally:
        connection.close()


def forget() -> None:
    """Count anew at the next use."""
    with _lock:
        _figures.clear()


# ---- the refusal


def _refusal(tenant: Tenant | None, figure: _Figure, count: int, most: int) -> LimitInTheWay:
    """tenant: whose bound it is; None: that of all, of which no tenant is told how others use it."""
    waiting = figure.total
    is_too_many = count > most
    remedy = "submit fewer at once" if is_too_many else "send it again when some have started"
    wait_ms = None if is_too_many else _until_room_ms(tenant, figure, waiting + count - most)
    if tenant is None:
        return LimitInTheWay(
            f"as many jobs wait as may, of all tenants together: {remedy}",
            code="queue_full",
            scope_kind="global",
            scope="",
            limit="all tenants: waiting jobs",
            unit="jobs",
            retry_after_ms=wait_ms,
        )
    return LimitInTheWay(
        f"{waiting:,} jobs of tenant {tenant.name} wait, and {most:,} may: {remedy}{'' if is_too_many else ', or raise max_waiting'}",
        code="queue_full",
        scope_kind="tenant",
        scope=tenant.name,
        limit=f"tenant {tenant.name}: {most:,} waiting jobs",
        amount=most,
        left=max(0, most - waiting),
        unit="jobs",
        retry_after_ms=wait_ms,
    )


def _until_room_ms(tenant: Tenant | None, figure: _Figure, places: int) -> int:
    """After how long so many have left, as fast as they left in the last minute; where none did, nobody knows: look again in a minute."""
    if time.monotonic() - figure.leaving_at > FRESH_S:
        figure.leaving_at = time.monotonic()
        left = Attempt.objects.filter(job__isnull=False, started_at__gte=Now() - dt.timedelta(seconds=LATELY_S))
        figure.leaving = (left if tenant is None else left.filter(tenant=tenant)).count()
    return -(-places * LATELY_S * 1000 // figure.leaving) if figure.leaving else LATELY_S * 1000
