"""The rows of a campaign: two accounts whose limits the provider keeps too, models, tenants, keys, limits and budgets that bind."""

from __future__ import annotations

import dataclasses
import math
import typing
import uuid

from rateguard.engine.providers.sim.config import REQUESTS, TOKENS, LimitRule, ModelPrice
from rateguard.torture.work.receiver import Receiver

if typing.TYPE_CHECKING:
    from rateguard.torture.site import Site
    from rateguard.torture.work.reading import Told

ACCOUNTS = ("sim-a", "sim-b")
"""Names of the provider accounts."""
WORK_ENVIRONMENT = {"RATEGUARD_WEBHOOK_NETWORKS": "127.0.0.0/8"}
"""Settings that the work needs in every process of the campaign."""

CHAT, SMALL, EMBED = "torture-chat", "torture-small", "torture-embed"
"""Public names; each is called upstream by the same name."""
PRICES = {CHAT: ModelPrice(150_000, 600_000), SMALL: ModelPrice(50_000, 200_000), EMBED: ModelPrice(20_000, 0)}
SHARES = {"acme": 0.5, "beta": 0.2, "gamma": 0.15, "delta": 0.15}
"""Each tenant's part of the jobs."""
TYPICAL_NANO_USD = 24_000
"""What a chat costs: some 20 tokens of input, 35 of output."""
BESIDE = 2.0
"""Jobs a second that come beside those: probes while a server is away, the host process, the trickle at the end."""
MOST_WAITING = 400
SLOW_ENOUGH = {"base_ms": 250, "per_token_ms": 4, "jitter": 0.6}
"""A call lasts about half a second, so that a fault finds some under way."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """A tenant's key, as a client has it. budget: what its jobs may meet, `none`, `reject`, `hold` or `downgrade`."""

    tenant: str
    secret: str = dataclasses.field(repr=False)
    budget: str = "none"


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """What was made. limits: what the provider keeps, by account's key; own_limits: requests that a team of a tenant may send.

    receiver: who hears of ends by webhook. Added to as it happens: rolled_back, jobs whose transaction was given up, so that nobody may
    ever run them; read, what readers of events were told.
    """

    callers: tuple[Caller, ...]
    limits: dict[str, tuple[LimitRule, ...]]
    own_limits: dict[tuple[str, str], LimitRule]
    receiver: Receiver
    read: list[Told] = dataclasses.field(default_factory=list)
    rolled_back: list[uuid.UUID] = dataclasses.field(default_factory=list)


def setup(site: Site, jobs: int = 300, over_s: float = 75.0) -> World:
    """Make the rows in the campaign's own process, tell the provider, and leave the world at `site.world`.

    jobs, over_s: as the traffic is told. The limits have room for about twice as many jobs a second, so that windows fill and a backlog
    melts; the budgets pay for a part of what their tenants ask for.
    """
    from rateguard import wiring  # noqa: PLC0415 - Django is ready by now
    from rateguard.jobs.upkeep import rebuild  # noqa: PLC0415
    from rateguard.torture.work.rows import make_providers, make_tenants, make_webhook  # noqa: PLC0415

    pace = jobs / over_s + BESIDE
    keys = (site.provider_key, f"{site.provider_key}-b")
    limits = dict(zip(keys, _limits(pace), strict=True))
    site.provider.control.configure(
        keys=list(keys), models=[CHAT, SMALL, EMBED], limits=limits, prices=PRICES, latency=SLOW_ENOUGH, output={"chunk_tokens": 4}
    )
    make_providers(site.provider.base_url, limits)
    team = LimitRule(REQUESTS, max(4, round(3 * pace)), 10_000)
    receiver = Receiver(jobs)
    world = World(make_tenants(team, jobs), limits, {("acme", "ml"): team}, receiver)
    receiver.secret = make_webhook("acme", receiver.url)
    rebuild.rebuild(wiring.gate())
    site.world = world
    return world


def _limits(pace: float) -> tuple[tuple[LimitRule, ...], tuple[LimitRule, ...]]:
    """Short windows, so that many pass in a campaign: the first account's are the wider ones, its tokens' window is a longer one."""
    a, b = math.ceil(1.5 * pace), math.ceil(0.75 * pace)
    return (
        (LimitRule(REQUESTS, 3 * a, 3_000), LimitRule(TOKENS, 10 * 60 * a, 10_000)),
        (LimitRule(REQUESTS, 8 * b, 8_000), LimitRule(TOKENS, 10 * 80 * b, 10_000)),
    )
