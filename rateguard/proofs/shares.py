"""Three tenants of weights 5 : 3 : 1 with a backlog in one lane: what each gets of the tokens, by the provider's log."""

from __future__ import annotations

from rateguard.engine.providers.sim.config import TOKENS, LimitRule
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from rateguard.proofs.findings import Line, at_least, at_most, exactly, told
from rateguard.proofs.fleet import fleet_of
from rateguard.proofs.measures import furthest_share, token_shares
from rateguard.proofs.site import Site
from rateguard.proofs.world import Sizes, World, sleep_until

WEIGHTS = {"five": 5, "three": 3, "one": 1}
SIZES: dict[str, Sizes] = {"five": (50, 150), "three": (50, 250), "one": (150, 250)}
"""Shares are in tokens: who asks for more at a time gets fewer requests."""
JOBS = {"five": 3_200, "three": 1_300, "one": 400}
LIMIT = LimitRule(TOKENS, 60_000, 10_000)
LASTS_S = 40.0
FURTHEST = 3.0
"""Per cent of what the weights say."""


def weights(site: Site, _seconds: float) -> list[Line]:
    """Run for 40 s; all three have work waiting to the end."""
    world = World(site, [LIMIT], burst_permille=100, weights=WEIGHTS)
    for name, count in JOBS.items():
        world.submit_many(count, SIZES[name], name)
    with fleet_of(site):
        end_ms = world.first_arrival_ms() + LASTS_S * 1_000
        sleep_until(end_ms)
        left = min(Job.objects.filter(state=State.QUEUED, tenant=tenant).count() for tenant in world.tenants.values())
    names = {tenant.pk: name for name, tenant in world.tenants.items()}
    owner = {pk: names[tenant] for pk, tenant in Job.objects.values_list("pk", "tenant")}
    log = world.control.log()
    shares = token_shares(log, owner, end_ms)
    parts = " : ".join(f"{9 * shares.get(name, 0.0):.3f}" for name in WEIGHTS)
    return [
        told("tokens at the provider", f"{sum(one.counted_tokens for one in log if one.is_accepted):,}"),
        told("shares in ninths", parts),
        at_most("furthest share from what its weight says", 100 * furthest_share(shares, WEIGHTS), FURTHEST, " %"),
        exactly("refused with 429", world.control.stats()["replies_429"], 0),
        at_least("jobs that still wait at the end, of each", left, 1, digits=0),
    ]
