"""The twins have the same figures, and keep nothing of what is over."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from rateguard.engine.breaker import breaker
from rateguard.engine.breaker.rule import DEFAULT_RULE, BreakerState, Verdict
from rateguard.engine.gate import admission, breakers, choosing, codec, contract, holders, room, statistics
from rateguard.engine.gate.contract import LimitUse, WorkClass
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.limits import states, table
from rateguard.engine.limits.limit import Exhausted, Kind, Level, Metric
from rateguard.engine.routing.contract import Mode
from tests.contract.gate_line import MANY_SLOTS, Clock, Line

ENGINE = Path(breaker.__file__).parent.parent
SHARED = {
    "breaker/breaker.lua": [breaker, breakers, BreakerState, Verdict],
    "limits/limits.lua": [states, Kind],
    "limits/edits.lua": [table],
    "limits/rules.lua": [Exhausted, Metric],
    "gate/lua/admit.lua": [admission, codec, room, Level],
    "gate/lua/asking.lua": [codec],
    "gate/lua/choose.lua": [choosing, WorkClass],
    "gate/lua/holders.lua": [holders],
    "gate/lua/lists.lua": [Mode],
    "gate/lua/notices.lua": [contract],
    "gate/lua/parking.lua": [room, Level, WorkClass],
    "gate/lua/reserve.lua": [WorkClass, breakers],
    "gate/lua/room.lua": [states],
    "gate/lua/statistics.lua": [statistics, Verdict],
}


def figures_of(text: str) -> dict[str, int]:
    """`local A, B = 1, 2 ^ 50`: {"A": 1, "B": 2 ** 50}."""
    found = {}
    for names, values in re.findall(r"^local ([A-Z_, ]+) = ([-\d^, ]+)(?: --.*)?$", text, re.MULTILINE):
        for name, value in zip(names.split(", "), values.split(", "), strict=True):
            base, _, power = value.partition(" ^ ")
            found[name] = int(base) ** int(power or 1)
    return found


def named_in(place, name: str) -> int | None:
    return getattr(place, name, None)


@pytest.mark.parametrize("path", SHARED)
def test_a_figure_that_both_twins_name_is_one(path):
    figures = figures_of((ENGINE / path).read_text(encoding="utf-8"))
    both = {name: (value, named_in(place, name)) for name, value in figures.items() for place in SHARED[path] if hasattr(place, name)}

    assert both
    assert {name for name, (ours, theirs) in both.items() if ours != theirs} == set()


def test_a_deployment_that_is_no_longer_named_has_the_default_rule_in_lua_too():
    text = (ENGINE / "gate/lua/reserve.lua").read_text(encoding="utf-8")
    found = re.search(r"^local DEFAULT_RULE = \{([^}]+)\}", text, re.MULTILINE)

    fields = dict(field.split(" = ") for field in re.split(r",\s+", found[1]))

    assert {name: int(value) for name, value in fields.items()} == dataclasses.asdict(DEFAULT_RULE)


def test_the_bounds_of_a_gate_are_those_that_are_told():
    assert (contract.MOST_NODES, contract.MOST_NOTICES) == (100_000, 10_000)
    assert GateSettings() == GateSettings(send_by_ms=5_000, dead_after_ms=12_000, unsent_per_worker=100, most_nodes=100_000)


def test_a_limit_of_which_nothing_more_is_said_has_nothing_reserved_and_room_now():
    assert LimitUse("l", 1, 2) == LimitUse("l", 1, 2, reserved=0, next_ms=0)


def test_a_gate_keeps_nothing_of_paths_whose_work_is_done():
    clock = Clock()
    line = Line(MemoryGate(GateSettings(unsent_per_worker=MANY_SLOTS), clock), clock)
    line.open()
    line.enqueue(*(line.job(f"p|user:{number}") for number in range(50)))

    assert len(line.admit_all()) == 50
    assert len(line.gate._room.jobs) == 0


def test_configuration_is_read_once_and_not_by_each_call(redis_url):
    with connect(redis_url, 5_000) as client:
        line = Line(RedisGate(client, GateSettings(unsent_per_worker=MANY_SLOTS), "once", clock := Clock()), clock)
        line.open()
        reads = []
        for _ in range(6):
            line.enqueue(line.job())
            before = client.info("commandstats")
            assert len(line.step(1).granted) == 1
            after = client.info("commandstats")
            reads.append(
                sum(after[f"cmdstat_{name}"]["calls"] - before.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("get", "mget"))
            )

    # how the gate stands, and what is used of limits; of models and scopes nothing. Who else uses the server only adds.
    assert min(reads[1:]) <= 2
