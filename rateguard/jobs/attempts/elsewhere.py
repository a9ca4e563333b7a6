"""Where a failed job goes next: to another of its model's deployments, marked in its row, where there is one."""

from __future__ import annotations

from rateguard import wiring
from rateguard.engine.errors import ErrorKind
from rateguard.engine.gate.contract import Cooldown
from rateguard.engine.routing.failing_over import SPEAKS_AGAINST, closed, spared
from rateguard.engine.routing.marks import read
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.marked import able_places, as_column
from tenants.directory import Place

_CLOSES = frozenset({ErrorKind.NOT_FOUND, ErrorKind.AUTH})
"""What a deployment says for good, where nothing keeps work from it for a while."""


def has_other(claimed: Claimed, place: Place, kind: ErrorKind, cooldown: Cooldown | None) -> bool:
    """Whether the model has a deployment besides this one that may do the job, and that a cooldown leaves open."""
    if kind in _CLOSES and cooldown is None:
        return marks_without(claimed, place) is not None
    closed_by = set() if cooldown is None else {cooldown.target}
    others = [one for one in able_places(claimed.model, claimed.tenant_id, claimed.route_marks) if one.id != place.id]
    return any(closed_by.isdisjoint({wiring.account_target(one.account_id), wiring.deployment_target(one.id)}) for one in others)


def marks_after(claimed: Claimed, place: Place, kind: ErrorKind, cooldown: Cooldown | None) -> str | None:
    """The job's marks after a failure that it outlives; None: as they are."""
    if kind in _CLOSES and cooldown is None:
        return marks_without(claimed, place)
    if kind not in SPEAKS_AGAINST:
        return None
    marks = spared(read(claimed.route_marks), _ids(claimed), str(place.id))
    return as_column(marks)


def marks_without(claimed: Claimed, place: Place) -> str | None:
    """The job's marks where a deployment can never do it; None: no other is left, or it was refused at more than a row can hold."""
    marks = closed(read(claimed.route_marks), _ids(claimed), str(place.id))
    return None if marks is None else as_column(marks)


def _ids(claimed: Claimed) -> list[str]:
    return [str(one.id) for one in wiring.directory().places_for(claimed.model, claimed.tenant_id) or ()]
