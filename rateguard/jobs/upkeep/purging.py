"""Requests and answers go when their time is over: so many days after the end of their job, as its tenant or the setting says.

What the job was, used and cost stays, its error's code too, and so do the books. What a webhook was to tell of it goes with it, and what a
provider said of an error, which may quote the request.
"""

from __future__ import annotations

import datetime as dt
import logging
import time

from django.db import transaction
from django.db.models.functions import Now

from rateguard.conf import conf
from rateguard.jobs.models import Attempt, Job, MessageState, WebhookMessage
from rateguard.jobs.states import TERMINAL
from tenants.models import Tenant

logger = logging.getLogger(__name__)

PAGE = 500
TENANTS_AT_ONCE = 200
"""Looked at in one round; the next goes on behind them."""
ROUND_S = 0.25
"""A round ends after this; the next goes on where it was."""
EVERY_S = 60.0
"""After all tenants were looked at, they rest so long."""


class Purge:
    """Goes round the tenants, a few in each of the caretaker's rounds."""

    def __init__(self) -> None:
        self._after = 0
        self._rests_until = 0.0

    def go_on(self) -> int:
        """Purge what a round has time for. Returns how many jobs it was."""
        began = time.monotonic()
        if began < self._rests_until:
            return 0
        purged = 0
        due = _tenants(self._after)
        for tenant in due:
            while page := purge_page(tenant):
                purged += page
                if time.monotonic() - began > ROUND_S:
                    return _told(purged)
            self._after = tenant.pk
        if len(due) < TENANTS_AT_ONCE:
            self._after, self._rests_until = 0, began + EVERY_S
        return _told(purged)


def _tenants(after: int) -> list[Tenant]:
    """The next whose bodies do not stay for ever."""
    rows = Tenant.objects.filter(pk__gt=after)
    if conf().keep_bodies_days is None:
        rows = rows.filter(keep_bodies_days__isnull=False)
    return list(rows.order_by("pk")[:TENANTS_AT_ONCE])


def purge_page(tenant: Tenant) -> int:
    """Remove the bodies of a page of a tenant's jobs whose time is over, the oldest first. Returns how many jobs it was."""
    days = tenant.keep_bodies_days or conf().keep_bodies_days
    if days is None:
        return 0
    over = Job.objects.filter(tenant=tenant, state__in=TERMINAL, purged_at__isnull=True, finished_at__lt=Now() - dt.timedelta(days=days))
    ids = list(over.order_by("finished_at").values_list("pk", flat=True)[:PAGE])
    if not ids:
        return 0
    with transaction.atomic():
        gone = {"request": "", "result": None, "error_message": "", "purged_at": Now()}
        over.filter(pk__in=ids).update(**gone)  # one that somebody retried meanwhile is not over
        Attempt.objects.filter(job__in=ids, job__purged_at__isnull=False).exclude(error_message="").update(error_message="")
        messages = WebhookMessage.objects.filter(job__in=ids, job__purged_at__isnull=False).exclude(body="")
        messages.filter(state=MessageState.PENDING).update(state=MessageState.DEAD, last_error="its body was removed: keep_bodies_days")
        messages.update(body="")
    return len(ids)


def _told(purged: int) -> int:
    if purged:
        logger.info("requests and answers of %d jobs were removed: their time was over", purged)
    return purged
