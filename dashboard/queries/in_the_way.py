"""What a waiting job waits for at this moment, from rows and gate."""

from __future__ import annotations

import dataclasses

from rateguard import wiring
from rateguard.engine.errors import GateError, InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.binding import Obstacle
from rateguard.jobs.insight.heldwords import NO_WORKER, SLOTS, as_typed, in_the_way
from rateguard.jobs.insight.inquiry import Finding, inquire, inquiry_of
from rateguard.jobs.insight.naming import node_in_words
from rateguard.jobs.models import Job

_BY_ID = {"key", "run"}
"""Nodes that people do not know by what the gate calls them."""


@dataclasses.dataclass(frozen=True, slots=True)
class InTheWay:
    """words: the object of "it waits for …"; empty: nothing, it is next. opens_in_ms: None where nobody knows.

    is_known: whether the gate was heard. is_never: it needs more than there is in all.
    """

    words: str = ""
    opens_in_ms: int | None = None
    is_known: bool = True
    is_never: bool = False


UNKNOWN = InTheWay(is_known=False)


def in_the_way_of(job: Job, viewer: int | None) -> InTheWay:
    """What is in the way of a queued job. viewer: the tenant who looks, None for an operator, who is told of what others use."""
    try:
        found = inquire(inquiry_of(job, viewer))
        obstacle = found.binding
        if obstacle is not None and not obstacle.fits:
            return InTheWay(_words(obstacle, found, job), obstacle.wait_ms, is_never=obstacle.is_never)
        return InTheWay(_slots(Lane(job.lane)))
    except InvalidRequest as error:
        return InTheWay(f"what it names to be there again: {error}")
    except GateError:
        return UNKNOWN


def _words(obstacle: Obstacle, found: Finding, job: Job) -> str:
    limits = [*found.standing.path, *(limit for place in found.standing.places for limit in place.limits)]
    text = next((as_typed(one) for one in limits if one.use.id == obstacle.id and not one.is_shared), "") if obstacle.id else ""
    scope = obstacle.scope or (job.model if obstacle.kind == "no_deployment" else "")
    if obstacle.scope_kind in _BY_ID:
        scope = node_in_words(obstacle.scope_kind, scope).removeprefix(f"{obstacle.scope_kind} ")
    return in_the_way(obstacle.kind, obstacle.scope_kind, scope, text)


def _slots(lane: Lane) -> str:
    """No limit is in the way: perhaps no worker has room, or none is there."""
    serving = [holder for holder in wiring.gate().inspect(()).holders if lane in holder.lanes and holder.slots]
    return "" if serving else in_the_way(SLOTS, "", "", NO_WORKER)
