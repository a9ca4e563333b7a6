"""Going in: a call holds a reservation exactly while somebody is there to end it, in whatever order things happen."""

import random

import pytest

from rateguard.engine.errors import GateError, GateUnavailable
from rateguard.engine.gate.contract import WorkClass
from tests.calling import SEND_BY_MS, World, answered
from tests.contract.gate_line import requests


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def test_a_call_is_in_when_the_gate_knows_whose_it_is(world):
    web = world.processes[0]
    task = web.enter()
    web.step()
    assert not task.done()
    web.step()
    granted = task.result()
    held = world.held()[granted.reservation]
    assert (held.holder, held.work_class, granted.place.id, granted.epoch) == (web.holder, WorkClass.SYNC, 7, world.epoch)


def test_a_grant_of_another_processs_step_reaches_the_one_that_waits(world):
    here, there = world.processes
    first, second = here.enter(), here.enter()
    here.steps()
    waiting = here.enter()
    here.step()
    here.hand_over(first.result(), there)
    there.step()
    assert (waiting.done(), len(world.letters)) == (False, 1)
    world.deliver()
    here.step()
    assert set(world.held()) == {second.result().reservation, waiting.result().reservation}


def test_who_left_gets_nothing_and_a_grant_that_comes_too_late_goes_back(world):
    here, there = world.processes
    first, second = here.enter(), here.enter()
    here.steps()
    waiting = here.enter()
    here.step()
    here.hand_over(first.result(), there)
    there.step()
    waiting.cancel()
    world.turn()
    world.deliver()
    here.steps()
    assert set(world.held()) == {second.result().reservation}
    assert not here.entrance.is_waiting


def test_who_leaves_between_grant_and_claim_leaves_nothing_behind(world):
    web = world.processes[0]
    task = web.enter()
    web.step()
    task.cancel()
    world.turn()
    web.steps(3)
    assert not world.held()


def test_a_grant_that_was_lost_on_its_way_is_asked_for_again(world):
    here, there = world.processes
    first, _ = here.enter(), here.enter()
    here.steps()
    waiting = here.enter()
    here.step()
    here.hand_over(first.result(), there)
    there.step()
    lost = world.letters.pop()
    world.clock.now_ms += SEND_BY_MS + 1
    world.reap()
    here.lose_patience()
    here.steps()
    assert waiting.result().reservation in world.held()
    here.entrance.take([lost])  # it was only late: nothing is taken from who has it now
    here.steps()
    assert waiting.result().reservation in world.held()


def test_a_grant_that_is_claimed_too_late_is_void_and_so_is_its_number(world):
    here = world.processes[0]
    task = here.enter()
    here.step()
    world.clock.now_ms += SEND_BY_MS
    here.steps(4)
    assert task.result().reservation.attempt == 2
    assert set(world.held()) == {task.result().reservation}


def test_who_comes_while_the_gate_is_away_is_turned_away_and_who_is_in_line_waits_on(world):
    web = world.processes[0]
    for _ in range(2):
        web.enter()
    web.steps()
    in_line = web.enter()
    web.step()
    new = web.enter()
    gathered = web.pump._gathered.take()
    web.entrance.unanswered(web.pump._step(gathered, 0.0), GateUnavailable("away"))
    world.turn()
    assert isinstance(new.exception(), GateError)
    assert not in_line.done()
    web.pump._is_away = True
    refused = web.enter()
    assert isinstance(refused.exception(), GateUnavailable)


@pytest.mark.parametrize("what", ["gone", "not to be asked"])
def test_a_grant_for_a_place_that_nobody_knows_goes_back_and_its_call_does_not_wait_for_ever(world, what):
    def place_of(number):
        if what == "gone":
            return
        raise OSError(number)

    web = world.processes[0]
    web.entrance._waiting._place_of = place_of
    task = web.enter()
    web.steps(12)
    assert isinstance(task.exception(), GateUnavailable)
    assert (world.held(), world.gate.inspect(()).waiting) == ({}, 0)


def test_an_end_settles_once_and_only_what_is_held(world):
    web = world.processes[0]
    task = web.enter()
    web.steps()
    granted = task.result()
    web.entrance.settle(granted, answered())
    web.entrance.settle(granted, answered())
    web.entrance.give_back(granted)
    assert len(web.writer.ended) == 1
    web.commit()
    web.step()
    assert not world.held()
    assert len(web.calls) == 0


