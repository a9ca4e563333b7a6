"""What is wished of many jobs, and of those that were chosen: which it moves, and why not the others. Counted by looking, up to a bound."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections import Counter

from django.db.models import Q, QuerySet

from rateguard.engine.lanes import Lane
from rateguard.jobs.ends.cancel_many import UNENDED
from rateguard.jobs.insight.search import HEAVY
from rateguard.jobs.intake.retry_many import retryable
from rateguard.jobs.models import Delivery, Job
from rateguard.jobs.states import TERMINAL, WAITING, State
from rateguard.jobs.steering.lane import movable_to
from rateguard.jobs.steering.requeue import REQUEUEABLE

AT_ONCE = 10_000
"""Jobs of one go, the newest."""
MOST_LEFT = 100_000
"""Of those that are left for further goes, so many are counted."""
MOST_FINGERPRINTS = 20


class Deed(enum.StrEnum):
    """What people do to jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    REQUEUE = "requeue"
    LANE = "lane"


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done. as_of: by the database's clock; what came in or ended after that is not meant. lane: where a deed needs one."""

    deed: Deed
    as_of: dt.datetime
    lane: Lane = Lane.NORMAL

    def movable(self) -> Q:
        """What it moves."""
        match self.deed:
            case Deed.CANCEL:
                return UNENDED
            case Deed.RETRY:
                return retryable(self.as_of)
            case Deed.REQUEUE:
                return REQUEUEABLE
            case Deed.LANE:
                return movable_to(self.lane)


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What a wish meets. ids: what it moves in this go, the newest first, at most AT_ONCE; states, models, fingerprints: what they are.

    others: of the newest AT_ONCE that were chosen, those that it does not move, by reason (see WHY_NOT). left: what it would move beyond
    this go, counted up to MOST_LEFT.
    """

    wish: Wish
    ids: tuple[uuid.UUID, ...]
    states: Counter[str]
    models: Counter[str]
    fingerprints: Counter[str]
    others: Counter[str]
    left: int


WHY_NOT = {
    "ended": "has ended already",
    "succeeded": "has succeeded: submit a new one for another answer",
    "running": "is running",
    "waiting": "is waiting already",
    "asked_already": "is asked to already",
    "at_most_once": "may never be sent twice, and its call may have left",
    "not_stored": "was not kept: submit a new one",
    "ended_since": "ended since this was looked at",
    "on_this_lane": "is on this lane already",
}
"""Why a job is not moved: the reason, and the words that stand behind how many."""
_COLUMNS = ("pk", "state", "lane", "delivery", "cancel_requested", "requeue_requested", "is_stored", "purged_at")


def choose(rows: QuerySet[Job], wish: Wish) -> Choice:
    """Of these rows, which stand within somebody's reach, what a wish moves. At most three statements; changes nothing."""
    rows = rows.filter(submitted_at__lte=wish.as_of).select_related(None).order_by("-submitted_at", "-pk").defer(*HEAVY)
    movable = rows.filter(wish.movable())
    found = list(movable.values_list("pk", "state", "model", "fingerprint")[: AT_ONCE + 1])
    has_more = len(found) > AT_ONCE
    found = found[:AT_ONCE]
    ids = tuple(pk for pk, *_ in found)
    moved = set(ids)
    seen = list(rows.values_list(*_COLUMNS)[:AT_ONCE])
    others = [] if has_more else [row for row in seen if row[0] not in moved]
    fingerprints = Counter(fingerprint for *_, fingerprint in found if fingerprint)
    return Choice(
        wish,
        ids,
        Counter(state for _, state, _, _ in found),
        Counter(model for _, _, model, _ in found),
        Counter(dict(fingerprints.most_common(MOST_FINGERPRINTS))),
        Counter(_why_not(wish, *row[1:]) for row in others),
        len(movable.values_list("pk")[AT_ONCE : AT_ONCE + MOST_LEFT]) if has_more else 0,
    )


def _why_not(wish: Wish, state: str, lane: int, delivery: str, *flags: bool | dt.datetime | None) -> str:
    is_cancelled, is_requeued, is_stored, purged_at = flags
    if state in TERMINAL:
        return _why_not_ended(wish, state, is_kept=bool(is_stored) and purged_at is None)
    if state in WAITING:
        return "on_this_lane" if wish.deed == Deed.LANE and lane == wish.lane else "waiting"
    if wish.deed == Deed.REQUEUE and delivery == Delivery.AT_MOST_ONCE:
        return "at_most_once"
    is_asked = wish.deed in {Deed.CANCEL, Deed.REQUEUE} and (is_cancelled or is_requeued)
    return "asked_already" if is_asked else "running"


def _why_not_ended(wish: Wish, state: str, *, is_kept: bool) -> str:
    if wish.deed != Deed.RETRY:
        return "ended"
    if state == State.SUCCEEDED:
        return "succeeded"
    return "ended_since" if is_kept else "not_stored"
