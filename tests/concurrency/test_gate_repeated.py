"""A call whose reply was lost after the server ran it is sent again: it answers the same, and nothing counts twice."""

import dataclasses

import pytest

from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.errors import GateEpochLost, GateUnavailable
from rateguard.engine.gate.contract import Charge, Configuration, Cooldown, Gate, Holder, ReservationId, Running, Settlement, Step
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.keys import gate_prefix
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Level
from tests.concurrency.wire import Wire
from tests.contract.gate_line import Clock, Line, budget, deployment, ended, model, node, places, requests, sent, tokens

LIMITS = (
    requests("a:r", 40, guard_ms=500, gives_back=False),
    tokens("t:t", 2_000, 10_000, Level.TENANT),
    tokens("u:t", 900, 10_000, Level.LEAF),
    places("t:c", 6, Level.TENANT),
    budget("t:b", 60_000, thresholds=(10,)),
)
SCOPES = (node("p", "t:t", "t:c", "t:b", user=("u:t",)), node("q"))
MODELS = (model("m", deployment("a:r", output_pico=1_000_000)),)
CONFIGURATION = Configuration(1, LIMITS, SCOPES, MODELS)
MARKS = ("stamp", "writes", "rebuild")
"""Keys that only say that something was written."""


@dataclasses.dataclass
class Busy:
    """A gate in the middle of its work, and what its caller knows of it."""

    line: Line
    partition: str

    def __post_init__(self) -> None:
        line = self.line
        line.gate.clear()
        line.gate.configure(CONFIGURATION)
        line.gate.open(1)
        line.beat("w", 50)
        line.beat("dead", 50)
        line.beat("idle", 50)
        spent = line.step(1, enqueue=line.jobs(1, "p|user:a", size=9)).granted
        line.step(sent=sent(spent), settle=ended(spent, input_tokens=1, cost=6_500, verdict=Verdict.FAILURE))
        self.waiting = line.enqueue(*line.jobs(9, "p|user:a", size=9), *line.jobs(9, "q", size=5))
        self.running = line.step(4).granted
        line.step(sent=(*sent(self.running[:2]), *sent(self.running[2:], "dead")))
        self.unclaimed = line.step(2).granted
        line.die("dead")
        line.die("idle")
        for _ in range(5):
            line.wait(3_000)

    @property
    def gate(self) -> Gate:
        return self.line.gate

    def everything(self) -> Step:
        """A step that does all that a step can."""
        claimed, returned = self.unclaimed
        settle = (
            *ended(self.running[:1], input_tokens=3, output_tokens=4, cost=4_000, counted_ago_ms=1, verdict=Verdict.SUCCESS, latency_ms=9),
            Settlement(returned.reservation, used=False),
            dataclasses.replace(*ended(self.running[1:2], input_tokens=1, verdict=Verdict.FAILURE), cooldown=Cooldown("d9", 700)),
        )
        new = self.line.jobs(3, "p|user:b", size=4, lane=Lane.HIGH)
        return Step("another", 1, 3, sent((claimed,), ago_ms=20), settle, self.waiting[-2:], new)

    def refund(self) -> Step:
        return Step("another", 1, settle=tuple(Settlement(grant.reservation, used=False) for grant in (*self.running, *self.unclaimed)))

    def edit(self) -> Configuration:
        limits = (requests("a:r", 10, guard_ms=500, gives_back=False), tokens("t:t", 500, 20_000, Level.TENANT))
        return Configuration(2, limits, (node("p", "t:t", "t:b"),), forget_limits=("t:c",), forget_scopes=("q",))


