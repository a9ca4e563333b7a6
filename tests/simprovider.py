"""The simulated provider for tests: `from tests.simprovider import sim, sim_process` gives a module its fixtures.

`sim_process` is one real process a session (a worker of pytest-xdist has its own); `sim` is it, emptied and unconfigured, for one test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from rateguard.engine.providers.sim.process import SimHandle, start_simprovider

__all__ = ["sim", "sim_process", "wait_for"]

T = TypeVar("T")


def wait_for(condition: Callable[[], T], within_s: float = 10.0) -> T:
    """The condition's value as soon as it is true; a process of its own can only be asked."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="session")
def sim_process() -> Iterator[SimHandle]:
    handle = start_simprovider()
    yield handle
    handle.stop()


@pytest.fixture
def sim(sim_process: SimHandle) -> SimHandle:
    sim_process.control.reset()
    sim_process.control.configure(seed=1, keys=[], models=[], limits={}, prices={}, latency={}, output={}, cache={}, quirks=[])
    return sim_process
