"""Both twins take the same random steps, with injected time, and decide alike; then everything drains."""

from __future__ import annotations

import random

import pytest

from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.gate.redis import RedisGate, connect
from tests.contract.gate_world import Clock, World, random_configuration


def run_world(redis_url: str, seed: int) -> None:
    rnd, clock = random.Random(seed), Clock()
    client = connect(redis_url, 5_000)
    gates = (MemoryGate(clock_ms=clock), RedisGate(client, partition=f"random{seed}", now_ms=clock))
    world = World(rnd, gates, clock, random_configuration(rnd))
    try:
        world.open()
        for _ in range(rnd.choice([60, 150])):
            world.random_step()
        world.drain()
    finally:
        gates[1].clear()
        client.close()


@pytest.mark.parametrize("seed", range(20))
def test_twins_decide_alike_and_every_job_is_granted_once(redis_url, seed):
    run_world(redis_url, seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_twins_decide_alike_in_many_worlds(redis_url, block):
    for seed in range(1_000 + block * 10, 1_010 + block * 10):
        run_world(redis_url, seed)
