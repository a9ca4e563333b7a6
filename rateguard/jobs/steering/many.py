"""What people do to many jobs at once: looked at first, then done in pages, as long as a go may take. Doing it again does the rest."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

from django.db.models import QuerySet

from rateguard.jobs.ends.cancel_many import PAGE as CANCEL_PAGE
from rateguard.jobs.ends.cancel_many import cancel_many
from rateguard.jobs.intake.refusals import Refusals
from rateguard.jobs.intake.retry_many import PAGE as RETRY_PAGE
from rateguard.jobs.intake.retry_many import retry_many
from rateguard.jobs.line.pump import Pump, process_pump
from rateguard.jobs.models import Job
from rateguard.jobs.steering.lane import PAGE as LANE_PAGE
from rateguard.jobs.steering.lane import change_lane_many
from rateguard.jobs.steering.requeue import PAGE as REQUEUE_PAGE
from rateguard.jobs.steering.requeue import requeue_many
from rateguard.jobs.steering.wishes import Choice, Deed, Wish, choose
from tenants.models import ApiKey

WITHIN_S = 20.0
"""How long a go takes; what was not reached by then is told, and stays as it is."""


@dataclasses.dataclass(slots=True)
class Done:
    """What became of a choice. moved: at once; asked: run, and were asked to; refused: why some were not; meanwhile: had moved on by then.

    not_reached: what the time did not suffice for.
    """

    moved: int = 0
    asked: int = 0
    meanwhile: int = 0
    not_reached: int = 0
    refused: Refusals = dataclasses.field(default_factory=Refusals)

    @property
    def touched(self) -> int:
        """All to which something was done."""
        return self.moved + self.asked


def do(choice: Choice, *, by: str, key: ApiKey | None = None, within_s: float = WITHIN_S) -> Done:
    """Do what was wished of what was chosen. key: of who asks, whose rules hold. Each job's event says who did it."""
    ends_at = time.monotonic() + within_s
    done, reached = Done(), 0
    for page in _pages(choice, process_pump(), by, key):
        done.moved, done.asked = done.moved + page.moved, done.asked + page.asked
        done.refused.add_all(page.refused)
        reached = min(reached + _PAGES[choice.wish.deed], len(choice.ids))
        if time.monotonic() >= ends_at:
            break
    done.not_reached = len(choice.ids) - reached
    done.meanwhile = reached - done.touched - done.refused.total
    return done


def do_to(rows: QuerySet[Job], wish: Wish, *, by: str, key: ApiKey | None = None) -> tuple[Choice, Done]:
    """Choose and do in one."""
    choice = choose(rows, wish)
    return choice, do(choice, by=by, key=key)


_PAGES = {Deed.CANCEL: CANCEL_PAGE, Deed.RETRY: RETRY_PAGE, Deed.REQUEUE: REQUEUE_PAGE, Deed.LANE: LANE_PAGE}


def _pages(choice: Choice, pump: Pump, by: str, key: ApiKey | None) -> Iterator[Done]:
    wish, ids = choice.wish, choice.ids
    match wish.deed:
        case Deed.CANCEL:
            for ended in cancel_many(ids, pump, by=by):
                yield Done(moved=len(ended.ended), asked=len(ended.asked))
        case Deed.RETRY:
            for retried in retry_many(ids, pump, wish.as_of, by=by, key=key):
                yield Done(moved=len(retried.ids), refused=retried.refused)
        case Deed.REQUEUE:
            for requeued in requeue_many(ids, pump, by=by, key=key):
                yield Done(moved=len(requeued.released), asked=len(requeued.asked), refused=requeued.refused)
        case Deed.LANE:
            for moved in change_lane_many(ids, wish.lane, pump, by=by, key=key):
                yield Done(moved=len(moved.ids), refused=moved.refused)
