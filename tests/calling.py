"""Entrances of several processes at one gate, driven by hand: their pumps step when the test says so, and letters arrive, or get lost."""

import asyncio

from rateguard.calls.call import Call, CallEnded
from rateguard.calls.entrance import Entrance
from rateguard.calls.held import HeldCalls
from rateguard.engine.gate.contract import Configuration, Holder, ModelRecord, ScopeRecord, Settlement, Step
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.money import Price, Usage
from rateguard.engine.providers.base import Outcome, Target
from rateguard.jobs.line.call_ids import node_of, node_of_holder
from rateguard.jobs.line.calling import call_of
from rateguard.jobs.line.publisher import Publisher
from rateguard.jobs.line.pump import Pump
from tenants.directory import Place
from tests.contract.gate_line import Clock, deployment, places

PLACE = Place(7, "mini", 1, Target("sim", "http://127.0.0.1", "", "sim-1"), Price(), is_priced=True, tenant_id=None)
SEND_BY_MS, DEAD_MS = 5_000, 12_000


class World:
    """A gate that lets two calls in at once; processes; letters on their way."""

    def __init__(self, *limits, processes=2):
        self.clock = Clock()
        self.gate = MemoryGate(GateSettings(SEND_BY_MS, DEAD_MS), self.clock)
        self.limits = limits or (places("c", 2),)
        self.letters = []
        self.epoch = 0
        self.rebuild()
        self.loop = asyncio.new_event_loop()
        self.processes = [Process(self, f"web:{number}:{number:012x}") for number in range(1, processes + 1)]
        self.tasks = []

    def rebuild(self):
        """The gate has lost everything, and stands again; it knows no row of a call."""
        self.epoch += 1
        self.gate.clear()
        model = ModelRecord("m", "m", (deployment(*(limit.id for limit in self.limits), name="7", output_pico=1_000_000),))
        self.gate.configure(Configuration(self.epoch, self.limits, (ScopeRecord("5"),), (model,)))
        self.gate.open(self.epoch)

    def deliver(self, number=0):
        """A letter arrives."""
        letter = self.letters.pop(number)
        for process in self.processes:
            if process.node == node_of(call_of(letter)):
                process.entrance.take([letter])

    def reap(self):
        """What nobody claimed in time comes back, as the reaper does it."""
        late = [held.reservation for held in self.gate.suspects(100) if not held.holder]
        self.gate.step(Step("reaper", self.clock.now_ms, settle=tuple(Settlement(one, used=False) for one in late)))

    def turn(self):
        """Whoever was woken goes on."""
        for _ in range(4):
            self.loop.run_until_complete(asyncio.sleep(0))

    def held(self):
        """The reservations of the gate, by id."""
        return {one.reservation: one for one in self.gate.held(0, 1_000)[1]}

    def close(self):
        """Everybody has left."""
        for task in self.tasks:
            task.cancel()
        self.turn()
        self.loop.close()


class Written:
    """A writer that commits when the test says so."""

    is_full = False

    def __init__(self):
        self.ended = []

    def add(self, finished):
        self.ended.append(finished)


class Process:
    """A process with an entrance, whose pump is never started: `step` is one call of the gate."""

    def __init__(self, world, holder):
        self.world = world
        self.holder = holder
        self.node = node_of_holder(holder)
        self.writer = Written()
        self.pump = Pump(world.gate, Publisher(), on_refused=lambda *_: None)
        self.calls = HeldCalls(world.gate, holder)
        self.entrance = Entrance(
            self.pump, holder, self.calls, self.writer, lambda *_: True, world.letters.extend, lambda number: PLACE if number == 7 else None
        )
        self.pump.door = self.entrance

    def call(self, **fields):
        """A small call of tenant 5."""
        wanted = {"input_tokens": 10, "output_tokens": 20, "max_output_tokens": 20, **fields}
        return Call(id=self.entrance.new_id(), tenant_id=5, model="m", gate_model="m", path="5", **wanted)

    def enter(self, call=None, timeout_s=60):
        """A call wants to go in: a task on the world's loop."""
        task = self.world.loop.create_task(self.entrance.enter(call or self.call(), timeout_s))
        self.world.tasks.append(task)
        self.world.turn()
        return task

    def step(self):
        """One call of the gate, with all that was gathered."""
        answered = self.pump._call(self.pump._gathered.take())
        if answered is not None:
            self.pump._act_on(*answered)
        self.world.turn()

    def steps(self, count=2):
        """Several."""
        for _ in range(count):
            self.step()

    def beat(self):
        """The heartbeat."""
        self.world.gate.beat(Holder(self.holder, 0, ()))
        self.entrance.beat()

    def lose_patience(self):
        """Whoever waits here has waited for so long that his grant may have been lost; and a heartbeat."""
        for waiter in self.entrance._waiting.all():
            waiter.seen_at -= 60
        self.beat()

    def hand_over(self, granted, other):
        """A call of this process is given back, and another process's step is the one that tells the gate."""
        self.calls.drop(granted.reservation)
        other.pump.settle([(Settlement(granted.reservation, used=False), None)])

    def commit(self, epoch=None):
        """What ended is in the rows."""
        for finished in self.writer.ended:
            self.entrance.written(finished, self.world.epoch if epoch is None else epoch)
        self.writer.ended.clear()


def answered(output_tokens=5):
    """A call that was answered."""
    return CallEnded.answered(Outcome(b"{}", Usage(input_tokens=10, output_tokens=output_tokens), "stop", "", 0.0, 0.0), 1)
