"""The gate's contract: one atomic step decides for waiting work. Two twins implement it: `memory` and `redis`.

A gate never sleeps, retries or polls. Its times are whole milliseconds of its own clock; callers report ages (`…_ago_ms`) on theirs.
Every call may be sent again: a step is told apart by (channel, number), a settlement by its reservation, an enqueue by job and attempt.
"""

from __future__ import annotations

import dataclasses
import enum
import uuid
from typing import Protocol

from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.gate.records import Configuration, DeploymentRecord, ModelRecord, PausedLane, ScopeRecord
from rateguard.engine.gate.views import (
    MOST_NODES,
    MOST_NOTICES,
    BreakerView,
    Cooldown,
    DeploymentStatistics,
    Holder,
    Inspection,
    LimitUse,
    Notice,
    NoticeKind,
)
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.told import LimitReading

__all__ = [
    "LAYOUT",
    "MOST_NODES",
    "MOST_NOTICES",
    "BreakerView",
    "Charge",
    "Configuration",
    "Cooldown",
    "DeploymentRecord",
    "DeploymentStatistics",
    "Gate",
    "Grant",
    "HeldReservation",
    "Holder",
    "Inspection",
    "LimitReading",
    "LimitUse",
    "ModelRecord",
    "Notice",
    "NoticeKind",
    "PausedLane",
    "Refusal",
    "Refused",
    "ReservationId",
    "Running",
    "ScopeRecord",
    "Sent",
    "Settlement",
    "Step",
    "StepReply",
    "Waiting",
    "WorkClass",
]

MOST_SHOWN = 100
"""Of the nodes that have a limit by a default, so many are shown at most."""
LAYOUT = 4
"""Version of the gate's data layout. A gate of another layout is foreign: it is rebuilt."""


class WorkClass(enum.IntEnum):
    """SYNC: a caller waits for it; goes first in its lane. JOB: durable; bound by the slots of live workers."""

    SYNC = 1
    JOB = 2


