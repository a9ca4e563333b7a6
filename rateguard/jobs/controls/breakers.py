"""Breakers by hand: force one open or closed, let it follow its rule again, make it forget. REST, shell and others call these."""

from __future__ import annotations

import dataclasses
import logging
import uuid

from django.db import transaction
from django.db.models.functions import Now

from rateguard import wiring
from rateguard.engine.breaker.rule import BreakerState
from rateguard.engine.gate.contract import BreakerView
from rateguard.jobs.line.pump import process_pump
from tenants.models import Deployment, EventKind, ForcedBreaker, GateEvent

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class BreakerStatus:
    """A deployment and its breaker. view: None where the gate has seen no calls of it. now_ms: the gate's time."""

    deployment: Deployment
    view: BreakerView | None
    now_ms: int

    @property
    def state(self) -> BreakerState:
        """What work meets: what a person forced, else what the gate counted."""
        match self.deployment.breaker_forced:
            case ForcedBreaker.OPEN:
                return BreakerState.OPEN
            case ForcedBreaker.CLOSED:
                return BreakerState.CLOSED
            case _:
                return self.view.state if self.view else BreakerState.CLOSED


def force_open(deployment: Deployment, by: str = "") -> bool:
    """Send nothing there until somebody says otherwise. False: it was so already."""
    return _force(deployment, ForcedBreaker.OPEN, by)


def force_close(deployment: Deployment, by: str = "") -> bool:
    """Send work there whatever happens. False: it was so already."""
    return _force(deployment, ForcedBreaker.CLOSED, by)


def follow_rule(deployment: Deployment, by: str = "") -> bool:
    """Take back what was forced. False: nothing was."""
    return _force(deployment, ForcedBreaker.NO, by)


def reset(deployment: Deployment, by: str = "") -> None:
    """Close the breaker and forget what it counted; what was forced stays. Raises GateError: then nothing was done."""
    wiring.gate().reset_breaker(str(deployment.pk))
    _write_event(deployment, "reset", by)
    transaction.on_commit(lambda: process_pump().kick(), robust=True)


def _force(deployment: Deployment, forced: ForcedBreaker, by: str) -> bool:
    with transaction.atomic():
        row = Deployment.objects.select_for_update().get(pk=deployment.pk)
        was, row.breaker_forced = row.breaker_forced, forced
        if was == forced:
            return False
        row.save(update_fields=["breaker_forced"])
        transaction.on_commit(lambda: process_pump().kick(), robust=True)  # there may be room now
        _write_event(row, f"forced {forced.value}" if forced != ForcedBreaker.NO else "follows its rule", by)
    deployment.breaker_forced = forced
    return True


def _write_event(deployment: Deployment, what: str, by: str) -> None:
    """A person's act stands beside what the gate noticed."""
    detail = f"{what} by {by or 'a process'}"
    GateEvent.objects.create(
        notice=f"by-hand:{uuid.uuid4().hex}", kind=EventKind.BREAKER, subject=str(deployment.pk), detail=detail, at=Now()
    )
    logger.info("breaker of %s: %s", deployment.name, detail)


def breakers() -> list[BreakerStatus]:
    """All deployments with their breakers, by name. Raises GateError."""
    seen = wiring.gate().inspect(())
    views = {view.deployment: view for view in seen.breakers}
    rows = Deployment.objects.select_related("account").order_by("name")
    return [BreakerStatus(row, views.get(str(row.pk)), seen.now_ms) for row in rows]
