"""The breakers of all deployments, for the memory twin: which rule, which generation, who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rateguard.engine.breaker.breaker import Breaker
from rateguard.engine.breaker.rule import DEFAULT_RULE, BreakerRule
from rateguard.engine.gate.contract import BreakerView, DeploymentRecord, ReservationId, Settlement
from rateguard.engine.gate.lists import Lists
from rateguard.engine.gate.notices import Notices

if TYPE_CHECKING:
    from rateguard.engine.gate.reservations import Reservation

GENERATIONS = 1_000_000
"""Generations of one epoch: after a rebuild no number comes back."""

RESTORED = -1
"""The generation of an attempt from before a rebuild: what it says of its deployment is too old."""


class Breakers:
    """A breaker for each deployment that was granted something."""

    def __init__(self, lists: Lists, notices: Notices) -> None:
        self._lists = lists
        self._notices = notices
        self._found: dict[str, Breaker[ReservationId]] = {}
        self.epoch = 0

    def wait_ms(self, deployment: DeploymentRecord, now_ms: int) -> int:
        """How long the deployment is left alone."""
        return self._of(deployment.id).wait_ms(deployment.breaker, now_ms)

    def grant(self, deployment: DeploymentRecord, attempt: ReservationId, now_ms: int) -> int:
        """An attempt goes to the deployment. Returns the generation that it belongs to."""
        breaker = self._found.setdefault(deployment.id, self._of(deployment.id))
        detail = breaker.grant(deployment.breaker, attempt)
        self._notices.transition(deployment.id, breaker.generation, detail, now_ms)
        return breaker.generation

    def end(self, reservation: Reservation, settlement: Settlement, now_ms: int) -> None:
        """An attempt ended, and says something of its deployment or nothing."""
        breaker = self._found.get(reservation.deployment)
        if breaker is None:
            return
        rule = self._rule(reservation.model, reservation.deployment)
        figures = reservation.generation, settlement.verdict, settlement.latency_ms, now_ms
        detail = breaker.end(rule, settlement.reservation, *figures)
        self._notices.transition(reservation.deployment, breaker.generation, detail, now_ms)

    def reset(self, deployment: str, now_ms: int) -> None:
        """A person closes it."""
        breaker = self._found.get(deployment)
        if breaker is not None:
            detail = breaker.reset(now_ms)
            self._notices.transition(deployment, breaker.generation, detail, now_ms)

    def views(self, now_ms: int) -> tuple[BreakerView, ...]:
        """All of them, by deployment."""
        return tuple(self._view(name, breaker, now_ms) for name, breaker in sorted(self._found.items()))

    def _view(self, deployment: str, breaker: Breaker[ReservationId], now_ms: int) -> BreakerView:
        breaker.advance(now_ms)
        figures = breaker.totals()
        return BreakerView(deployment, breaker.state, breaker.generation, *figures, breaker.until_ms, breaker.probe is not None)

    def _of(self, deployment: str) -> Breaker[ReservationId]:
        return self._found.get(deployment) or Breaker(self.epoch * GENERATIONS)

    def _rule(self, model: str, deployment: str) -> BreakerRule:
        found = self._lists.deployment(model, deployment)
        return found.breaker if found else DEFAULT_RULE