def test_a_new_gate_hears_of_who_runs_before_it_lets_others_in(world):
    here, there = world.processes
    running = [here.enter(), here.enter()]
    here.steps()
    waiting = here.enter()
    here.step()
    world.rebuild()
    here.beat()
    assert here.pump._is_kicked
    here.step()
    there.step()
    assert set(world.held()) == {task.result().reservation for task in running}
    assert not waiting.done()
    here.entrance.give_back(running[0].result())
    here.steps(3)
    assert waiting.result().reservation in world.held()


@pytest.mark.parametrize("moment", ["before", "announced", "after"])
def test_a_call_that_ends_around_a_rebuild_counts_once(moment):
    """As a window of 100 sees it: its row is counted by a rebuild that comes after its commit, and by nobody else."""
    world = World(requests("w", 100))
    web = world.processes[0]
    task = web.enter()
    web.steps()
    web.entrance.settle(task.result(), answered())
    before = world.epoch
    world.rebuild()
    by_row = 1 if moment == "before" else 0
    if moment == "before":  # the rebuild has counted the row; what the process hears first does not matter
        web.step()
        web.commit(before)
    elif moment == "announced":
        web.step()
        web.commit()
    else:
        web.commit()
        web.step()
    web.steps(3)
    (use,) = world.gate.inspect(("w",)).limits
    assert use.used + by_row == 1
    assert not world.held()
    assert len(web.calls) == 0
    world.close()


# ---- any order


class Random:
    """Random things happen to two processes and their letters; after each, who was let in holds what he was let in with."""

    def __init__(self, seed):
        self.rnd = random.Random(seed)
        self.world = World()
        self.inside = []

    def run(self, steps):
        acts = [self.enter, self.enter, self.leave, self.step, self.step, self.step, self.letter, self.lose, self.end, self.wait, self.reap]
        for _ in range(steps):
            self.rnd.choice(acts)()
            self.world.turn()
            self.gather()
            self.check()
        self.finish()

    def enter(self):
        self.rnd.choice(self.world.processes).enter()

    def leave(self):
        if self.world.tasks:
            self.rnd.choice(self.world.tasks).cancel()

    def step(self):
        self.rnd.choice(self.world.processes).step()

    def letter(self):
        if self.world.letters:
            self.world.deliver(self.rnd.randrange(len(self.world.letters)))

    def lose(self):
        if self.world.letters and self.rnd.random() < 0.3:
            self.world.letters.pop()

    def end(self):
        if self.inside:
            process, granted = self.inside.pop(self.rnd.randrange(len(self.inside)))
            if self.rnd.random() < 0.5:
                process.entrance.give_back(granted)
            else:
                process.entrance.settle(granted, answered())
                process.commit()

    def wait(self):
        self.world.clock.now_ms += self.rnd.choice([10, 1_000, SEND_BY_MS])
        for process in self.world.processes:
            process.beat()

    def reap(self):
        self.world.reap()
        for process in self.world.processes:
            process.lose_patience()

    def gather(self):
        """Who is in by now."""
        for task in [task for task in self.world.tasks if task.done()]:
            self.world.tasks.remove(task)
            if not task.cancelled():
                granted = task.result()
                process = next(one for one in self.world.processes if granted.reservation in one.calls)
                self.inside.append((process, granted))

    def check(self):
        held = self.world.held()
        assert len(held) <= 2
        for process, granted in self.inside:
            assert held[granted.reservation].holder == process.holder

    def finish(self):
        for task in self.world.tasks:
            task.cancel()
        self.world.turn()
        self.gather()
        while self.inside:
            self.end()
        while self.world.letters:
            self.world.deliver()
        for _ in range(3):
            for process in self.world.processes:
                process.steps(3)
            self.world.clock.now_ms += SEND_BY_MS + 1
            self.world.reap()
        assert not self.world.held()
        assert self.world.gate.inspect(()).waiting == 0
        assert all(not process.entrance.is_waiting and len(process.calls) == 0 for process in self.world.processes)
        self.world.close()


@pytest.mark.parametrize("seed", range(10))
def test_in_no_order_a_reservation_is_left_or_missing(seed):
    Random(seed).run(60)


@pytest.mark.long
def test_in_no_order_of_many_a_reservation_is_left_or_missing():
    for seed in range(100, 300):
        Random(seed).run(120)
