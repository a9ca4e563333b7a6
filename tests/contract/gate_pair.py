"""Both twins as one: each call goes to both and must be answered alike; what a caller knows of his jobs; and what must hold after it."""

from __future__ import annotations

import collections
import dataclasses
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import msgpack

from rateguard.engine.breaker.rule import BreakerState, Forced
from rateguard.engine.gate.contract import (
    BreakerView,
    Configuration,
    Gate,
    Holder,
    Refusal,
    Refused,
    ReservationId,
    Step,
    StepReply,
    Waiting,
)
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.gate.redis import RedisGate
from rateguard.engine.keys import GATE_KEYS
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind
from tests.contract.gate_ledger import Ledger, amount_of, cost_of, most_for
from tests.contract.gate_line import Clock

Answer = TypeVar("Answer")


@dataclasses.dataclass
class Pair:
    """The twins, the ledger, who waits, and what was asked last on each channel."""

    memory: MemoryGate
    redis: RedisGate
    clock: Clock
    ledger: Ledger = dataclasses.field(default_factory=Ledger)
    waiting: dict[uuid.UUID, Waiting] = dataclasses.field(default_factory=dict)
    granted: set[ReservationId] = dataclasses.field(default_factory=set)
    last: dict[str, tuple[Step, StepReply]] = dataclasses.field(default_factory=dict)
    numbers: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    breakers: dict[str, BreakerView] = dataclasses.field(default_factory=dict)
    lost: list[ReservationId] = dataclasses.field(default_factory=list)
    epoch: int = 0

    def both(self, call: Callable[[Gate], Answer]) -> Answer:
        first, second = call(self.memory), call(self.redis)
        assert first == second, "the twins differ" + _difference(first, second)
        return first

    def configure(self, **records) -> None:
        """People changed rows; `records` as Configuration has them."""
        configuration = Configuration(self.ledger.version + 1, **records)
        self.both(lambda gate: gate.configure(configuration))
        self.ledger.write(configuration)

    def beat(self, holder: Holder) -> None:
        assert self.both(lambda gate: gate.beat(holder)) == self.clock.now_ms

    # ---- steps

    def step(self, channel: str = "c1", want: int = 0, **parts) -> StepReply:
        """One step on both gates, entered in the ledger."""
        self.numbers[channel] += 1
        step = Step(channel, self.numbers[channel], want, **parts)
        reply = self.both(lambda gate: gate.step(step))
        self.last[channel] = step, reply
        for sent in step.sent:
            self.ledger.send(sent.reservation, sent.holder, self.clock.now_ms - sent.ago_ms)
        for settlement in step.settle:
            self.ledger.settle(settlement)
        for job in step.withdraw:
            self.waiting.pop(job.job, None)
        self.waiting.update((job.job, job) for job in step.enqueue if ReservationId(job.job, job.attempt + 1) not in self.ledger.open)
        for refused in reply.refused:
            self._refuse(refused)
        for grant in reply.granted:
            assert grant.reservation not in self.granted, f"granted twice: {grant}"
            self.granted.add(grant.reservation)
            job = self.waiting.pop(grant.reservation.job)
            assert grant.reservation.attempt == job.attempt + 1
            assert self.clock.now_ms < grant.send_by_ms <= self.clock.now_ms + 5_000
            self.ledger.grant(grant, job)
        self._check_reply(step, reply)
        self.breakers = {view.deployment: view for view in self.both(lambda gate: gate.inspect(())).breakers}
        return reply

    def _check_reply(self, step: Step, reply: StepReply) -> None:
        assert (reply.now_ms, reply.epoch, reply.version) == (self.clock.now_ms, self.epoch, self.ledger.version)
        assert len(reply.granted) <= step.want
        assert reply.next_ready_ms is None or reply.next_ready_ms > reply.now_ms
        if not step.settle:
            for view in self.breakers.values():
                self._check_probe(view, sum(grant.deployment == view.deployment for grant in reply.granted))

    def _check_probe(self, view: BreakerView, grants: int) -> None:
        """An open breaker lets nothing through, one that is due exactly one probe, and none while that is out."""
        deployments = (d for model in self.ledger.models.values() for d in model.deployments if d.id == view.deployment)
        deployment = next(deployments, None)
        if deployment is None or deployment.breaker.forced == Forced.CLOSED:
            return
        is_shut = deployment.breaker.forced == Forced.OPEN or view.is_probing
        is_shut = is_shut or (view.state == BreakerState.OPEN and view.until_ms > self.clock.now_ms)
        if is_shut or view.state != BreakerState.CLOSED:
            assert grants <= (0 if is_shut else 1), f"{grants} grants through {view}"

    def _refuse(self, refused: Refused) -> None:
        """A refusal is true: the limit is too small, the budget is spent, the record is missing."""
        job = self.waiting.pop(refused.job)
        assert refused.attempt == job.attempt
        if refused.reason == Refusal.NOT_CONFIGURED:
            assert refused.binding == job.model.partition("!")[0] or self.ledger.limits_on(job.path) is None
        if refused.reason in (Refusal.EXCEEDS_LIMIT, Refusal.BUDGET_EXHAUSTED, Refusal.DOWNGRADE):
            record = self.ledger.limits[refused.binding.partition("@")[0]]
            left = self._most(record.id, job.lane) - (self.ledger.spent[refused.binding] if record.kind == Kind.BUDGET else 0)
            assert self.need(job, refused.binding) > left, f"{refused}: {left} are left"

    def _most(self, limit: str, lane: Lane) -> int:
        """What a lane may use of a limit: as people set it, or less where a provider told less."""
        state = self.memory._limits.states.get(limit)
        return min(most_for(self.ledger.limits[limit], lane), state.bound_for(lane) if state else 10**15)

    def need(self, job: Waiting, limit: str) -> int:
        """What a job would take of a limit."""
        cost = cost_of(self.ledger.deployments_of(job.model), job)
        figures = {"inputs": job.input_tokens, "output": job.output_tokens, "most": job.max_output_tokens, "cost": cost}
        return amount_of(self.ledger.limits[limit.partition("@")[0]].metric, **figures)

    # ---- a lost gate

    def rebuild(self) -> None:
        """The gate lost its data: records, charges, what runs and what waits come back from the rows."""
        ledger, waits = self.ledger, dict(self.waiting)
        for rid, attempt in ledger.open.items():
            if not attempt.holder:
                waits[rid.job] = attempt.job
        charges, running = ledger.charges(), ledger.running()
        records = (tuple(rows.values()) for rows in (ledger.limits, ledger.scopes, ledger.models))
        whole = Configuration(ledger.version, *records, paused_lanes=ledger.lanes)
        self.epoch += 1
        for gate in (self.memory, self.redis):
            gate.clear()
            assert gate.epoch() is None
            gate.configure(whole)
            gate.restore(charges, running, ())
            gate.restore((), (), tuple(waits.values()))
            gate.open(self.epoch)
            assert gate.epoch() == self.epoch
        self.lost += [rid for rid in ledger.open if ledger.limits_on(ledger.open[rid].job.path) is None]
        self.granted -= {rid for rid, attempt in ledger.open.items() if not attempt.holder}
        ledger.rebuild()
        self.waiting = {job: waiting for job, waiting in waits.items() if ledger.limits_on(waiting.path) is not None}
        self.last.clear()
        self.breakers.clear()

    # ---- what must hold

    def check(self) -> None:
        """All counters, breakers and notices, alike on both and as the ledger has them."""
        ids = tuple(limit for limit in self.ledger.entries if self.ledger.record(limit))
        inspection = self.both(lambda gate: gate.inspect(ids))
        self.ledger.check(inspection, len(self.waiting))
        self.both(lambda gate: gate.inspect(tuple(f"{limit}@*" for limit in ids if "@" not in limit)))
        self.breakers = {view.deployment: view for view in inspection.breakers}
        self.both(lambda gate: gate.notices((), 1_000))
        assert self.memory._room.lists.standings == self._kept("turns"), "turns stand differently"
        figures = {one: list(dataclasses.astuple(figures)) for one, figures in self.memory._reservations.statistics._found.items()}
        assert figures == self._kept("statistics"), "calls showed something else"

    def _kept(self, name: str) -> dict[str, Any]:
        """A hash of msgpack as the Lua twin keeps it."""
        packed = self.redis._client.hgetall(f"{self.redis._prefix}{GATE_KEYS[name]}")
        return {key.decode(): msgpack.unpackb(raw, strict_map_key=False) for key, raw in packed.items()}


def _difference(memory: object, other: object, where: str = "") -> str:
    """The parts of two answers that differ, one a line."""
    if dataclasses.is_dataclass(memory) and type(memory) is type(other):
        names = [field.name for field in dataclasses.fields(memory)]
        return "".join(_difference(getattr(memory, name), getattr(other, name), f"{where}.{name}") for name in names)
    if isinstance(memory, tuple | list) and isinstance(other, tuple | list) and len(memory) == len(other):
        return "".join(_difference(one, two, f"{where}[{at}]") for at, (one, two) in enumerate(zip(memory, other, strict=True)))
    return "" if memory == other else f"\n{where or 'answer'}: memory {memory!r}, redis {other!r}"
