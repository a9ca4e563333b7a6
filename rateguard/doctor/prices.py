"""Deployments whose work would cost nothing in the books, because nobody knows a price."""

from __future__ import annotations

from django.utils import timezone

from rateguard.doctor.finding import Finding, ok, warn
from tenants.models import Deployment
from tenants.prices import find_price, prices_at

MOST_TOLD = 10


def look() -> list[Finding]:
    """Which have no price in force."""
    known = prices_at(timezone.now())
    rows = Deployment.objects.filter(is_enabled=True).select_related("account").order_by("name")
    without = [row for row in rows if find_price(known, row.account.provider, row.upstream_model) is None]
    if not without:
        return [ok(f"every deployment has a price ({len(rows)} of {len(rows)})")]
    return [_told(row) for row in without[:MOST_TOLD]]


def _told(row: Deployment) -> Finding:
    remedy = f"manage.py price set --provider {row.account.provider} --model {row.upstream_model} --input DOLLARS --output DOLLARS"
    return warn(f"deployment {row.name} has no price: its work counts as free, and no budget holds it", remedy)
