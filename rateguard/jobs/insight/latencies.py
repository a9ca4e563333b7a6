"""How long answers take: the p95 of each model and of each of its deployments, from the rollups of the last hour."""

from __future__ import annotations

import collections
import datetime as dt
from collections.abc import Collection

from django.db.models import Sum
from django.utils import timezone

from rateguard.engine.routing.hedging import UsualTimes, p95_ms
from tenants.models import Measure, UsageQuarterBin

LOOK_BACK = dt.timedelta(hours=1, minutes=15)
"""An hour, and the quarter that has just begun."""


def latencies_of(models: Collection[str]) -> UsualTimes:
    """The p95 of these models' answers, over all tenants."""
    since = timezone.now() - LOOK_BACK
    bins = UsageQuarterBin.objects.filter(
        measure=Measure.LATENCY_MS, quarter__model__in=sorted(models), quarter__starts_at__gte=since
    ).order_by()
    counted: dict[tuple[str, str], collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for model, deployment, number, count in bins.values_list("quarter__model", "quarter__deployment", "bin").annotate(Sum("count")):
        counted[model, deployment][number] += count
        counted[model, ""][number] += count
    found = {key: p95_ms(latencies) for key, latencies in counted.items()}
    return {key: p95 for key, p95 in found.items() if p95 is not None}
