"""Deployments whose work would cost nothing in the books, because nobody knows a price."""

from __future__ import annotations

from django.utils import timezone

from rateguard.doctor.finding import Finding, ok, warn
from rateguard.engine.wildcards import STAR
from tenants.models import Deployment
from tenants.prices import find_price_of, prices_at

MOST_TOLD = 10


def look() -> list[Finding]:
    """Which have no price in force."""
    known = prices_at(timezone.now())
    rows = Deployment.objects.filter(is_enabled=True).select_related("account").order_by("name")
    without = [row for row in rows.exclude(upstream_model__contains=STAR) if find_price_of(known, row) is None]
    if not without:
        return [ok(f"every deployment has a price ({len(rows)} of {len(rows)})")]
    return [_told(row) for row in without[:MOST_TOLD]]


def _told(row: Deployment) -> Finding:
    model = row.options.get("base_model") or row.account.options.get("base_model") or row.upstream_model
    remedy = f"manage.py price set --provider {row.account.provider} --model {model} --input DOLLARS --output DOLLARS"
    return warn(f"deployment {row.name} has no price: its work counts as free, and no budget holds it", remedy)
