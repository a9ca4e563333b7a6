"""Over a long backlog of random sizes, weights and lanes: the floor of each lane, and a bound on the error of all shares, on both twins.

The bound is that of start-time fair queuing: two who always have work never differ by more than a largest job each, by weight.
"""

from __future__ import annotations

import collections
import itertools
import random
import uuid

import hypothesis
import pytest
from hypothesis import Phase
from hypothesis import strategies as st

from rateguard.engine.gate.contract import Configuration, Grant, Holder, ScopeRecord, Step, Waiting
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.lanes import Lane
from tests.contract.gate_line import MANY_SLOTS, START_MS, Clock, deployment, model

FLOOR = 20
LARGEST = 2_000
WEIGHTS = (1, 2, 3, 10)
ROUNDING = 1
"""Tags are whole hundredths of a token by weight, rounded down once a grant."""


class Backlog:
    """Tenants with users who all have work in all lanes and models, for as long as the test takes."""

    def __init__(self, seed: int, gates, each: int) -> None:
        self.rnd, self.gates, self.number = random.Random(seed), gates, 0
        self.lanes = self.rnd.sample(list(Lane), self.rnd.choice([2, 3, 5]))
        self.weight = {f"{t}": self.rnd.choice(WEIGHTS) for t in range(self.rnd.choice([2, 3]))}
        self.weight |= {f"{t}|user:{u}": self.rnd.choice(WEIGHTS) for t in list(self.weight) for u in range(2)}
        models = (model("m", deployment()), model("n", deployment(name="2")))
        nodes = tuple(ScopeRecord(node, weight=weight) for node, weight in self.weight.items())
        for gate in gates:
            gate.configure(Configuration(1, scopes=nodes, models=models))
            gate.open(1)
            gate.beat(Holder("w", MANY_SLOTS, tuple(Lane)))
        self.path_of: dict[uuid.UUID, str] = {}
        self.served: collections.Counter[tuple[Lane, str]] = collections.Counter()
        self.lane_of: list[Lane] = []
        for path, lane in itertools.product((node for node in self.weight if "|" in node), self.lanes):
            self.step(enqueue=tuple(self.job(path, lane) for _ in range(each)))

    def job(self, path: str, lane: Lane) -> Waiting:
        name, size = uuid.UUID(int=self.rnd.getrandbits(128)), self.rnd.choice([5, 80, 700, LARGEST])
        self.path_of[name] = path
        return Waiting(name, self.rnd.choice("mn"), path, lane, 1, size - 1, size - 1, START_MS)

    def step(self, want: int = 0, **parts) -> tuple[Grant, ...]:
        self.number += 1
        replies = [gate.step(Step("c", self.number, want, **parts)) for gate in self.gates]
        assert replies[0] == replies[1]
        return replies[0].granted

    def take(self, want: int) -> None:
        granted = self.step(want)
        assert len(granted) == want, "there is work for all that was asked for"
        for grant in granted:
            path, tokens = self.path_of[grant.reservation.job], grant.input_tokens + grant.max_output_tokens
            self.lane_of.append(grant.lane)
            self.served.update({(grant.lane, path): tokens, (grant.lane, path.partition("|")[0]): tokens})

    def check_floor(self) -> None:
        """Of any twenty grants, and one more for each other lane that is owed too, each lane has one."""
        stretch = FLOOR + len(self.lanes)
        for start in range(0, len(self.lane_of) - stretch, 7):
            assert set(self.lane_of[start : start + stretch]) == set(self.lanes), f"a lane has none of {stretch} grants from {start} on"

    def check_shares(self) -> None:
        """Tenants among all, users inside their tenant; lane by lane."""
        groups = [[node for node in self.weight if "|" not in node]]
        groups += [[node for node in self.weight if node.startswith(f"{tenant}|")] for tenant in groups[0]]
        for lane, group in itertools.product(self.lanes, groups):
            for one, other in itertools.combinations(group, 2):
                error = abs(self.served[lane, one] / self.weight[one] - self.served[lane, other] / self.weight[other])
                bound = LARGEST / self.weight[one] + LARGEST / self.weight[other] + ROUNDING
                assert error <= bound, f"{lane.label}: {one} and {other} differ by {error}, more than {bound}"


def hold_fairness(redis_url: str, examples: int, grants: int) -> None:
    patience = GateSettings(unsent_per_worker=MANY_SLOTS)

    @hypothesis.seed(1)
    @hypothesis.settings(max_examples=examples, deadline=None, database=None, phases=(Phase.generate,), print_blob=True)
    @hypothesis.given(seed=st.integers(0, 10**6))
    def hold(seed: int) -> None:
        clock = Clock()
        with connect(redis_url, 5_000) as client:
            gates = MemoryGate(patience, clock), RedisGate(client, patience, "fairness", clock)
            for gate in gates:
                gate.clear()
            backlog = Backlog(seed, gates, grants + 30)
            while len(backlog.lane_of) < grants:
                backlog.take(backlog.rnd.choice([1, 7, 30]))
                backlog.check_shares()
            backlog.check_floor()

    hold()


def test_no_lane_falls_below_its_floor_and_no_share_is_off_by_more_than_a_largest_job_each(redis_url):
    hold_fairness(redis_url, examples=4, grants=200)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_floors_and_shares_hold_in_many_long_backlogs(redis_url):
    hold_fairness(redis_url, examples=40, grants=600)
