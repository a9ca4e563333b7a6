"""Both twins take the same random steps, with injected time: they decide alike, what must hold holds after each step, all drains.

A failure is printed as a short program of the steps that lead to it, and the seed of its block; the same seed gives the same steps.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import uuid

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.gate.contract import (
    Cooldown,
    Holder,
    LimitReading,
    Sent,
    Settlement,
    Waiting,
    WorkClass,
)
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.lanes import Lane
from tests.contract import gate_world as world
from tests.contract.gate_line import START_MS, Clock
from tests.contract.gate_naive import Naive
from tests.contract.gate_pair import Pair
from tests.contract.gate_people import CHANGES, People

HOLDERS = (Holder("w1", 12, tuple(Lane)), Holder("w2", 4, (Lane.CRITICAL, Lane.HIGH)), Holder("web", 0, tuple(Lane)))
PASSING_MS = (1, 7, 50, 101, 999, 1_500, 5_001, 9_000, 61_000, 1_800_000, 3_600_000, 7_300_000, world.DAY_MS, 8 * world.DAY_MS)
CHANNELS = ("c1", "c2", "c3")

some = st.integers(0, 40)
picks = st.lists(some, min_size=1, max_size=4)
shapes = st.tuples(
    st.sampled_from(world.PATHS),
    st.sampled_from(world.LISTS),
    st.sampled_from(Lane),
    st.sampled_from((WorkClass.JOB, WorkClass.JOB, WorkClass.SYNC)),
    st.sampled_from(((1, 0, 20), (100, 10, 100), (400, 100, 300), (900, 50, 300), (4_000, 100, 300))),
    st.sampled_from((None, None, 5_000, 60_000)),
)

readings = st.builds(
    LimitReading,
    limit=st.sampled_from(("a1:t", "d1:r", "d3:l", "d3:o", "d4:t", "d2:c", "gone")),
    told=st.sampled_from((None, None, 3, 400, 6_000, 10**6)),
    remaining=st.sampled_from((None, 0, 2, 90, 5_000)),
    reset_ms=st.sampled_from((None, 0, 300, 20_000)),
    ago_ms=st.sampled_from((0, 0, 2, 40, 5_000, 400_000)),
)


class Gates(RuleBasedStateMachine):
    """The steps. Numbers in their arguments pick among what there is at that moment."""

    client = None
    steps = 0

    @initialize(seed=st.integers(0, 999))
    def open(self, seed):
        rnd, clock = random.Random(seed), Clock()
        patience = world.random_settings(rnd)
        self.pair = Pair(MemoryGate(patience, clock), RedisGate(self.client, patience, "random", clock), clock)
        self.ledger, self.clock = self.pair.ledger, clock
        self.living, self.ended, self.ids, self.is_sound = set(HOLDERS), [], itertools.count(1), True
        first = world.random_configuration(rnd)
        self.persons = People(self.pair, first)
        self.ledger.go_on(clock.now_ms)
        self.ledger.write(first)
        self.pair.rebuild()
        self.beat()

    @invariant()
    def everything_adds_up(self):
        type(self).steps += 1
        self.is_sound = False
        self.pair.check()
        self.is_sound = True

    def teardown(self):
        if hasattr(self, "pair"):
            if self.is_sound:
                self.drain()
            self.pair.redis.clear()

    # ---- work

    @rule(jobs=st.lists(shapes, min_size=4, max_size=16), want=st.sampled_from((0, 1, 5, 20)))
    def enqueue(self, jobs, want):
        self.is_sound = False
        self.pair.step("c1", want, enqueue=tuple(self.job(*shape) for shape in jobs))

    @rule(channel=st.sampled_from(CHANNELS), want=st.sampled_from((1, 2, 5, 50)))
    def pump(self, channel, want):
        self.is_sound = False
        self.pair.step(channel, want)

    @rule(which=picks, holder=st.sampled_from(HOLDERS), ago_ms=st.sampled_from((0, 3, 90, 4_000)), want=st.sampled_from((0, 3)))
    def sent(self, which, holder, ago_ms, want):
        """Whoever sends does so before the grant's time is over, and says so in his next call."""
        self.is_sound = False
        reports = []
        for reservation in self.pick(which, self.ledger.open):
            attempt = self.ledger.open[reservation]
            at_ms = max(self.clock.now_ms - ago_ms, attempt.at_ms)
            if not attempt.holder and at_ms <= attempt.grant.send_by_ms:
                reports.append(Sent(reservation, holder.id, self.clock.now_ms - at_ms))
        self.pair.step("c2", want, sent=tuple(reports))

    @rule(
        which=picks,
        figures=st.sampled_from(((0, 0), (1, 100), (5, 300), (50, 10_000))),
        verdict=st.sampled_from(Verdict),
        latency_ms=st.sampled_from((5, 5_000)),
        counted=st.sampled_from((None, None, 0, 20)),
        cools=st.sampled_from((None, None, None, Cooldown("a1", 2_000), Cooldown("d3", 50), Cooldown("a4", 900, "no money is left"))),
        told=st.tuples(st.sampled_from((0, 0, 90)), st.lists(readings, max_size=3)),
        want=st.sampled_from((0, 5)),
    )
    def settle(self, which, figures, verdict, latency_ms, counted, cools, told, want):
        self.is_sound = False
        (more, output), (cached, readings) = figures, told
        settled = []
        for reservation in self.pick(which, self.ledger.open):
            grant = self.ledger.open[reservation].grant
            used = grant.input_tokens + (more if more > 1 else 0), min(output, grant.max_output_tokens)
            cost = min(grant.cost, output * grant.cost // 300)
            settled.append(
                Settlement(reservation, True, *used, cost, counted, cools, verdict, latency_ms, min(cached, used[0]), tuple(readings))
            )
        self.end(settled, want)

    @rule(readings=st.lists(readings, max_size=3), lifted=st.lists(st.sampled_from(("a1", "a4", "d3")), max_size=2))
    def sync(self, readings, lifted):
        """Somebody asks the providers: what they tell is taken, and cooldowns are lifted."""
        self.is_sound = False
        self.pair.both(lambda gate: gate.sync(tuple(lifted), tuple(readings)))

    @rule(which=picks)
    def give_back(self, which):
        self.end([Settlement(reservation, used=False) for reservation in self.pick(which, self.ledger.open)], 0)

    @precondition(lambda self: self.ended)
    @rule(which=picks, used=st.booleans())
    def settle_again(self, which, used):
        self.is_sound = False
        gone = [self.ended[one % len(self.ended)] for one in which]
        self.pair.step(
            "c3", settle=tuple(Settlement(rid, used, 9, 9, 9, verdict=Verdict.FAILURE) for rid in gone if rid not in self.ledger.open)
        )

    @rule(which=picks, want=st.sampled_from((0, 2)))
    def cancel(self, which, want):
        self.is_sound = False
        self.pair.step("c1", want, withdraw=tuple(self.pair.waiting[job] for job in self.pick(which, self.pair.waiting)))

    @rule(which=picks)
    def enqueue_again(self, which):
        """A sweeper that does not know better brings in what waits or runs already."""
        self.is_sound = False
        waiting = [self.pair.waiting[job] for job in self.pick(which, self.pair.waiting)]
        running = [self.ledger.open[rid].job for rid in self.pick(which[:2], self.ledger.open)]
        known = [job for job in waiting if self.ledger.limits_on(job.path) is not None]
        self.pair.step("c2", enqueue=(*known, *(job for job in running if self.ledger.limits_on(job.path) is not None)))

    @rule(channel=st.sampled_from(CHANNELS), older=st.sampled_from((0, 0, 1)))
    def repeat(self, channel, older):
        """A reply was lost: the same call again, or a still older one, changes nothing and gets the newest reply."""
        if channel in self.pair.last:
            self.is_sound = False
            step, reply = self.pair.last[channel]
            asked = dataclasses.replace(step, number=step.number - older)
            assert self.pair.both(lambda gate: gate.step(asked)) == reply

    # ---- time, life and death

    @rule(ms=st.sampled_from(PASSING_MS))
    def time_passes(self, ms):
        self.is_sound = False
        if self.clock.now_ms + ms < START_MS + 30 * world.DAY_MS:
            self.pass_time(ms)

    @rule(which=some)
    def until_something_opens(self, which):
        """Whoever pumps sets a timer for what the gate says."""
        known = [reply for _, reply in self.pair.last.values() if reply.next_ready_ms]
        if known:
            self.is_sound = False
            self.pass_time(max(0, min(known[which % len(known)].next_ready_ms - self.clock.now_ms, world.DAY_MS)))
            self.pair.step("c3", 5)

    @rule(holder=st.sampled_from(HOLDERS), what=st.sampled_from(("crashes", "leaves", "starts", "starts")))
    def process(self, holder, what):
        self.is_sound = False
        if what == "starts":
            self.living.add(holder)
            self.beat()
        else:
            self.living.discard(holder)
        if what == "leaves":
            self.pair.both(lambda gate: gate.leave(holder.id))

    @rule(most=st.sampled_from((2, 100)), adopt=st.booleans())
    def reap(self, most, adopt):
        """The reaper: what nobody claimed is given back or adopted; what the dead held is charged, and its job waits again."""
        self.is_sound = False
        found = self.pair.both(lambda gate: gate.suspects(most))
        settled, again = [], []
        for held in found:
            attempt = self.ledger.open[held.reservation]
            assert (attempt.holder, held.is_alive) == (held.holder, False)
            if not held.holder and adopt:
                self.pair.both(lambda gate, rid=held.reservation: gate.adopt(rid, "w1"))
                self.ledger.send(held.reservation, "w1", self.clock.now_ms)  # the latest that it can have left
                continue
            job, grant = attempt.job, attempt.grant
            settled.append(Settlement(held.reservation, bool(held.holder), job.input_tokens, job.max_output_tokens, grant.cost))
            again.append(dataclasses.replace(job, attempt=held.reservation.attempt))
        self.end(settled, 0, tuple(job for job in again if self.ledger.limits_on(job.path) is not None))

    @rule(size=st.sampled_from((3, 100_000)))
    def look_at_all(self, size):
        self.is_sound = False
        if size > len(self.ledger.open):
            held = self.pair.both(lambda gate: sorted(gate.held(0, size)[1], key=lambda one: one.reservation))
            assert [one.reservation for one in held] == sorted(self.ledger.open)
        for path in world.PATHS[::5]:
            found = self.pair.both(lambda gate, path=path: gate.limits_of(path))
            assert self.ledger.limits_on(path) == (None if found is None else set(found))
        notices = self.pair.both(lambda gate: gate.notices((), 5))
        self.pair.both(lambda gate: gate.notices(tuple(notice.id for notice in notices), 100))

    @rule()
    def rebuild(self):
        self.is_sound = False
        self.pair.rebuild()
        self.beat()

    @rule()
    def what_can_go_goes(self):
        """With room and admissible work anywhere something is granted, at once or within moments that the gate names."""
        self.is_sound = False
        for _ in range(200):
            reply = self.pair.step("c1", 50)
            if reply.has_more or reply.granted or reply.refused:
                continue
            wrong = Naive(self.pair).wrongly_waiting()
            if not wrong:
                return
            assert reply.next_ready_ms, f"these wait although there is room: {wrong}"
            assert reply.next_ready_ms - self.clock.now_ms <= 100, f"these wait although there is room: {wrong}, {reply}"
            self.pass_time(reply.next_ready_ms - self.clock.now_ms)
        raise AssertionError(f"these never go: {wrong}")

    @rule(change=st.sampled_from(CHANGES), which=st.integers(0, 300))
    def people(self, change, which):
        self.is_sound = False
        getattr(self.persons, change)(which)

    # ---- what the steps are made of

    def job(self, path, model, lane, work_class, tokens, due_ms) -> Waiting:
        number = next(self.ids)
        name, now_ms = uuid.UUID(int=random.Random(number).getrandbits(128)), self.clock.now_ms
        due = None if due_ms is None else now_ms + due_ms
        return Waiting(name, model, path, lane, *tokens, now_ms + 1 - number % 3, number % 2, work_class, due)

    def pick(self, which, among) -> list:
        found = sorted(among)
        return list(dict.fromkeys(found[one % len(found)] for one in which)) if found else []

    def pass_time(self, ms) -> None:
        self.clock.now_ms += ms
        self.ledger.go_on(self.clock.now_ms)
        self.beat()

    def beat(self) -> None:
        for holder in sorted(self.living, key=lambda holder: holder.id):
            self.pair.beat(holder)

    def end(self, settled, want, again=()) -> None:
        self.is_sound = False
        self.ended += [settlement.reservation for settlement in settled]
        self.pair.step("c3", want, settle=tuple(settled), enqueue=again)

    def drain(self) -> None:
        """People lift what stops work for ever; then each job is granted or refused, and nothing is left behind."""
        self.living = set(HOLDERS)
        self.pair.step("c1", withdraw=tuple(job for job in self.pair.waiting.values() if job.model.startswith("none")))
        self.persons.lift_everything()
        for _ in range(3_000):
            if not self.pair.waiting and not self.ledger.open:
                break
            self.beat()
            self.end([Settlement(rid, True, 5, 5, 1, verdict=Verdict.SUCCESS) for rid in self.ledger.open], 20)
            _, reply = self.pair.last["c3"]
            if not reply.granted and not reply.refused and not reply.has_more and self.pair.waiting:
                assert reply.next_ready_ms, f"stuck: {list(self.pair.waiting.values())[:3]} {reply}"
                self.pass_time(min(reply.next_ready_ms - self.clock.now_ms, 60_000))
        self.pair.check()
        assert not self.pair.waiting, f"never granted: {list(self.pair.waiting.values())[:3]}"


def run(redis_url: str, at_least: int, seeds: range) -> None:
    """Run the machine from one seed after the other until so many steps are done."""
    how = settings(
        max_examples=10,
        stateful_step_count=60,
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with connect(redis_url, 5_000) as client:
        machine = type("Gates", (Gates,), {"client": client, "steps": 0})
        for seed in seeds:
            run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=how)
            if machine.steps >= at_least:
                return
    raise AssertionError(f"only {machine.steps} steps in {seeds}")


@pytest.mark.timeout(600)
def test_both_twins_take_the_same_random_steps_alike_and_no_rule_is_ever_broken(redis_url):
    run(redis_url, 1_000, range(1_000))


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("block", range(8))
def test_both_twins_take_very_many_random_steps_alike(redis_url, block):
    run(redis_url, 2_500, range(1_000 * (block + 1), 1_000 * (block + 2)))
