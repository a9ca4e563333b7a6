"""What passes through a synchronous call: what is asked for, what was granted, how it ended."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Mapping

from rateguard.engine.errors import ProviderError
from rateguard.engine.gate.contract import ReservationId
from rateguard.engine.lanes import Lane
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Outcome
from tenants.directory import Place


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A synchronous call that wants to be let in.

    id: of its process (`Entrance.new_id`). model: the public name; gate_model: the list of the gate that it asks (`Directory.gate_model`,
    and marks). path: the nodes that it charges. output_tokens, max_output_tokens: as of a job. run: the innermost run on the path.
    job: the job whose second call this is; its attempt and its entry are then the job's. price_words: see `engine.asked`.
    """

    id: uuid.UUID
    tenant_id: int
    model: str
    gate_model: str
    path: str
    lane: Lane = Lane.NORMAL
    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    api_key_id: int | None = None
    team: str = ""
    rolegroup: str = ""
    role: str = ""
    user: str = ""
    run: uuid.UUID | None = None
    cost_center: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    job: uuid.UUID | None = None
    price_words: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A call that was let in: it may go to `place` now. Whoever has it ends it: `Entrance.settle` or `Entrance.give_back`.

    reservation: what it is known by; `str` of it is the attempt's id at the provider. cost: nano-dollars reserved. send_by_ms, epoch: of
    the grant, gate time. asked_at, granted_at: time.monotonic().
    """

    call: Call
    reservation: ReservationId
    place: Place
    cost: int
    send_by_ms: int
    epoch: int
    asked_at: float
    granted_at: float

    @property
    def queue_ms(self) -> int:
        """How long it waited at the gate."""
        return max(0, int((self.granted_at - self.asked_at) * 1000))

    @property
    def job(self) -> uuid.UUID:
        """The call's own id, by the name that every attempt's end is written under."""
        return self.reservation.job

    @property
    def attempt(self) -> int:
        """The number of its reservation."""
        return self.reservation.attempt

    @property
    def input_tokens(self) -> int:
        """Reserved."""
        return self.call.input_tokens

    @property
    def max_output_tokens(self) -> int:
        """Reserved."""
        return self.call.max_output_tokens


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """How a granted call ended: one of `answered`, `failed`, `stopped`. latency_ms: of the call alone, from its sending.

    has_left: its request was handed to the socket; without that nothing is charged. came: what had come of a stream that was given up.
    ended_at: time.monotonic().
    """

    latency_ms: int
    has_left: bool = True
    outcome: Outcome | None = None
    error: ProviderError | None = None
    came: Usage | None = None
    ended_at: float = dataclasses.field(default_factory=time.monotonic)

    @classmethod
    def answered(cls, outcome: Outcome, latency_ms: int) -> CallEnded:
        """The provider answered: charged as it counted."""
        return cls(outcome=outcome, latency_ms=latency_ms)

    @classmethod
    def failed(cls, error: ProviderError, latency_ms: int, *, has_left: bool) -> CallEnded:
        """The call failed: charged by what came, as reserved where it may be billed, else nothing."""
        return cls(error=error, latency_ms=latency_ms, has_left=has_left)

    @classmethod
    def stopped(cls, latency_ms: int, *, has_left: bool, came: Usage | None = None) -> CallEnded:
        """We gave it up: charged by what had come of a stream, else as reserved, if it had left."""
        return cls(latency_ms=latency_ms, has_left=has_left, came=came)
