"""20 s in which the provider refuses everything with 429 and a Retry-After: what that costs of the throughput."""

from __future__ import annotations

import time

from rateguard.engine.providers.sim.config import REQUESTS, LimitRule
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from rateguard.proofs.findings import Line, at_least, at_most, exactly, told
from rateguard.proofs.fleet import fleet_of
from rateguard.proofs.measures import lost_s
from rateguard.proofs.site import Site
from rateguard.proofs.world import World, sleep_until, waiting

LIMIT = LimitRule(REQUESTS, 20, 1_000)
"""A short window: what an episode leaves unused of it is not made up for afterwards."""
JOBS = 1_800
BEFORE_S, EPISODE_S, AFTER_S = 20.0, 20.0, 20.0
RETRY_AFTER_S = 6.0
"""Not a part of 20: the last wait outlasts the episode."""


def episode(site: Site, _seconds: float) -> list[Line]:
    """20 s as usual, 20 s of refusals, 20 s as usual."""
    world = World(site, [LIMIT])
    world.submit_many(JOBS, (50, 50))
    with fleet_of(site):
        first_ms = world.first_arrival_ms() + 2_000  # the last worker warms up
        sleep_until(first_ms + BEFORE_S * 1_000)
        world.control.add_faults(Fault(FaultKind.RATE_LIMITED, for_ms=int(EPISODE_S * 1_000), wait_ms=int(RETRY_AFTER_S * 1_000)))
        began_ms = time.time() * 1_000
        end_ms = began_ms + (EPISODE_S + AFTER_S) * 1_000
        sleep_until(end_ms)
        left = waiting()
    log = world.control.log()
    accepted = [one.arrived_ms for one in log if one.is_accepted]
    gap_ms = min((at for at in accepted if at > began_ms + 1_000), default=end_ms) - max(at for at in accepted if at <= began_ms)
    return [
        told("accepted in a second before", f"{sum(first_ms < at <= began_ms for at in accepted) / BEFORE_S:.1f}"),
        told("refused in the episode", f"{sum(one.status == 429 for one in log):,}"),
        told("from the last accepted before it to the first after it", f"{gap_ms / 1_000:.1f} s"),
        at_most("throughput lost", lost_s(accepted, began_ms, end_ms, first_ms), EPISODE_S + RETRY_AFTER_S, " s", 1),
        exactly("jobs that failed, or whose tries were counted", _blamed(), 0),
        at_least("jobs that still wait at the end", left, 1, digits=0),
    ]


def _blamed() -> int:
    return Job.objects.filter(state=State.FAILED).count() + Job.objects.filter(tries__gt=0).exclude(state=State.FAILED).count()
