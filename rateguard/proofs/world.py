"""The rows of a proof: one account with the limits that the provider keeps too, one model on it, tenants; and jobs of an exact size."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.tokens import count_input
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit, submit_many
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import State
from rateguard.jobs.upkeep import rebuild
from rateguard.proofs.fleet import ProofFailed, wait_for
from rateguard.proofs.site import PROVIDER_KEY, Site
from tenants.models import Deployment, Limit, LimitKind, ModelRoute, Price, ProviderAccount, RouteTarget, Scope, ScopeKind, Tenant

MODEL = "sim-chat"
FIRST_S = 30.0
"""How soon the first request comes to the provider."""
AT_ONCE = 1_000
"""Jobs in one insert."""

Sizes = tuple[int, int]
"""The least and the most that a request needs, tokens as the provider counts them."""


class World:
    """What was made, and how jobs come into it. `weights`: tenants by name. The provider enforces `limits`, and the gate knows them."""

    def __init__(
        self, site: Site, limits: Sequence[LimitRule], *, burst_permille: int = 1_000, weights: Mapping[str, int] | None = None
    ) -> None:
        self._numbers = itertools.count(1)
        self._random = random.Random(1)
        self.control = site.provider.control
        self.control.configure(limits={PROVIDER_KEY: list(limits)}, models=[MODEL])
        account = ProviderAccount.objects.create(name="sim", provider="sim", base_url=site.provider.base_url, credentials=PROVIDER_KEY)
        for rule in limits:
            Limit.objects.create(
                account=account,
                metric=rule.metric,
                kind=LimitKind.WINDOW,
                amount=rule.amount,
                window_ms=rule.window_ms,
                burst_permille=burst_permille,
            )
        self.deployment = Deployment.objects.create(account=account, name="sim-one", upstream_model=MODEL)
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=MODEL), deployment=self.deployment)
        since = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        Price.objects.create(provider="sim", model=MODEL, valid_from=since, input_pico=150_000, output_pico=600_000)
        self.tenants = {name: _tenant(name, weight) for name, weight in (weights or {"one": 1}).items()}
        rebuild.rebuild(wiring.gate())

    # ---- jobs

    def submit_many(self, count: int, sizes: Sizes, tenant: str = "one", lane: Lane = Lane.NORMAL) -> None:
        """So many jobs, of random sizes between these, into the waiting room."""
        for at in range(0, count, AT_ONCE):
            submit_many([self._submission(sizes, tenant, lane) for _ in range(min(AT_ONCE, count - at))])
        if not process_pump().flush(60.0):
            raise ProofFailed("the gate did not take the jobs in")

    def submit(self, sizes: Sizes, tenant: str = "one", lane: Lane = Lane.NORMAL) -> Job:
        """One job, as a web process submits it."""
        return submit(self._submission(sizes, tenant, lane)).job

    def _submission(self, sizes: Sizes, tenant: str, lane: Lane) -> Submission:
        body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": f"Question {next(self._numbers):06d}"}]}
        body["max_tokens"] = self._random.randint(*sizes) - count_input(body, MODEL)
        return Submission(tenant=self.tenants[tenant], endpoint=Endpoint.CHAT, body=body, lane=lane)

    # ---- what is seen

    def first_arrival_ms(self) -> float:
        """When the provider saw the first request, on its clock; waits for it."""
        wait_for("the first request comes", lambda: bool(self.control.log()), FIRST_S)
        return self.control.log()[0].arrived_ms


def sleep_until(provider_ms: float) -> None:
    """Until a moment of the provider's clock, which is this machine's."""
    time.sleep(max(0.0, provider_ms / 1_000 - time.time()))


def waiting() -> int:
    """How many jobs wait by their rows."""
    return Job.objects.filter(state=State.QUEUED).count()


def holders() -> int:
    """How many processes have sent requests."""
    return Attempt.objects.values("holder").distinct().count()


def _tenant(name: str, weight: int) -> Tenant:
    made = Tenant.objects.create(name=name, weight=weight)
    Scope.objects.create(kind=ScopeKind.TENANT, tenant=made)
    return made
