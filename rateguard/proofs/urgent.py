"""A HIGH job that comes when 10,000 LOW ones wait: its place among what the provider sees from then on."""

from __future__ import annotations

import random
import time

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.sim.config import REQUESTS, LimitRule
from rateguard.jobs.line.pump import process_pump
from rateguard.proofs.findings import Line, at_least, at_most, told
from rateguard.proofs.fleet import fleet_of, wait_for
from rateguard.proofs.measures import job_of
from rateguard.proofs.site import Site
from rateguard.proofs.world import World, waiting

LIMIT = LimitRule(REQUESTS, 1, 300)
"""One grant at a time, so that "first" and "second" are what they say."""
LOW_JOBS = 10_000
TIMES = 20
ARRIVES_S = 20.0
EVEN = (50, 50)


def high(site: Site, _seconds: float) -> list[Line]:
    """Twenty HIGH jobs, one after the other, at random moments."""
    world = World(site, [LIMIT])
    world.submit_many(LOW_JOBS, EVEN, lane=Lane.LOW)
    chance = random.Random(1)
    with fleet_of(site):
        world.first_arrival_ms()
        places = []
        for _ in range(TIMES):
            time.sleep(chance.uniform(0.3, 0.8))
            places.append(_place(world))
        left = waiting()
    return [
        told("HIGH jobs that came", f"{len(places)}"),
        told("of these granted first", f"{places.count(1)}"),
        at_most("the last place of any", max(places), 2, digits=0),
        at_least("LOW jobs that still wait at the end", left, LOW_JOBS * 9 // 10, digits=0),
    ]


def _place(world: World) -> int:
    """Submit one, and count what arrives until it does. What was granted before it came, is not ahead of it."""
    granted = {held.reservation.job for held in wiring.gate().held(0, 1_000)[1]}
    known = len(world.control.log())
    job = world.submit(EVEN, lane=Lane.HIGH)
    process_pump().flush(5.0)
    wait_for("the HIGH job arrives", lambda: any(job_of(one) == job.pk for one in world.control.log()[known:]), ARRIVES_S)
    jobs = [job_of(one) for one in world.control.log()[known:]]
    return 1 + sum(one not in granted for one in jobs[: jobs.index(job.pk)])
