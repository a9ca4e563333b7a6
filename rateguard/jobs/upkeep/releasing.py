"""Release: scheduled jobs whose time has come wait in line; retries only as far as their budget goes.

    retries in 10 s ≤ max(FLOOR, percent of the other calls in those 10 s)

Retries of all jobs together are so bounded, whoever failed them: when a provider fails everywhere, ten failures do not become twenty
calls. What is over the budget stays scheduled, fails for nothing, and goes on when there is room, who has waited longest first. Counted
are the attempts that began as a retry, or what this process released, whichever is more: what was released may not have begun yet.
Source: "Retry budgets", Site Reliability Engineering, 2016, chapter 21.
"""

from __future__ import annotations

import collections
import datetime as dt
import logging
import time
import uuid

from django.db.models import Count, Q
from django.db.models.functions import Now

from rateguard.conf import conf
from rateguard.jobs.ends.release import release
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import State

logger = logging.getLogger(__name__)

PAGE = 500
WINDOW_S = 10
FLOOR = 20
"""Retries that any window may have: a quiet system repeats a failed call at once."""


class Releasing:
    """The step of one caretaker. It remembers what it released in the last window: that may not have begun yet."""

    def __init__(self) -> None:
        self._released: collections.deque[tuple[float, int]] = collections.deque()
        self._is_holding = False

    def release(self, pump: Pump) -> int:
        """Let go on what is due; a retried job keeps its old place. Returns how many did."""
        due = Job.objects.filter(state=State.SCHEDULED, run_at__lte=Now()).order_by("run_at")
        callers = list(due.filter(tries=0).values_list("pk", flat=True)[:PAGE])
        retries = list(due.filter(tries__gt=0).values_list("pk", flat=True)[:PAGE])
        if retries:
            retries = self._within_budget(retries)
        going = [*callers, *retries]
        return len(release(Job.objects.filter(pk__in=going), pump)) if going else 0

    def _within_budget(self, retries: list[uuid.UUID]) -> list[uuid.UUID]:
        now = time.monotonic()
        while self._released and self._released[0][0] < now - WINDOW_S:
            self._released.popleft()
        calls, begun = _lately()
        room = max(0, allowed(calls, begun) - max(begun, sum(count for _, count in self._released)))
        if (len(retries) > room) != self._is_holding:
            self._is_holding = not self._is_holding
            logger.info("the retry budget holds retries back" if self._is_holding else "the retry budget holds nothing back any more")
        taken = retries[:room]
        self._released.append((now, len(taken)))
        return taken


def allowed(calls: int, retries: int) -> int:
    """How many retries a window with so many calls, of which so many were retries, may have in all."""
    return max(FLOOR, (calls - retries) * conf().retry_budget_percent // 100)


def _lately() -> tuple[int, int]:
    """The attempts that began in the last window, and how many of them as retries."""
    since = Attempt.objects.filter(started_at__gte=Now() - dt.timedelta(seconds=WINDOW_S))
    found = since.aggregate(calls=Count("pk"), retries=Count("pk", filter=Q(is_retry=True)))
    return found["calls"], found["retries"]
