"""How many jobs of a tenant may wait at once: the next is refused, instead of waiting for ever.

The count is this process's figure: what the last count said, and what this process took in since. It is counted again after a second,
and near the bound at each submit, but never so often that counting takes more than a twentieth of the time. So the bound holds to within
what other processes take in meanwhile, and a submit far from it costs no query.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Iterable

from django.db.models.functions import Now

from rateguard.conf import conf
from rateguard.engine.errors import LimitInTheWay
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import WAITING
from tenants.models import Tenant

FRESH_S = 1.0
COST_SHARE = 20
NEAR_PERCENT = 90
LATELY_S = 60
MOST_KEPT = 10_000


@dataclasses.dataclass(slots=True)
class _Figure:
    """count: as it was read at `read_at` (time.monotonic()), which took `cost_s`. since: taken in since then by this process."""

    count: int
    read_at: float
    cost_s: float
    since: int = 0

    @property
    def total(self) -> int:
        return self.count + self.since

    def is_due(self, more: int, most: int) -> bool:
        """Whether it is to be counted again before so many more are judged."""
        age_s = time.monotonic() - self.read_at
        is_near = (self.total + more) * 100 > most * NEAR_PERCENT
        return age_s > COST_SHARE * self.cost_s and (is_near or age_s > FRESH_S)


_lock = threading.Lock()
_figures: dict[int, _Figure] = {}


def take_places(rows: Iterable[Job]) -> None:
    """Let these rows wait, all or none. Raises LimitInTheWay: `queue_full`."""
    found = list(rows)
    tenants = {row.tenant_id: row.tenant for row in found}
    for tenant_id, count in Counter(row.tenant_id for row in found).items():
        _take(tenants[tenant_id], count)


def check_place(tenant: Tenant) -> None:
    """Whether one more could wait; it takes no place. Raises LimitInTheWay: `queue_full`."""
    _take(tenant, 1, is_kept=False)


def _take(tenant: Tenant, count: int, *, is_kept: bool = True) -> None:
    most = tenant.max_waiting or conf().max_waiting
    figure = _figures.get(tenant.pk)
    if figure is None or figure.is_due(count, most):
        figure = _count(tenant.pk, figure)
    with _lock:
        figure = _figures.get(tenant.pk, figure)
        waiting = figure.total
        if waiting + count <= most:
            figure.since += count if is_kept else 0
            return
    raise _refusal(tenant, waiting, count, most)


def _count(tenant_id: int, before: _Figure | None) -> _Figure:
    """Outside the lock: what was taken in while it was counted is added, perhaps twice, never left out."""
    known, started = (before.since if before else 0), time.monotonic()
    count = Job.objects.filter(tenant=tenant_id, state__in=WAITING).count()
    with _lock:
        if len(_figures) >= MOST_KEPT:
            _figures.clear()
        meanwhile = before.since - known if before else 0
        figure = _figures[tenant_id] = _Figure(count, started, time.monotonic() - started, meanwhile)
    return figure


def _refusal(tenant: Tenant, waiting: int, count: int, most: int) -> LimitInTheWay:
    if count > most:
        wait_ms, remedy = None, "submit fewer at once"
    else:
        wait_ms, remedy = _until_room_ms(tenant.pk, waiting + count - most), "send it again when some have started, or raise max_waiting"
    return LimitInTheWay(
        f"{waiting:,} jobs of tenant {tenant.name} wait, and {most:,} may: {remedy}",
        code="queue_full",
        scope_kind="tenant",
        scope=tenant.name,
        limit=f"tenant {tenant.name}: {most:,} waiting jobs",
        amount=most,
        left=max(0, most - waiting),
        unit="jobs",
        retry_after_ms=wait_ms,
    )


def _until_room_ms(tenant_id: int, places: int) -> int | None:
    """After how long so many have left, as fast as they left in the last minute; None where none did."""
    since = Now() - dt.timedelta(seconds=LATELY_S)
    left = Attempt.objects.filter(tenant=tenant_id, started_at__gte=since).count()
    return None if left == 0 else -(-places * LATELY_S * 1000 // left)


def forget() -> None:
    """Count anew at the next use."""
    with _lock:
        _figures.clear()
