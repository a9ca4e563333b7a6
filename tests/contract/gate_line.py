"""One caller's line to a gate under an injected clock, and short names for the records that contract tests need."""

from __future__ import annotations

import dataclasses
import itertools
import uuid

from rateguard.engine.breaker.rule import DEFAULT_RULE
from rateguard.engine.gate.contract import (
    Configuration,
    DeploymentRecord,
    Gate,
    Grant,
    Holder,
    ModelRecord,
    Notice,
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
from rateguard.engine.routing.contract import Mode

START_MS = 1_790_000_000_000
MANY_SLOTS = 1_000_000


class Clock:
    """The time that a gate sees."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def window(name: str, metric: Metric, amount: int, window_ms: int, level: Level = Level.SHARED, **more) -> LimitRecord:
    return LimitRecord(name, Kind.WINDOW, metric, amount, level, window_ms=window_ms, **more)


def bucket(name: str, amount: int, window_ms: int = 60_000, level: Level = Level.TENANT, metric=Metric.REQUESTS, **more) -> LimitRecord:
    return LimitRecord(name, Kind.BUCKET, metric, amount, level, window_ms=window_ms, **more)


def places(name: str, amount: int, level: Level = Level.SHARED, **more) -> LimitRecord:
    return LimitRecord(name, Kind.CONCURRENCY, Metric.CONCURRENCY, amount, level, **more)


def budget(name: str, amount: int, level: Level = Level.TENANT, metric: Metric = Metric.COST, **more) -> LimitRecord:
    return LimitRecord(name, Kind.BUDGET, metric, amount, level, **more)


def pause(name: str, level: Level = Level.TENANT, until_ms: int = 0) -> LimitRecord:
    return LimitRecord(name, Kind.PAUSE, Metric.REQUESTS, until_ms, level)


def requests(name: str, amount: int, window_ms: int = 60_000, level: Level = Level.SHARED, **more) -> LimitRecord:
    return window(name, Metric.REQUESTS, amount, window_ms, level, **more)


def tokens(name: str, amount: int, window_ms: int = 60_000, level: Level = Level.SHARED, **more) -> LimitRecord:
    return window(name, Metric.TOKENS, amount, window_ms, level, **more)


def node(name: str, *limits: str, weight: int = 1, without: tuple[str, ...] = (), **defaults: tuple[str, ...]) -> ScopeRecord:
    """A configured node: `node("p", "l1", user=("l2",))` has limit l1 itself and gives l2 to each of its users."""
    return ScopeRecord(name, limits, weight, without, tuple(defaults.items()))


def deployment(*limits: str, name="1", input_pico: int = 0, output_pico: int = 0, rule=DEFAULT_RULE, **place: int) -> DeploymentRecord:
    return DeploymentRecord(name, limits, (f"a{name}", f"d{name}"), input_pico, output_pico, rule, **place)


def model(name: str, *deployments: DeploymentRecord, pool: str = "x", mode: Mode = Mode.FIRST) -> ModelRecord:
    return ModelRecord(name, pool, deployments, mode)


def ids(reply: StepReply) -> list[uuid.UUID]:
    return [grant.reservation.job for grant in reply.granted]


def sent(grants, holder: str = "w", ago_ms: int = 0) -> tuple[Sent, ...]:
    return tuple(Sent(grant.reservation, holder, ago_ms) for grant in grants)


def ended(grants, **figures) -> tuple[Settlement, ...]:
    return tuple(Settlement(grant.reservation, used=True, **figures) for grant in grants)


@dataclasses.dataclass
class Line:
    """A gate with its clock; numbers its own steps."""

    gate: Gate
    clock: Clock
    number: int = 0
    workers: dict[str, Holder] = dataclasses.field(default_factory=dict)
    made: itertools.count = dataclasses.field(default_factory=lambda: itertools.count(1))

    def open(self, *limits: LimitRecord, scopes=(), models=(), slots: int = MANY_SLOTS) -> None:
        """A gate with these records (default: one tenant p without limits, one model) and one worker that serves all lanes."""
        self.gate.clear()
        configuration = Configuration(1, limits, tuple(scopes) or (node("p"),), tuple(models) or (model("m", deployment()),))
        self.gate.configure(configuration)
        self.gate.open(1)
        if slots:
            self.beat(slots=slots)

    def configure(self, *limits: LimitRecord, version: int = 2, **more) -> None:
        self.gate.configure(Configuration(version, limits, **more))

    def beat(self, holder: str = "w", slots: int = MANY_SLOTS, lanes=tuple(Lane)) -> None:
        self.workers[holder] = Holder(holder, slots, lanes)
        self.gate.beat(self.workers[holder])

    def die(self, holder: str) -> None:
        """The worker's heart stops."""
        del self.workers[holder]

    def go_to(self, at_ms: int) -> None:
        """It is `at_ms` now, and the workers' hearts have beaten."""
        self.clock.now_ms = max(self.clock.now_ms, at_ms)
        for holder in self.workers.values():
            self.gate.beat(holder)

    def wait(self, ms: int) -> None:
        """`ms` pass, and the workers' hearts beat."""
        self.go_to(self.clock.now_ms + ms)

    def job(self, on: str = "p", *, to: str = "m", lane: Lane = Lane.NORMAL, size: int = 2, answer: int | None = None, **more) -> Waiting:
        """A job of `size` tokens: one of input, the rest of output (or `answer` of estimated output)."""
        count = next(self.made)
        fields = {"attempt": 0, "work_class": WorkClass.JOB, "order_ms": count, **more}
        return Waiting(uuid.UUID(int=count), to, on, lane, 1, size - 1 if answer is None else answer, size - 1, **fields)

    def jobs(self, count: int, on: str = "p", **more) -> tuple[Waiting, ...]:
        return tuple(self.job(on, **more) for _ in range(count))

    def step(self, want: int = 0, **parts) -> StepReply:
        self.number += 1
        reply = self.gate.step(Step("c", self.number, want, **parts))
        assert reply.next_ready_ms is None or reply.next_ready_ms > reply.now_ms
        return reply

    def enqueue(self, *jobs: Waiting) -> tuple[Waiting, ...]:
        for at in range(0, len(jobs), 1_000):
            self.step(enqueue=jobs[at : at + 1_000])
        return jobs

    def admit_all(self, want: int = 100) -> list[Grant]:
        """Admit until the gate says that there is no more."""
        granted: list[Grant] = []
        for _ in range(10_000):
            reply = self.step(want)
            granted += reply.granted
            if not reply.has_more:
                return granted
        raise AssertionError(f"the gate never ran out: {reply}")

    def used(self, limit: str) -> int:
        return self.gate.inspect((limit,)).limits[0].used

    def uses(self, *limits: str) -> list[int]:
        """What is used of each, in the order in which they are asked for."""
        found = {use.id: use.used for use in self.gate.inspect(limits).limits}
        return [found[limit] for limit in limits]

    def reserved(self, limit: str) -> int:
        return self.gate.inspect((limit,)).limits[0].reserved

    def next_ms(self, limit: str) -> int | None:
        return self.gate.inspect((limit,)).limits[0].next_ms

    def nodes(self) -> dict[str, int]:
        """Live nodes by tenant."""
        return dict(self.gate.inspect(()).nodes)

    def key_count(self) -> int:
        """What the gate keeps of nodes that have limits by a default: keys in Redis."""
        if isinstance(self.gate, MemoryGate):
            return sum("@" in limit_id for limit_id in self.gate._limits.states)
        return sum(1 for _ in self.gate._client.scan_iter(f"{self.gate._prefix}limit:*@*", count=1_000))

    def remembered_versions(self) -> int:
        """Of how many records the gate remembers the version, gone ones too."""
        if isinstance(self.gate, MemoryGate):
            return len(self.gate._record_versions)
        return self.gate._client.hlen(f"{self.gate._prefix}record_versions")

    def notices(self, *acknowledged: str, most: int = 1_000) -> list[Notice]:
        return sorted(self.gate.notices(acknowledged, most), key=lambda notice: (notice.at_ms, notice.value))


def reservation(job: Waiting) -> ReservationId:
    """The reservation that the job's next grant has."""
    return ReservationId(job.job, job.attempt + 1)