CALLS = {
    "epoch": lambda busy: busy.gate.epoch(),
    "step": lambda busy: busy.gate.step(busy.made),
    "refund": lambda busy: busy.gate.step(busy.made),
    "beat": lambda busy: busy.gate.beat(Holder("new", 7, (Lane.LOW,))),
    "leave": lambda busy: busy.gate.leave("w"),
    "adopt": lambda busy: busy.gate.adopt(busy.unclaimed[0].reservation, "w"),
    "adopt_unknown": lambda busy: busy.gate.adopt(ReservationId(busy.waiting[-1].job, 9), "w"),
    "suspects": lambda busy: busy.gate.suspects(99),
    "held": lambda busy: busy.gate.held(0, 99),
    "configure": lambda busy: busy.gate.configure(busy.edit()),
    "clear": lambda busy: busy.gate.clear(),
    "open": lambda busy: busy.gate.open(2),
    "inspect": lambda busy: busy.gate.inspect(),
    "limits_of": lambda busy: busy.gate.limits_of("p|user:a"),
    "notices": lambda busy: busy.gate.notices(busy.made, 99),
    "reset_breaker": lambda busy: busy.gate.reset_breaker("1"),
    "restore_running": lambda busy: busy.gate.restore((), busy.made, ()),
    "restore_waiting": lambda busy: busy.gate.restore((), (), busy.waiting),
}
"""Every method of the contract. Of `restore` the charges are left out: after `clear` each part of them is sent once."""

MAKES = {
    "step": Busy.everything,
    "refund": Busy.refund,
    "notices": lambda busy: (busy.gate.notices((), 99)[0].id,),
    "restore_running": lambda busy: (Running(dataclasses.replace(busy.line.job("p", size=9), attempt=3), "1", "w", 100, 5_000),),
}
"""What is made once and sent twice."""


@pytest.fixture
def wire(valkey):
    made = Wire(valkey.port)
    yield made
    made.close()


@pytest.fixture
def twins(redis_url, wire):
    """The same work at a gate behind a wire and at one that is asked directly; and a client that sees their keys."""
    with connect(wire.url, 5_000) as far, connect(redis_url, 5_000) as near:
        lines = [
            Busy(Line(RedisGate(client, partition=name, now_ms=(clock := Clock())), clock), name)
            for name, client in (("far", far), ("near", near))
        ]
        yield *lines, near


READERS = {
    b"string": lambda client, key: client.get(key),
    b"hash": lambda client, key: client.hgetall(key),
    b"set": lambda client, key: client.smembers(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
}


def keys_of(client, partition):
    """All that the gate keeps, by key."""
    prefix = gate_prefix(partition)
    names = [key.decode() for key in client.keys(f"{prefix}*")]
    return {name[len(prefix) :]: READERS[client.type(name)](client, name) for name in names if name[len(prefix) :] not in MARKS}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_whose_reply_was_lost_answers_the_same_again_and_counts_once(twins, wire, name):
    far, near, client = twins
    for busy in (far, near):
        if name == "open":
            busy.gate.clear()
            busy.gate.configure(CONFIGURATION)
        busy.made = MAKES.get(name, lambda _: None)(busy)
    before = keys_of(client, "far")
    assert before == keys_of(client, "near")

    wire.lose(1)
    with pytest.raises(GateUnavailable):
        CALLS[name](far)

    assert wire.lost == 1
    assert CALLS[name](far) == CALLS[name](near)
    assert keys_of(client, "far") == keys_of(client, "near")


@pytest.mark.parametrize("name", ["step", "refund"])
def test_a_step_that_comes_late_once_more_changes_nothing_after_later_ones(twins, name):
    far, near, client = twins
    for busy in (far, near):
        busy.made = MAKES[name](busy)
        CALLS[name](busy)
        busy.gate.step(Step("another", 2, 2))
    CALLS[name](far)
    assert keys_of(client, "far") == keys_of(client, "near")


def test_a_part_of_an_earlier_rebuild_that_comes_late_changes_nothing(twins):
    """A rebuild was given up with a call on its way, which arrives while the next rebuild goes on."""
    far, near, client = twins
    given_up = RedisGate(client, partition="far", now_ms=far.line.clock)
    given_up.clear()
    for busy in (far, near):
        busy.gate.clear()
        busy.gate.configure(CONFIGURATION)
    for late in (lambda: given_up.restore((Charge("t:b", 9_000, 0),), (), ()), lambda: given_up.open(1)):
        with pytest.raises(GateEpochLost):
            late()
    assert far.gate.epoch() is None
    for busy in (far, near):
        busy.gate.open(2)
    assert keys_of(client, "far") == keys_of(client, "near")
