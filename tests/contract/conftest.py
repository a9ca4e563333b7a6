"""Both twins behind one fixture."""

import itertools

import pytest

from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.gate.redis import RedisGate, connect
from tests.contract.gate_line import MANY_SLOTS, Clock, Line

NO_BOUND = GateSettings(unsent_per_worker=MANY_SLOTS)


@pytest.fixture(params=["memory", "redis"])
def make_line(request, redis_url):
    """Makes lines to fresh gates of one twin: `make_line()` is not bounded by unsent grants, `make_line(GateSettings())` is."""
    clients, partitions = [], itertools.count()

    def make(settings: GateSettings = NO_BOUND) -> Line:
        clock = Clock()
        if request.param == "memory":
            return Line(MemoryGate(settings, clock), clock)
        clients.append(connect(redis_url, 5_000))
        return Line(RedisGate(clients[-1], settings, f"contract{next(partitions)}", clock), clock)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def line(make_line) -> Line:
    return make_line()
