"""How a batch stands: counted from its jobs at each look, so that it is never wrong."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Mapping

from django.db.models import Count, Q, Sum
from django.db.models.functions import Now

from rateguard.jobs.models import Batch, BatchState, Job
from rateguard.jobs.states import TERMINAL, State

LATELY_S = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """counts: jobs by state, those without a job too. lately: jobs that ended in the last minute. Tokens and money are as billed."""

    counts: Mapping[str, int]
    lately: int
    input_tokens: int
    output_tokens: int
    nano_usd: int

    @property
    def total(self) -> int:
        """All jobs."""
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        """Those that have ended, well or badly."""
        return sum(count for state, count in self.counts.items() if state in TERMINAL)

    def left_s(self, batch: Batch) -> int | None:
        """In how many seconds the rest has ended, as fast as in the last minute; None where nobody knows, 0 where there is no rest.

        >>> Progress({"succeeded": 30, "queued": 60}, 30, 0, 0, 0).left_s(Batch(submitted_at=None))
        120
        """
        left = self.total - self.ended
        if left == 0 or batch.state != BatchState.IN_PROGRESS:
            return 0
        return None if not self.lately else -(-left * LATELY_S // self.lately)


def progress_of(batch: Batch) -> Progress:
    """How one stands. One statement."""
    since = Now() - dt.timedelta(seconds=LATELY_S)
    figures = {
        "jobs": Count("pk"),
        "lately": Count("pk", filter=Q(finished_at__gte=since)),
        "input": Sum("used_input_tokens"),
        "output": Sum("used_output_tokens"),
        "cost": Sum("nano_usd"),
    }
    rows = list(Job.objects.filter(batch=batch.pk).order_by().values_list("state").annotate(**figures))
    counts = dict.fromkeys(State.values, 0) | {state: jobs for state, jobs, *_ in rows}
    lately, input_tokens, output_tokens, cost = ([row[place] for row in rows] for place in range(2, 6))
    return Progress(counts, sum(lately), sum(input_tokens), sum(output_tokens), sum(cost))


def counts_of(batches: Collection[uuid.UUID]) -> dict[uuid.UUID, dict[str, int]]:
    """Jobs by state of several batches, from an index alone."""
    found: dict[uuid.UUID, dict[str, int]] = {pk: dict.fromkeys(State.values, 0) for pk in batches}
    rows = Job.objects.filter(batch__in=batches).order_by().values_list("batch", "state").annotate(Count("state"))
    for batch, state, jobs in rows:
        if batch is not None:
            found[batch][state] = jobs
    return found
