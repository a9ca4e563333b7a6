"""How long answers get: the learned p95 of a tenant's output tokens at a model, from the rollups of a day. Our own token limits reserve it.

A budget and a provider's limit reserve the most instead. Cold start: the model's p95 over all tenants, then the most that was asked for.
A figure is read again after a minute; a reservation keeps the one that it used.
"""

from __future__ import annotations

import datetime as dt
import threading
import time

from django.db.models import Sum
from django.utils import timezone

from rateguard.engine.histogram import bin_of, quantile, upper_bound
from tenants.models import Measure, UsageQuarterBin

FRESH_S = 60.0
LOOK_BACK = dt.timedelta(days=1)
ENOUGH = 20
"""Fewer answers than this tell nothing yet."""
MOST_KEPT = 10_000

_lock = threading.Lock()
_known: dict[tuple[int, str], tuple[float, int | None]] = {}


def expected_output_tokens(tenant_id: int, model: str, most: int) -> int:
    """What to reserve for the output of one call, at most `most` tokens."""
    learned = _fresh(tenant_id, model)
    return most if learned is None else min(most, learned)


def _fresh(tenant_id: int, model: str) -> int | None:
    key, now = (tenant_id, model), time.monotonic()
    with _lock:
        found = _known.get(key)
        if found is not None and now - found[0] < FRESH_S:
            return found[1]
        if len(_known) >= MOST_KEPT:
            _known.clear()
    learned = _learn(tenant_id, model)
    with _lock:
        _known[key] = (now, learned)
    return learned


def _learn(tenant_id: int, model: str) -> int | None:
    """The p95 of the tenant, else of the model, else None."""
    since = timezone.now() - LOOK_BACK
    bins = UsageQuarterBin.objects.filter(measure=Measure.OUTPUT_TOKENS, quarter__model=model, quarter__starts_at__gte=since)
    for rows in (bins.filter(quarter__tenant_id=tenant_id), bins):
        counts = dict(rows.values_list("bin").annotate(Sum("count")).order_by())
        if sum(counts.values()) >= ENOUGH:
            return upper_bound(bin_of(int(quantile(counts, 0.95) or 0)))
    return None


def forget() -> None:
    """Read everything anew at the next use."""
    with _lock:
        _known.clear()
