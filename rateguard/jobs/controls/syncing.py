"""What a provider says of its limits, asked without a call: its list of models costs nothing, and its headers may tell of the limits.

By hand it also lifts what cools the deployment and its account: somebody paid the bill, or repaired the key. REST and the shell call this.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
import uuid
from collections.abc import Iterable

from django.db.models.functions import Now

from rateguard import wiring
from rateguard.engine.gate.contract import Cooldown, LimitReading
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.listing import TIMEOUT_S, Listing, look
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.within import Look
from rateguard.providers import known
from tenants.directory import Place
from tenants.models import Deployment, EventKind, GateEvent

logger = logging.getLogger(__name__)

PATIENCE_S = TIMEOUT_S + 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a provider answered, and when: time.monotonic()."""

    listing: Listing
    at: float

    def readings(self, place: Place) -> tuple[LimitReading, ...]:
        """What it says of the limits of a deployment, with its age."""
        ago_ms = max(0, int((time.monotonic() - self.at) * 1_000))
        found = wiring.directory().readable_at(place.id).of(self.listing.readings)
        return tuple(dataclasses.replace(one, ago_ms=ago_ms) for one in found)


@dataclasses.dataclass(frozen=True, slots=True)
class Synced:
    """What came of it. lifted: what no longer cools the deployment. readings: what the provider told of our limits."""

    listing: Listing
    lifted: tuple[Cooldown, ...] = ()
    readings: tuple[LimitReading, ...] = ()


def ask(target: Target) -> Look[Asked]:
    """Ask in a thread of its own; what is not heard within PATIENCE_S is left behind."""
    return Look(functools.partial(_ask, target))


def sync(deployment: Deployment, by: str = "") -> Synced:
    """Ask the provider of a deployment now, and lift what cools it, unless it still refuses the key. Raises GateError: nothing was done."""
    place = wiring.directory().places.get(deployment.pk)
    if place is None:
        return Synced(Listing(0, 0, reason="the deployment is disabled"))
    cooling = wiring.gate().inspect(()).cooling
    asked = _heard(ask(place.target))
    targets = {wiring.account_target(place.account_id), wiring.deployment_target(place.id)}
    lifted = () if asked.listing.is_refused else tuple(one for one in cooling if one.target in targets)
    readings = asked.readings(place)
    wiring.gate().sync(tuple(one.target for one in lifted), readings)
    _write_events(lifted, by)
    process_pump().kick()
    return Synced(asked.listing, lifted, readings)


def heard(target: Target) -> Listing:
    """What a provider says, asked now; whoever hangs has not answered."""
    return _heard(ask(target)).listing


def _ask(target: Target) -> Asked:
    listing = look(target.provider, target, known())
    return Asked(listing, time.monotonic())


def _heard(asking: Look[Asked]) -> Asked:
    try:
        return asking.wait(PATIENCE_S)
    except TimeoutError:
        return Asked(Listing(0, int(PATIENCE_S * 1_000), reason=f"no answer within {PATIENCE_S:g} s"), time.monotonic())


def _write_events(lifted: Iterable[Cooldown], by: str) -> None:
    """A person's act stands beside what the gate noticed."""
    for one in lifted:
        detail = f"lifted by {by or 'a process'}"
        GateEvent.objects.create(notice=f"by-hand:{uuid.uuid4().hex}", kind=EventKind.COOLED, subject=one.target, detail=detail, at=Now())
        logger.info("cooldown of %s: %s", one.target, detail)
