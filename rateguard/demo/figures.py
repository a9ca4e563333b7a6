"""The figures of a finished run: what the provider counted, what our rows and ledger say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from django.db.models import Sum

from rateguard.demo import score
from rateguard.demo.observe import Snapshot
from rateguard.demo.score import Served
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.sim.control import SimControl
from rateguard.engine.providers.sim.journal import Arrival
from rateguard.jobs.models import Job
from rateguard.jobs.upkeep.bill import NOTHING, Amount, Key, parse_attempt_id
from tenants.models import LedgerEntry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The keys of `--json`. Times in the units of their names; money in nano-dollars; shares and ratios from 0 to 1."""

    jobs: int
    succeeded: int
    failed: int
    unfinished: int
    provider_requests: int
    provider_429: int
    worst_window_ratio: float
    binding_limit: str | None
    limit_utilisation: float | None
    ledger_difference_nano_usd: int
    tenants: dict[str, dict[str, Any]]
    setup_s: float
    run_s: float

    @property
    def is_good(self) -> bool:
        """Every job ended and the books close."""
        return self.unfinished == 0 and self.ledger_difference_nano_usd == 0


def bill_of(control: SimControl) -> dict[Key, Amount]:
    """The provider's own bill, by attempt."""
    bill: dict[Key, Amount] = {}
    for line in control.bill():
        key = parse_attempt_id(line.attempt_id)
        bill[key] = bill.get(key, NOTHING) + Amount(line.input_tokens, line.output_tokens, line.nano_usd)
    return bill


def figures_of(control: SimControl, snapshot: Snapshot, *, setup_s: float, run_s: float) -> Figures:
    """Put together what the provider and our rows say at the end of the work."""
    served = _served([arrival for arrival in control.log() if arrival.is_accepted])
    span = score.backlog(served)
    stats = control.stats() if span is None else control.stats(_just_before(span[0]), span[1])
    largest = {"tokens": max((one.tokens for one in served), default=0), "requests": 1}
    bound = score.binding(stats["limits"], largest)
    ledger: int = LedgerEntry.objects.aggregate(sum=Sum("nano_usd"))["sum"] or 0
    return Figures(
        jobs=snapshot.total.jobs,
        succeeded=snapshot.total.done - snapshot.total.failed,
        failed=snapshot.total.failed,
        unfinished=snapshot.total.jobs - snapshot.total.done,
        provider_requests=stats["requests"],
        provider_429=stats["replies_429"],
        worst_window_ratio=round(stats["worst_window_ratio"], 6),
        binding_limit=bound.name if bound else None,
        limit_utilisation=round(bound.utilisation, 4) if bound and bound.utilisation is not None else None,
        ledger_difference_nano_usd=ledger - stats["nano_usd"],
        tenants=_tenants(snapshot, score.shares(served)),
        setup_s=round(setup_s, 2),
        run_s=round(run_s, 2),
    )


def _tenants(snapshot: Snapshot, shares: dict[str, float]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "jobs": group.jobs,
            "tokens": group.tokens,
            "cost_nano_usd": group.nano_usd,
            "p50_ms": group.latency_ms[0],
            "p95_ms": group.latency_ms[1],
            "share": round(shares.get(name, 0.0), 4),
        }
        for name, group in snapshot.tenants.items()
    }


def _served(arrivals: Sequence[Arrival]) -> list[Served]:
    """The provider's log with what our rows know of each job."""
    known = {str(job): (tenant, Lane(lane)) for job, tenant, lane in Job.objects.values_list("pk", "tenant__name", "lane")}
    jobs = [arrival.attempt_id.partition(".")[0] for arrival in arrivals]
    return [
        Served(job, *known[job], arrival.arrived_ms, arrival.counted_tokens)
        for job, arrival in zip(jobs, arrivals, strict=True)
        if job in known
    ]


def _just_before(at_ms: float) -> float:
    """The provider's spans are open on the left; the first arrival belongs to the backlog."""
    return at_ms - 0.001
