"""Second calls of jobs come in as synchronous calls do: a reservation is their record, and the reaper charges what a dead worker left."""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from typing import Any

from rateguard.calls.call import Call, CallEnded, Granted
from rateguard.calls.entrance import Entrance, entrance
from rateguard.engine.errors import GateError, InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.engine.routing import marks
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.attempts.exchange import Exchange
from rateguard.jobs.attempts.execute import Database
from rateguard.jobs.attempts.hedging import Second
from rateguard.jobs.attempts.unheard import AWAY
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Job
from tenants.directory import Place

logger = logging.getLogger(__name__)

ENTER_S = 0.25
"""So long a second call waits for room: what is full has none to spare for it."""


class SecondCalls:
    """See jobs.attempts.hedging.SecondCalls. database: where the job's row is read, beside the calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enter(self, claimed: Claimed, busy: Place) -> Second | None:
        """Let in as a synchronous call with the job's path, at any of its deployments but the busy one."""
        asked_at = time.monotonic()
        try:
            door, call = await self._database.run(_asked, claimed, busy)
            granted = await door.enter(call, ENTER_S)
        except (InvalidRequest, GateError, *AWAY) as error:
            logger.debug("no second call: %s", error)
            return None
        if granted.place.id == busy.id:  # its list has no other any more
            door.give_back(granted)
            return None
        return Second(Exchange(_claimed_by(granted, claimed), granted.place, asked_at), (door, granted))

    def sent(self, second: Second, at: float) -> None:
        """See Entrance.sent."""
        door, granted = _grant(second)
        door.sent(granted, at)

    def settle(self, second: Second, latency_ms: int) -> None:
        """See Entrance.settle."""
        door, granted = _grant(second)
        door.settle(granted, _ended(second.exchange, latency_ms))

    def give_back(self, second: Second) -> None:
        """See Entrance.give_back."""
        door, granted = _grant(second)
        door.give_back(granted)


def _grant(second: Second) -> tuple[Entrance, Granted]:
    grant: Any = second.grant
    door, granted = grant
    return door, granted


def _asked(claimed: Claimed, busy: Place) -> tuple[Entrance, Call]:
    """What the job asks for, once more, but not where it is already."""
    job, door = Job.objects.defer("request", "result", "canvas").get(pk=claimed.job), entrance()
    call = Call(
        id=door.new_id(),
        tenant_id=job.tenant_id,
        model=job.model,
        gate_model=_without(waiting_of(job).model, busy),
        path=job.path,
        lane=Lane(job.lane),
        input_tokens=job.input_tokens,
        output_tokens=job.output_tokens,
        max_output_tokens=job.max_output_tokens,
        api_key_id=job.api_key_id,
        team=job.team,
        rolegroup=job.rolegroup,
        role=job.role,
        user=job.user,
        run=job.run,
        cost_center=job.cost_center,
        labels=job.labels,
        job=job.pk,
        price_words=job.price_words,
    )
    return door, call


def _without(gate_model: str, busy: Place) -> str:
    """The same list, where one deployment is never asked."""
    name, text = marks.split(gate_model)
    marked = marks.read(text)
    return name + marks.MARK + marks.write(dataclasses.replace(marked, never=marked.never | {str(busy.id)}))


def _claimed_by(granted: Granted, claimed: Claimed) -> Claimed:
    """The job's work under the second call's own reservation: its id is the attempt's at the provider."""
    job: uuid.UUID = granted.reservation.job
    return dataclasses.replace(
        claimed,
        job=job,
        attempt=granted.reservation.attempt,
        deployment_id=granted.place.id,
        cost=granted.cost,
        queue_ms=granted.queue_ms,
        send_by_ms=granted.send_by_ms,
    )


def _ended(exchange: Exchange, latency_ms: int) -> CallEnded:
    return CallEnded(latency_ms=latency_ms, has_left=exchange.has_left, outcome=exchange.outcome, error=exchange.error, came=exchange.came)
