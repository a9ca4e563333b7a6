"""Two `window` limits of a strict provider under a backlog: never exceeded, and used; undisturbed and with every kind of trouble."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import random
import time
from collections.abc import Callable
from typing import Any

from rateguard.engine.providers.sim.config import REQUESTS, TOKENS, LimitRule
from rateguard.proofs.findings import Line, at_least, at_most, exactly, told
from rateguard.proofs.fleet import PROCESSES, Fleet, fleet_of
from rateguard.proofs.site import Site, close_connections
from rateguard.proofs.world import Sizes, World, holders, sleep_until, waiting
from tenants.models import GateEpoch

WINDOW_MS = 10_000
LIMITS = (LimitRule(REQUESTS, 100, WINDOW_MS), LimitRule(TOKENS, 10_000, WINDOW_MS))
MIXED: Sizes = (50, 250)
"""100 requests of 150 tokens on average are more than 10,000: the limit on tokens binds."""
EVEN: Sizes = (50, 50)
"""100 requests of 50 tokens are 5,000: the limit on requests binds."""
JOBS_A_SECOND = 14
"""More than the limits let through, so that there is a backlog to the end."""
LEAST_USE = 95.0
"""Per cent: rule 4 for windows of 10 s."""
AHEAD_S = 300
KILL_EVERY_S = (6.0, 14.0)
PACED = 100
"""Permille of a limit that may come at once: work flows without a break, so that every kill hits some under way."""

Trouble = Callable[[Fleet, float], list[Line]]
"""What is done to the fleet until a moment of the provider's clock; returns lines of its own."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Run:
    """What is sent, which limit binds, and whether it must be used well: not where everything is down for a while."""

    sizes: Sizes
    binding: str
    has_aim: bool = True
    burst_permille: int = 1_000
    clock_ahead_s: int = 0


def tokens(site: Site, seconds: float) -> list[Line]:
    """Requests of 50 to 250 tokens; the limit on tokens binds."""
    return _prove(site, seconds, _Run(MIXED, TOKENS), _nothing)


def requests(site: Site, seconds: float) -> list[Line]:
    """Requests of 50 tokens; the limit on requests binds."""
    return _prove(site, seconds, _Run(EVEN, REQUESTS), _nothing)


def kills(site: Site, seconds: float) -> list[Line]:
    """Workers are killed by turns, as a crash would, and started again."""
    return _prove(site, seconds, _Run(EVEN, REQUESTS, burst_permille=PACED), _kill_by_turns)


def clock(site: Site, seconds: float) -> list[Line]:
    """One worker's clock is five minutes ahead."""
    return _prove(site, seconds, _Run(EVEN, REQUESTS, clock_ahead_s=AHEAD_S), _read_clock)


def restart(site: Site, seconds: float) -> list[Line]:
    """Everything but the provider is killed twice and comes back, the second time without Redis's data."""
    return _prove(site, seconds, _Run(MIXED, TOKENS, has_aim=False), lambda fleet, end_ms: _restart_all(site, fleet, end_ms))


def _prove(site: Site, seconds: float, run: _Run, trouble: Trouble) -> list[Line]:
    world = World(site, LIMITS, burst_permille=run.burst_permille)
    with fleet_of(site, clock_ahead_s=run.clock_ahead_s) as fleet:
        world.submit_many(int(seconds * JOBS_A_SECOND), run.sizes)
        began_ms = world.first_arrival_ms()
        end_ms = began_ms + seconds * 1_000
        seen = trouble(fleet, end_ms)
        sleep_until(end_ms)
        left = waiting()
    stats = world.control.stats(began_ms - 1, end_ms)
    return [*_kept(stats), _use(stats, run), at_least("jobs that still wait at the end", left, 1, digits=0), *seen]


def _kept(stats: dict[str, Any]) -> list[Line]:
    """What the provider saw: nothing over a limit, nothing refused."""
    offered = max(limit["worst_offered_ratio"] for limit in stats["limits"])
    return [
        told("requests at the provider", f"{stats['requests']:,}"),
        exactly("refused with 429", stats["replies_429"], 0),
        at_most("fullest window, share of its limit", offered, 1.0, digits=4),
    ]


def _use(stats: dict[str, Any], run: _Run) -> Line:
    ratio = next(limit["mean_window_ratio"] for limit in stats["limits"] if limit["metric"] == run.binding)
    what = f"use of the limit on {run.binding}, mean of all windows"
    used = 100 * (ratio or 0.0)
    return at_least(what, used, LEAST_USE, " %", 1) if run.has_aim else told(what, f"{used:.1f} %")


# ---- troubles


def _nothing(_: Fleet, end_ms: float) -> list[Line]:
    sleep_until(end_ms)
    return [at_least("workers that sent requests", holders(), PROCESSES, digits=0)]


def _kill_by_turns(fleet: Fleet, end_ms: float) -> list[Line]:
    """SIGKILL to one worker at a time; the next comes once the one before is back."""
    chance, killed = random.Random(1), 0
    while time.time() * 1_000 + KILL_EVERY_S[1] * 1_000 < end_ms:
        time.sleep(chance.uniform(*KILL_EVERY_S))
        fleet.kill(killed % PROCESSES)
        fleet.start(killed % PROCESSES)
        fleet.wait_ready()
        killed += 1
    return [at_least("workers killed", killed, 1, digits=0)]


def _read_clock(fleet: Fleet, end_ms: float) -> list[Line]:
    """The workers' own logs say what their clocks showed when they started."""
    true, moved = _first_line_at(fleet.log_of(0)), _first_line_at(fleet.log_of(PROCESSES - 1))
    apart_s = (moved - true).total_seconds()
    return [at_least("one worker's clock ahead of another's", apart_s, AHEAD_S - 10, " s", 0), *_nothing(fleet, end_ms)]


def _first_line_at(log: str) -> dt.datetime:
    line = next(line for line in log.splitlines() if line.startswith("{"))
    return dt.datetime.fromisoformat(json.loads(line)["timestamp"])


def _restart_all(site: Site, fleet: Fleet, end_ms: float) -> list[Line]:
    """At a third and at two thirds of the time."""
    left_ms, epoch = end_ms - time.time() * 1_000, GateEpoch.current()
    for part, keeps_file in ((2 / 3, True), (1 / 3, False)):
        sleep_until(end_ms - part * left_ms)
        close_connections()
        fleet.kill_all()
        site.cut_power()
        site.start_again(keeps_file=keeps_file)
        fleet.start_all()
    return [at_least("rebuilds of the gate from the rows", GateEpoch.current() - epoch, 1, digits=0)]
