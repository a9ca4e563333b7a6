"""Which running jobs may get a second call, and after how long: hedging of the critical lane, where a model asks for it.

What is learned is read each minute in the database's thread, beside the calls; before it is, and before there are twenty answers, there is
no second call. A stream is measured by the same figure, the time of whole answers: its second call goes later than it might, never sooner.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Protocol

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.engine.routing.hedging import HedgeBudget, UsualTimes, delay_ms
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.attempts.exchange import Exchange
from rateguard.jobs.attempts.unheard import AWAY
from rateguard.jobs.marked import able_places
from rateguard.jobs.models import Delivery
from tenants.directory import Directory, Place

logger = logging.getLogger(__name__)

FRESH_S = 60.0

Read = Callable[[list[str]], Awaitable[UsualTimes]]
"""Reads the p95 of these models' answers, off the loop."""


@dataclasses.dataclass(frozen=True, slots=True)
class Second:
    """A second call that was let in. exchange: its own, with a reservation of its own. grant: what its entrance knows it by."""

    exchange: Exchange
    grant: object


class SecondCalls(Protocol):
    """Where second calls come in at the gate, and end. What was let in ends once: by `settle` or by `give_back`."""

    async def enter(self, claimed: Claimed, busy: Place) -> Second | None:
        """Ask for a place elsewhere than at `busy`, where the first call is; None: none has room at once. Cancelled here, it has none."""
        ...

    def sent(self, second: Second, at: float) -> None:
        """Its request is about to be written. Raises NotSent."""
        ...

    def settle(self, second: Second, latency_ms: int) -> None:
        """It ended, as its exchange says, after so long."""
        ...

    def give_back(self, second: Second) -> None:
        """Nothing of it left."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A second call may go after `delay_ms`, where the budget then has one."""

    delay_ms: int
    budget: HedgeBudget
    seconds: SecondCalls


class Hedging:
    """One a process, on the loop that runs the calls."""

    def __init__(self, seconds: SecondCalls, read: Read) -> None:
        self._seconds = seconds
        self._read = read
        self._budgets: defaultdict[str, HedgeBudget] = defaultdict(HedgeBudget)
        self._p95: UsualTimes = {}
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    def plan(self, exchange: Exchange) -> Plan | None:
        """A first call is about to be made; None: it goes alone. Every one earns, also the one that may not have a second."""
        claimed = exchange.claimed
        if claimed.lane != Lane.CRITICAL:
            return None
        directory = wiring.directory()
        if not _hedges(directory, claimed.model):
            return None
        budget = self._budgets[claimed.model]
        budget.earn()
        self._keep_fresh(directory)
        if claimed.delivery == Delivery.AT_MOST_ONCE or not _has_other(exchange):
            return None
        delay = delay_ms(self._usual_ms(claimed.model, exchange.place), claimed.timeout_s * 1_000)
        return None if delay is None else Plan(delay, budget, self._seconds)

    def stop(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()

    def _usual_ms(self, model: str, place: Place) -> int | None:
        return self._p95.get((model, place.name), self._p95.get((model, "")))

    def _keep_fresh(self, directory: Directory) -> None:
        is_fresh = self._read_at is not None and time.monotonic() - self._read_at < FRESH_S
        if is_fresh or self._reading is not None:
            return
        models = [name for name in directory.routing if _hedges(directory, name)]
        self._reading = asyncio.get_running_loop().create_task(self._learn(models))

    async def _learn(self, models: list[str]) -> None:
        try:
            self._p95 = await self._read(models)
        except AWAY as error:
            logger.warning("how long answers take is not read anew: %s", error)
        except Exception:
            logger.exception("how long answers take is not read anew")
        finally:
            self._read_at, self._reading = time.monotonic(), None


def _hedges(directory: Directory, model: str) -> bool:
    routing = directory.routing.get(model)
    return routing is not None and routing.hedges


def _has_other(exchange: Exchange) -> bool:
    """Whether another deployment may be asked."""
    claimed = exchange.claimed
    return any(place.id != exchange.place.id for place in able_places(claimed.model, claimed.tenant_id, claimed.route_marks))
