"""A random world for a gate: tenants, limits, models, jobs; and a driver that steps both twins alike and holds the invariants."""

from __future__ import annotations

import collections
import dataclasses
import random
import uuid

from rateguard.engine.gate.contract import (
    Configuration,
    Cooldown,
    DeploymentRecord,
    Gate,
    Grant,
    Holder,
    ModelRecord,
    ReservationId,
    ScopeRecord,
    Sent,
    Settlement,
    Step,
    StepReply,
    Waiting,
    WorkClass,
)
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Level, LimitRecord, Metric
from rateguard.engine.limits.states import Window

START_MS = 1_790_000_000_000


class Clock:
    """The time that both twins see."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def window(name: str, metric: Metric, amount: int, window_ms: int, level: Level = Level.SHARED, **more) -> LimitRecord:
    return LimitRecord(name, Kind.WINDOW, metric, amount, level, window_ms=window_ms, **more)


def places(name: str, amount: int, level: Level = Level.SHARED) -> LimitRecord:
    return LimitRecord(name, Kind.CONCURRENCY, Metric.CONCURRENCY, amount, level)


def budget(name: str, nano_usd: int) -> LimitRecord:
    return LimitRecord(name, Kind.BUDGET, Metric.COST, nano_usd, Level.TENANT)


def random_configuration(rnd: random.Random) -> Configuration:
    limits = [
        window(
            "a:r",
            Metric.REQUESTS,
            rnd.choice([5, 50]),
            rnd.choice([1_000, 10_000, 60_000]),
            guard_ms=rnd.choice([0, 100]),
            gives_back=False,
        ),
        window("a:t", Metric.PROVIDER_TOKENS, 5_000, 60_000, guard_ms=100, gives_back=False, burst_permille=rnd.choice([1000, 200])),
        places("d2:c", rnd.choice([1, 4])),
        window("d2:t", Metric.PROVIDER_TOKENS, rnd.choice([1_200, 50_000]), 10_000, gives_back=rnd.random() < 0.5),
    ]
    nodes = [ScopeRecord("")]
    for tenant in range(rnd.choice([1, 3, 8])):
        limits += [
            window(f"t{tenant}:r", Metric.REQUESTS, rnd.choice([3, 30]), 60_000, Level.TENANT, burst_permille=rnd.choice([1000, 500])),
            window(f"t{tenant}:t", Metric.TOKENS, rnd.choice([1_100, 40_000]), 10_000, Level.TENANT),
            places(f"t{tenant}:c", rnd.choice([1, 3]), Level.TENANT),
            budget(f"t{tenant}:b", rnd.choice([3_000, 40_000, 10**12])),
            places(f"d{tenant}:c", 1, Level.LEAF),
            places(f"u{tenant}.0:c", 2, Level.LEAF),
        ]
        names = (f"t{tenant}:r", f"t{tenant}:t", f"t{tenant}:c", f"t{tenant}:b")
        defaults = (("user", (f"d{tenant}:c",)),) if rnd.random() < 0.6 else ()
        nodes.append(ScopeRecord(f"{tenant}", names[: rnd.choice([0, 2, 4])], rnd.choice([1, 2, 3, 7]), (), defaults))
        nodes.append(ScopeRecord(f"{tenant}|user:0", (f"u{tenant}.0:c",), rnd.choice([1, 3]), (f"d{tenant}:c",)))
    one = DeploymentRecord("1", ("a:r", "a:t"), ("a1", "d1"), 1_000, 4_000)
    two = DeploymentRecord("2", ("d2:c", "d2:t"), ("a2", "d2"), 2_000, 3_000)
    models = (ModelRecord("m", "x", (one,)), ModelRecord("n", "x", (one, two)), ModelRecord("o", "y", (two,)), ModelRecord("none", "z", ()))
    return Configuration(1, tuple(limits), tuple(nodes), models)


@dataclasses.dataclass
class World:
    """Both twins, the jobs that wait and the attempts that run, as a caller knows them."""

    rnd: random.Random
    gates: tuple[Gate, Gate]
    clock: Clock
    configuration: Configuration
    waiting: dict[uuid.UUID, Waiting] = dataclasses.field(default_factory=dict)
    running: dict[ReservationId, Grant] = dataclasses.field(default_factory=dict)
    grants: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    refused: set[uuid.UUID] = dataclasses.field(default_factory=set)
    number: int = 0
    idle_ms: int = 0

    def both(self, call):
        first, second = (call(gate) for gate in self.gates)
        assert first == second, f"at step {self.number}:\nmemory {first}\nredis  {second}"
        return first

    def open(self) -> None:
        for gate in self.gates:
            gate.clear()
            gate.configure(self.configuration)
            gate.open(1)
        self.beat()

    def beat(self) -> None:
        for holder, lanes in (("w1", tuple(Lane)), ("w2", (Lane.CRITICAL, Lane.HIGH))):
            self.both(lambda gate, holder=holder, lanes=lanes: gate.beat(Holder(holder, 12, lanes)))

    def a_path(self) -> str:
        rnd = self.rnd
        tenant = rnd.choice([node.id for node in self.configuration.scopes if node.id and "|" not in node.id])
        return tenant + rnd.choice(["", "|user:0", "|user:1", "|user:2", "|team:x|user:0", "|user:1|key:9"])

    def new_job(self) -> Waiting:
        rnd = self.rnd
        job = Waiting(
            job=uuid.UUID(int=rnd.getrandbits(128)),
            model=rnd.choice(["m", "m", "n", "o"]),
            path=self.a_path(),
            lane=rnd.choice(list(Lane)),
            input_tokens=rnd.choice([1, 100, 900, 900, 4_000]),
            output_tokens=rnd.choice([0, 10, 100]),
            max_output_tokens=rnd.choice([100, 300]),
            order_ms=rnd.randint(1, 50),
            attempt=rnd.choice([0, 0, 3]),
            work_class=rnd.choice([WorkClass.JOB, WorkClass.JOB, WorkClass.SYNC]),
        )
        self.waiting[job.job] = job
        return job

    def step(self, **parts) -> StepReply:
        self.number += 1
        step = Step("c", self.number, **parts)
        reply = self.both(lambda gate: gate.step(step))
        if self.rnd.random() < 0.1:  # the reply was lost: the same call again gets the same answer
            assert self.both(lambda gate: gate.step(step)) == reply
        assert reply.next_ready_ms is None or reply.next_ready_ms > reply.now_ms
        for grant in reply.granted:
            job = self.waiting.pop(grant.reservation.job)
            assert grant.reservation.attempt == job.attempt + 1
            self.grants[grant.reservation] += 1
            self.running[grant.reservation] = grant
        for refusal in reply.refused:
            del self.waiting[refusal.job]
            self.refused.add(refusal.job)
        self.check_limits()
        return reply

    def settlements(self, share: float) -> tuple[Settlement, ...]:
        ended = [rid for rid in self.running if self.rnd.random() < share]
        return tuple(self.settlement(self.running.pop(rid)) for rid in ended)

    def settlement(self, grant: Grant) -> Settlement:
        rnd = self.rnd
        if rnd.random() < 0.1:
            return Settlement(grant.reservation, used=False)
        cooldown = Cooldown(rnd.choice(["a1", "d2"]), rnd.choice([50, 2_000])) if rnd.random() < 0.1 else None
        more = rnd.choice([0, 0, 0, 50])
        output_tokens = min(grant.max_output_tokens, rnd.choice([0, 10, 300]))
        counted = rnd.choice([None, 0, 20])
        cost = min(grant.cost, rnd.choice([0, 500, 10**9]))
        return Settlement(grant.reservation, True, grant.input_tokens + more, output_tokens, cost, counted, cooldown)

    def sent(self) -> tuple[Sent, ...]:
        return tuple(
            Sent(rid, self.rnd.choice(["w1", "w2"]), self.rnd.choice([0, 3, 90])) for rid in self.running if self.rnd.random() < 0.5
        )

    def check_limits(self) -> None:
        """Nothing of ours is granted over a budget; rings add up; what is held is held by somebody."""
        inspection = self.both(lambda gate: gate.inspect())
        memory = self.gates[0]
        assert isinstance(memory, MemoryGate)
        for use in inspection.limits:
            state = memory._limits.states[use.id]
            if state.record.kind == Kind.BUDGET:
                assert use.used <= use.amount
            if isinstance(state, Window):
                assert sum(state.ring) == state.total
                assert min(state.ring) >= 0
        assert inspection.waiting == len(self.waiting)
        assert inspection.reservations == len(self.running)

    def disturb(self) -> None:
        """What the reaper, the reconciler and people who edit limits do in between."""
        rnd, kind = self.rnd, self.rnd.randrange(8)
        if kind == 0:
            self.both(lambda gate: gate.suspects(3))
        elif kind == 1:
            self.both(lambda gate: sorted(gate.held(0, 100_000)[1], key=lambda held: held.reservation))
        elif kind == 2 and self.running:
            reservation = rnd.choice(list(self.running))
            self.both(lambda gate: gate.adopt(reservation, "w1"))
        elif kind == 3:
            self.both(lambda gate: gate.leave("w2"))
        elif kind == 4:
            self.edit(limits=(self.edited_limit(),))
        elif kind == 5:
            node = rnd.choice([node for node in self.configuration.scopes if node.id and "|" not in node.id])
            names = [limit.id for limit in self.configuration.limits if limit.id.startswith(f"t{node.id}:")]
            self.edit(scopes=(dataclasses.replace(node, limits=tuple(rnd.sample(names, rnd.randint(0, 4)))),))

    def edited_limit(self) -> LimitRecord:
        """Another amount or length for a limit, never of a budget: that may be over its new amount."""
        rnd = self.rnd
        record = rnd.choice([limit for limit in self.configuration.limits if limit.kind != Kind.BUDGET])
        if record.kind == Kind.WINDOW and rnd.random() < 0.3:
            return dataclasses.replace(record, window_ms=rnd.choice([1_000, 7_777, 60_000]))
        return dataclasses.replace(record, amount=max(1, int(record.amount * rnd.choice([0.5, 1, 2]))))

    def edit(self, **records) -> None:
        self.both(lambda gate: gate.configure(Configuration(1, **records)))

    def random_step(self) -> None:
        rnd = self.rnd
        self.disturb()
        self.clock.now_ms += rnd.choice([0, 1, 7, 100, 1_500, 9_000])
        if rnd.random() < 0.4:
            self.beat()
        coming = tuple(self.new_job() for _ in range(rnd.choice([0, 0, 1, 5, 20])))
        again = tuple(rnd.sample(list(self.waiting.values()), min(2, len(self.waiting)))) if rnd.random() < 0.3 else ()
        sent, settled = self.sent(), self.settlements(0.4)
        leaving = tuple(
            job for job in rnd.sample(list(self.waiting.values()), min(1, len(self.waiting))) if rnd.random() < 0.3 and job not in coming
        )
        for job in leaving:
            del self.waiting[job.job]
        again = tuple(job for job in again if job not in leaving)
        want = rnd.choice([0, 1, 3, 50])
        self.step(want=want, sent=sent, settle=settled, withdraw=leaving, enqueue=(*coming, *again))
        if settled and rnd.random() < 0.2:
            self.step(settle=settled)

    def drain(self) -> None:
        """With everything settled and time passing, each job is granted exactly once or refused, and nothing is left behind."""
        quiet = 0
        for _ in range(20_000):
            if not self.waiting and not self.running:
                break
            settled = tuple(Settlement(rid, True, 5, 5, 1) for rid in self.running)
            self.running.clear()
            self.beat()
            reply = self.step(want=20, settle=settled)
            quiet = 0 if reply.granted or reply.refused or settled else quiet + 1
            assert quiet < 200, f"stuck with {len(self.waiting)} waiting: {reply}"
            if not reply.granted and not reply.has_more:
                assert reply.next_ready_ms is not None or not self.waiting or settled, f"stuck: {reply}"
                self.clock.now_ms = max(self.clock.now_ms + 1, min(reply.next_ready_ms or 0, self.clock.now_ms + 60_000))
        assert not self.waiting
        assert set(self.grants.values()) <= {1}
        inspection = self.both(lambda gate: gate.inspect())
        assert (inspection.reservations, inspection.unsent, inspection.waiting) == (0, 0, 0)
        assert all(use.used == 0 for use in inspection.limits if use.id.endswith(":c"))
        assert all(use.reserved == 0 for use in inspection.limits)
