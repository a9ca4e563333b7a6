"""A window counts alike on both twins, whatever is granted, sent late, settled otherwise, edited or left alone for however long."""

from __future__ import annotations

import itertools
import random
import uuid

import pytest

from rateguard.engine.gate.contract import Configuration, Grant, Holder, Sent, Settlement, Step, Waiting
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Level, LimitRecord, Metric
from tests.contract.gate_line import MANY_SLOTS, Clock, deployment, model, node, window

PATIENCE = GateSettings(send_by_ms=10**9, dead_after_ms=10**12, unsent_per_worker=MANY_SLOTS)
LENGTHS_MS = (100, 1_000, 10_000, 60_000, 61_000)


class Twins:
    """Both gates under one clock; each call goes to both and gets one answer."""

    def __init__(self, client, rnd: random.Random) -> None:
        self.clock = Clock()
        self.gates = (MemoryGate(PATIENCE, self.clock), RedisGate(client, PATIENCE, "slices", self.clock))
        self.rnd = rnd
        self.numbers = itertools.count(1)
        self.running: list[Grant] = []

    def both(self, call):
        first, second = (call(gate) for gate in self.gates)
        assert first == second
        return first

    def open(self, *limits: LimitRecord) -> None:
        of_tenant = tuple(limit.id for limit in limits if limit.level == Level.TENANT)
        of_account = tuple(limit.id for limit in limits if limit.level == Level.SHARED)
        first = Configuration(1, limits, (node("p", *of_tenant),), (model("m", deployment(*of_account)),))
        for gate in self.gates:
            gate.clear()
            gate.configure(first)
            gate.open(1)
            gate.beat(Holder("w", MANY_SLOTS, tuple(Lane)))

    def step(self, want: int = 0, **parts) -> None:
        step = Step("c", next(self.numbers), want, **parts)
        reply = self.both(lambda gate: gate.step(step))
        self.running += reply.granted
        self.both(lambda gate: gate.inspect())

    def job(self) -> Waiting:
        number, rnd = next(self.numbers), self.rnd
        sizes = rnd.choice([1, 5, 40]), rnd.choice([0, 3, 30]), rnd.choice([10, 50])
        return Waiting(uuid.UUID(int=number), "m", "p", Lane.NORMAL, *sizes, number)

    def some_running(self) -> list[Grant]:
        return [grant for grant in self.running if self.rnd.random() < 0.3]

    def a_while_ago(self) -> int:
        return self.rnd.choice([0, 0, 3, 90, 700, 4_000])

    def send(self) -> None:
        self.step(sent=tuple(Sent(grant.reservation, "w", self.a_while_ago()) for grant in self.some_running()))

    def settle(self) -> None:
        ended = self.some_running()
        self.running = [grant for grant in self.running if grant not in ended]
        rnd = self.rnd
        self.step(
            settle=tuple(
                Settlement(
                    grant.reservation,
                    used=rnd.random() < 0.8,
                    input_tokens=rnd.choice([grant.input_tokens, 60]),
                    output_tokens=rnd.choice([0, 3, 80]),
                    counted_ago_ms=rnd.choice([None, None, 0, 50, 2_000]),
                )
                for grant in ended
            )
        )


def a_window(rnd: random.Random, name: str, level: Level) -> LimitRecord:
    more = {"burst_permille": rnd.choice([1000, 1000, 300]), "guard_ms": rnd.choice([0, 0, 70]), "gives_back": rnd.random() < 0.7}
    metric = rnd.choice([Metric.REQUESTS, Metric.TOKENS, Metric.PROVIDER_TOKENS])
    return window(name, metric, rnd.choice([30, 400, 100_000]), rnd.choice(LENGTHS_MS), level, **more)


@pytest.fixture
def client(redis_url):
    with connect(redis_url, 5_000) as found:
        yield found


@pytest.mark.parametrize("seed", range(12))
def test_a_window_counts_alike_on_both_twins_whatever_comes(client, seed):
    rnd = random.Random(seed)
    twins = Twins(client, rnd)
    limits = [a_window(rnd, "t:w", Level.TENANT), a_window(rnd, "a:w", Level.SHARED)]
    twins.open(*limits)
    for version in range(2, 120):
        what = rnd.randrange(10)
        slice_ms = max(1, limits[0].window_ms // limits[0].slices)
        if what < 4:
            twins.step(rnd.choice([1, 3, 20]), enqueue=tuple(twins.job() for _ in range(rnd.choice([1, 1, 6]))))
        elif what < 6:
            twins.send()
        elif what < 8:
            twins.settle()
        elif rnd.random() < 0.06:
            limits = [a_window(rnd, "t:w", Level.TENANT), limits[1]]
            twins.both(lambda gate, new=limits[0], version=version: gate.configure(Configuration(version, (new,))))
        twins.clock.now_ms += rnd.choice(
            [0, 1, slice_ms, slice_ms, slice_ms + 1, 3 * slice_ms, rnd.choice([17, 130, 239, 240, 241, 600]) * slice_ms]
        )
        twins.both(lambda gate: gate.inspect())


@pytest.mark.parametrize("amount", [10**6, 1_500])
@pytest.mark.parametrize("seed", range(4))
def test_a_window_with_something_in_every_slice_counts_alike_on_both_twins(client, seed, amount):
    """Time goes on in small steps, and a few larger ones, so that the window never has few slices with something in them."""
    rnd = random.Random(seed)
    twins = Twins(client, rnd)
    record = window("t:w", Metric.TOKENS, amount, 24_000, Level.TENANT, guard_ms=rnd.choice([0, 300]))
    twins.open(record)
    for turn in range(320):
        if turn % 9 == 3 or turn % 50 == 0:
            twins.settle()
            twins.send()
        twins.step(2, enqueue=(twins.job(),))
        twins.clock.now_ms += rnd.choice([50, 100, 100, 101, 250]) + (2_000 if turn % 50 == 49 else 0) + (20_000 if turn == 200 else 0)
        twins.both(lambda gate: gate.inspect())
    assert twins.both(lambda gate: gate.inspect()).limits[0].used > 0
    twins.clock.now_ms += 24_000 + 100 + record.guard_ms + 100
    assert twins.both(lambda gate: gate.inspect()).limits[0].used == 0