# ---- work ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ReservationId:
    """A job (or a synchronous call) and the number of the attempt: what a reservation, a grant and a settlement are known by."""

    job: uuid.UUID
    attempt: int

    def __str__(self) -> str:
        return f"{self.job}.{self.attempt}"


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A job for the waiting room. attempt: the last number used; the grant's is one more.

    path: the nodes that it charges (see scopes). order_ms: when it came; deadline_ms: when it is too late. Inside a user the earliest
    deadline goes first, then those without one, as they came.
    output_tokens: the estimate that our own limits reserve. max_output_tokens: what the provider counts and a budget reserves.
    """

    job: uuid.UUID
    model: str
    path: str
    lane: Lane
    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    order_ms: int
    attempt: int = 0
    work_class: WorkClass = WorkClass.JOB
    deadline_ms: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """A granted attempt was claimed by `holder` and its request went out `ago_ms` before this step was sent."""

    reservation: ReservationId
    holder: str
    ago_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class Settlement:
    """An attempt ended. A reservation that is gone already is ignored.

    used: False gives everything back (nothing was sent, nothing is counted anywhere).
    input_tokens, output_tokens, cost (nano-dollars): the actual figures; cached_tokens: of the input, what came from a cache.
    counted_ago_ms: the age of the latest moment at which the provider can have counted the request, where that is later than the sending;
    else None. verdict, latency_ms: what it says of its deployment.
    readings: what the answer said of the provider's limits; they count although the reservation is gone.
    """

    reservation: ReservationId
    used: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    counted_ago_ms: int | None = None
    cooldown: Cooldown | None = None
    verdict: Verdict = Verdict.NONE
    latency_ms: int = 0
    cached_tokens: int = 0
    readings: tuple[LimitReading, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One round trip: report what was sent and what ended, withdraw, enqueue, then admit up to `want`.

    channel, number: the caller's line to the gate and the number of its call; the same pair gets the same reply.
    """

    channel: str
    number: int
    want: int = 0
    sent: tuple[Sent, ...] = ()
    settle: tuple[Settlement, ...] = ()
    withdraw: tuple[Waiting, ...] = ()
    enqueue: tuple[Waiting, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """An attempt may be sent. cost: nano-dollars reserved. send_by_ms: gate time; who cannot send by then gives it back."""

    reservation: ReservationId
    model: str
    deployment: str
    lane: Lane
    work_class: WorkClass
    cost: int
    send_by_ms: int
    input_tokens: int
    max_output_tokens: int


class Refusal(enum.StrEnum):
    """Why a waiting job leaves the waiting room without a grant.

    EXCEEDS_LIMIT, BUDGET_EXHAUSTED: it can never be granted. DOWNGRADE: not at this model; its budget names a cheaper one.
    NOT_CONFIGURED: a tenant, run or model that the gate was not told of. TOO_MANY_NODES: the tenant has MOST_NODES live nodes already.
    """

    EXCEEDS_LIMIT = "exceeds_limit"
    BUDGET_EXHAUSTED = "budget_exhausted"
    DOWNGRADE = "downgrade"
    NOT_CONFIGURED = "not_configured"
    TOO_MANY_NODES = "too_many_nodes"


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A job that left the waiting room without a grant. binding: the id of the limit, or of the record that is missing."""

    job: uuid.UUID
    attempt: int
    reason: Refusal
    binding: str


@dataclasses.dataclass(frozen=True, slots=True)
class StepReply:
    """What a step decided.

    now_ms: gate time. next_ready_ms: when to step again although nobody settles (always after now); None: only a settle or enqueue helps.
    has_more: the step stopped at `want`; there may be more to admit now. binding: the limit that closed a model in this step, "" if none.
    """

    now_ms: int
    epoch: int
    version: int
    granted: tuple[Grant, ...]
    refused: tuple[Refused, ...]
    next_ready_ms: int | None
    has_more: bool
    binding: str


# ---- holders ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class HeldReservation:
    """A reservation as the reaper and the reconciler see it.

    holder: "" while nobody claimed it. is_alive: its holder's heartbeat is heard. model: the gate's list. cost: nano-dollars reserved.
    What it holds stands here too, because of a synchronous call there is no other record.
    """

    reservation: ReservationId
    holder: str
    is_alive: bool
    age_ms: int
    path: str = ""
    model: str = ""
    deployment: str = ""
    cost: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    max_output_tokens: int = 0
    work_class: WorkClass = WorkClass.JOB


@dataclasses.dataclass(frozen=True, slots=True)
class Charge:
    """Something that counted `ago_ms` before now, for a rebuild. tenant: whose node it is, where it has the limit by a default."""

    limit: str
    amount: int
    ago_ms: int
    tenant: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A running attempt whose reservation is rebuilt: `waiting` as it was enqueued, but with the running attempt's number."""

    waiting: Waiting
    deployment: str
    holder: str
    ago_ms: int
    cost: int


class Gate(Protocol):
    """The gate. Each method raises GateUnavailable (repeat the very same call) or GateEpochLost (rebuild first)."""

    def epoch(self) -> int | None:
        """The epoch, or None where the gate is empty or of a foreign layout. Never raises GateEpochLost: ask it first."""
        ...

    def step(self, step: Step) -> StepReply:
        """Report, withdraw, enqueue, admit, in one atomic step. Idempotent by (channel, number)."""
        ...

    def beat(self, holder: Holder) -> int:
        """The holder lives. Returns gate time, ms."""
        ...

    def leave(self, holder: str) -> None:
        """The holder stops by itself: it takes no more work; what it still holds is looked at as if it had died."""
        ...

    def adopt(self, reservation: ReservationId, holder: str) -> None:
        """A reservation that nobody claimed belongs to a live holder after all (its row says so).

        Nobody knows when it was sent: windows count it from now on, which is the latest that it can have been.
        """
        ...

    def suspects(self, most: int) -> tuple[HeldReservation, ...]:
        """Reservations nobody claimed in time, and those of dead holders. Changes nothing but forgets dead holders that hold nothing."""
        ...

    def held(self, cursor: int, most: int) -> tuple[int, tuple[HeldReservation, ...]]:
        """All reservations, page by page (cursor 0 starts; a returned 0 ends), for the reconciler."""
        ...

    def configure(self, configuration: Configuration) -> None:
        """Write records; what is used of an edited limit stays. Works during a rebuild.

        A record read from older rows (a lower version) than the one that stands is left out. Raises the version, never lowers it.
        """
        ...

    def clear(self) -> None:
        """Drop everything of this gate, epoch first: a rebuild begins."""
        ...

    def restore(self, charges: tuple[Charge, ...], running: tuple[Running, ...], waiting: tuple[Waiting, ...]) -> None:
        """Bring back part of the state from rows during a rebuild, before `open`."""
        ...

    def open(self, epoch: int) -> None:
        """The rebuild is done: decisions may be asked for."""
        ...

    def inspect(self, limits: tuple[str, ...] | None = None) -> Inspection:
        """These limits in use (None: all that are configured), counts and holders.

        Of a default, those of the nodes that are named (`l17@5|user:ann`), or with `l17@*` of all that have a state by it: at most
        MOST_SHOWN, any of them where there are more.
        """
        ...

    def limits_of(self, path: str) -> tuple[str, ...] | None:
        """The ids of the limits and budgets on a path, without the deployment's; None where its tenant or run is not configured."""
        ...

    def notices(self, acknowledged: tuple[str, ...], most: int) -> tuple[Notice, ...]:
        """Forget those acknowledged, and read others, in no order."""
        ...

    def sync(self, lifted: tuple[str, ...], readings: tuple[LimitReading, ...]) -> None:
        """Lift the cooldowns of these targets, and take what a provider tells of its limits now."""
        ...

    def reset_breaker(self, deployment: str) -> None:
        """Close a deployment's breaker and forget what it counted. What a person forced is configuration."""
        ...
