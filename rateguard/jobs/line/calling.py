"""What the pump tells of synchronous calls, and how it reaches the process whose they are.

A step of the gate admits for everybody, so a call may be granted in another process's step. It is told on that process's channel; what is
lost on the way comes back by its `send_by`, like any grant that nobody claimed.
"""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

import orjson
import redis

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Grant, Refusal, Refused, ReservationId, Step, StepReply, WorkClass
from rateguard.engine.keys import call_channel
from rateguard.engine.lanes import Lane
from rateguard.jobs.line.call_ids import is_call, node_of

logger = logging.getLogger(__name__)


class CallDoor(Protocol):
    """Hears in the pump's thread what a step meant for synchronous calls. Nothing here may wait long."""

    @property
    def is_waiting(self) -> bool:
        """Whether calls of this process wait: the pump then keeps a timer for the moment at which there is room."""
        ...

    def has(self, call: uuid.UUID) -> bool:
        """Whether a call of this id waits here: then what the gate refuses is told to its caller, and no row is looked for."""
        ...

    def answered(self, step: Step, reply: StepReply) -> None:
        """The gate answered this step."""
        ...

    def unanswered(self, step: Step, error: GateError) -> None:
        """It did not, for now; the step is sent again."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Admitted:
    """A grant of a call, and the epoch of the gate that gave it."""

    grant: Grant
    epoch: int


Decided: TypeAlias = Admitted | Refused
"""What a step decides of one call."""


def decided(reply: StepReply) -> list[Decided]:
    """What a reply decides of synchronous calls."""
    granted = [Admitted(grant, reply.epoch) for grant in reply.granted if grant.work_class == WorkClass.SYNC]
    return [*granted, *(one for one in reply.refused if is_call(one.job))]


def call_of(one: Decided) -> uuid.UUID:
    """Whose decision it is."""
    return one.grant.reservation.job if isinstance(one, Admitted) else one.job


def post(decisions: Iterable[Decided]) -> None:
    """Tell other processes of their calls, in one round trip. Never raises: what is lost comes back by itself."""
    letters = [(node_of(call_of(one)), _letter(one)) for one in decisions]
    if not letters:
        return
    partition = conf().partition
    pipeline: Any = wiring.redis_client().pipeline(transaction=False)
    for node, letter in letters:
        pipeline.publish(call_channel(partition, node), letter)
    try:
        pipeline.execute()
    except (redis.RedisError, OSError) as error:
        logger.info("%d decisions of other processes' calls not told, they come back: %s", len(letters), error)


def _letter(one: Decided) -> bytes:
    if isinstance(one, Refused):
        return orjson.dumps(["refused", one.job.hex, one.attempt, one.reason.value, one.binding])
    grant = one.grant
    told = [grant.model, grant.deployment, int(grant.lane), grant.cost, grant.send_by_ms, grant.input_tokens, grant.max_output_tokens]
    return orjson.dumps(["granted", grant.reservation.job.hex, grant.reservation.attempt, one.epoch, *told])


def read_letter(letter: bytes) -> Decided:
    """The decision that another process told."""
    kind, call, number, *told = orjson.loads(letter)
    job = uuid.UUID(hex=call)
    if kind == "refused":
        return Refused(job, number, Refusal(told[0]), told[1])
    epoch, model, deployment, lane, cost, send_by_ms, input_tokens, max_output_tokens = told
    grant = Grant(
        reservation=ReservationId(job, number),
        model=model,
        deployment=deployment,
        lane=Lane(lane),
        work_class=WorkClass.SYNC,
        cost=cost,
        send_by_ms=send_by_ms,
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
    )
    return Admitted(grant, epoch)


class ElsewhereDoor:
    """The door of a process that has no calls of its own: all that a step decides of some goes to others."""

    is_waiting = False

    def has(self, call: uuid.UUID) -> bool:
        """None is."""
        return False

    def answered(self, step: Step, reply: StepReply) -> None:
        """Tell those whose calls they are."""
        post(decided(reply))

    def unanswered(self, step: Step, error: GateError) -> None:
        """Nobody waits here."""
