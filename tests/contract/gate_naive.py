"""Work conservation, looked at the long way round: each waiting job is asked whether it could go now, and if so, who stands before it.

It takes from the memory twin how long a limit, a breaker or the workers' room makes one wait, and nothing of how the gate looks for work.
"""

from __future__ import annotations

import dataclasses

from rateguard.engine.gate.contract import Waiting, WorkClass
from rateguard.engine.limits.limit import Kind
from tests.contract.gate_pair import Pair


@dataclasses.dataclass(frozen=True)
class Asked:
    """A waiting job: what it needs of its path and of each deployment, and which of that has no room for it."""

    job: Waiting
    path: frozenset[str]
    path_blocked: frozenset[str]
    places: tuple[tuple[frozenset[str], frozenset[str]], ...]

    @property
    def blockers(self) -> frozenset[str]:
        """What it waits for. Behind an exhausted budget nobody else has to wait."""
        return self.path_blocked.union(*(blocked for _, blocked in self.places))


class Naive:
    """The whole room, asked job by job."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._gate = pair.memory
        self._now_ms = pair.clock.now_ms

    def wrongly_waiting(self) -> list[Waiting]:
        """Jobs that could go and before which nobody stands."""
        asked = [found for job in self._pair.waiting.values() if (found := self._ask(job)) is not None]
        return [one.job for one in asked if self._may_go(one.job) and not one.path_blocked and self._has_free_place(one, asked)]

    def _has_free_place(self, one: Asked, asked: list[Asked]) -> bool:
        """Whether a deployment has room, and nobody waits in his lane or above for anything that he needs there."""
        before = [other for other in asked if other is not one and other.job.lane <= one.job.lane]
        waited_for = frozenset().union(*(self._without_budgets(other.blockers) for other in before))
        same_line = any(
            other.job.model == one.job.model and not other.path_blocked and other.places and all(blocked for _, blocked in other.places)
            for other in before
        )
        return not same_line and any(not blocked and not (one.path | needed) & waited_for for needed, blocked in one.places)

    def _without_budgets(self, limits: frozenset[str]) -> frozenset[str]:
        return frozenset(limit for limit in limits if (record := self._pair.ledger.record(limit)) is None or record.kind != Kind.BUDGET)

    def _may_go(self, job: Waiting) -> bool:
        if self._pair.ledger.is_paused(job.lane):
            return False
        return job.work_class == WorkClass.SYNC or self._gate._holders.room(job.lane, self._now_ms) > 0

    def _ask(self, job: Waiting) -> Asked | None:
        ledger = self._pair.ledger
        path = ledger.limits_on(job.path)
        if path is None or job.model.partition("!")[0] not in ledger.models:
            return None
        places, waited_ms = [], self._now_ms - job.order_ms
        for deployment in ledger.deployments_of(job.model):
            needed = frozenset(ledger.limits_at(job.model, deployment.id))
            cools = {target for target in deployment.cools if self._gate._reservations.cooling.get(target, 0) > self._now_ms}
            shut = {f"breaker:{deployment.id}"} if self._gate._breakers.wait_ms(deployment, self._now_ms) else set()
            early = {f"after:{deployment.id}"} if deployment.after_ms > waited_ms else set()
            blocked = self._blocked(job, needed) | cools | shut | early
            places.append((needed | set(deployment.cools) | {f"breaker:{deployment.id}"}, blocked))
        return Asked(job, frozenset(path), self._blocked(job, frozenset(path)), tuple(places))

    def _blocked(self, job: Waiting, limits: frozenset[str]) -> frozenset[str]:
        return frozenset(limit for limit in limits if self._wait_ms(job, limit) != 0)

    def _wait_ms(self, job: Waiting, limit: str) -> int:
        state = self._gate._limits.get(limit, self._now_ms)
        assert state is not None
        return state.wait_ms(self._pair.need(job, limit), self._now_ms, job.lane)
