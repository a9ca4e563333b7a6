"""A deployment begins to fail while four workers send to it: how soon none of them does, and how many probes there are."""

from __future__ import annotations

from rateguard.conf import conf
from rateguard.engine.providers.sim.config import REQUESTS, LimitRule
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.journal import Arrival
from rateguard.proofs.findings import Line, at_least, at_most, exactly
from rateguard.proofs.fleet import PROCESSES, fleet_of, wait_for
from rateguard.proofs.measures import fulfilled_ms, most_within
from rateguard.proofs.site import Site
from rateguard.proofs.world import World, holders, sleep_until

LIMIT = LimitRule(REQUESTS, 40, 1_000)
PACED = 50
"""Permille that may come at once: two requests, so that there is always a next one that must not be sent."""
JOBS = 3_000
HEALTHY_S = 3.0
CALL_MS, PROBE_MS = 20.0, 2_500.0
OPEN_MS = 4_000
FAILING_S = 12.0
"""Some seconds until the rule is fulfilled, then time for at least one probe that fails."""
OPENS_WITHIN_MS = 500.0
REOPENS_S = 30.0


def breaker(site: Site, _seconds: float) -> list[Line]:
    """Healthy for 3 s, failing for 12 s, then healthy but slow, so that a second probe would be seen beside the first."""
    world = World(site, [LIMIT], burst_permille=PACED)
    world.control.configure(latency={"base_ms": CALL_MS})
    world.submit_many(JOBS, (50, 50))
    world.deployment.breaker_open_ms = OPEN_MS
    world.deployment.save()
    with fleet_of(site):
        healthy_until_ms = world.first_arrival_ms() + HEALTHY_S * 1_000
        sleep_until(healthy_until_ms)
        world.control.add_faults(Fault(FaultKind.SERVER_ERROR, for_ms=int(FAILING_S * 1_000)))
        sleep_until(healthy_until_ms + (FAILING_S - 2) * 1_000)
        world.control.configure(latency={"base_ms": PROBE_MS})
        wait_for("work flows again", lambda: sum(_is_late(one, healthy_until_ms) for one in world.control.log()) > 20, REOPENS_S, 0.5)
        senders = holders()
    return _seen(world.control.log(), senders)


def _is_late(arrival: Arrival, healthy_until_ms: float) -> bool:
    return arrival.is_accepted and arrival.arrived_ms > healthy_until_ms + FAILING_S * 1_000


def _seen(log: list[Arrival], senders: int) -> list[Line]:
    fulfilled = fulfilled_ms(log, conf().breaker, CALL_MS) or 0.0
    after = [one for one in log if one.arrived_ms > fulfilled]
    while_open = [one.arrived_ms for one in after if one.arrived_ms < fulfilled + OPEN_MS / 2]
    probes = [one for one in after if one.arrived_ms >= fulfilled + OPEN_MS / 2]
    healing = next(one.arrived_ms for one in probes if one.is_accepted)
    until_closed = [one.arrived_ms for one in probes if one.arrived_ms < healing + PROBE_MS]
    return [
        at_least("workers that sent requests", senders, PROCESSES, digits=0),
        at_least("failures before it opened", sum(not one.is_accepted and one.arrived_ms <= fulfilled for one in log), 5, digits=0),
        at_most(
            "the last request after the failure that fulfils the rule",
            max(while_open, default=fulfilled) - fulfilled,
            OPENS_WITHIN_MS,
            " ms",
            0,
        ),
        at_least("probes until one succeeded", len(until_closed), 2, digits=0),
        exactly("most probes at a time", most_within(until_closed, PROBE_MS), 1),
    ]
