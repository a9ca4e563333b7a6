"""Short names for tests of budgets: a tenant that has one, and jobs that spend it."""

from __future__ import annotations

from rateguard.engine.limits.limit import LimitRecord, Metric
from tests.contract.gate_line import START_MS, Line, deployment, ended, model, node

DEAR = model("m", deployment(output_pico=1_000_000))
"""1,000 nano-dollars a token of output: a job of size 2 costs 1,000."""
HOUR_MS = 3_600_000
DAYS = tuple(START_MS + day * 24 * HOUR_MS for day in range(-1, 4))


def spend_of(metric: Metric, jobs: int) -> int:
    """What so many jobs of two tokens cost in a budget of this metric."""
    return jobs * {Metric.COST: 1_000, Metric.PROVIDER_TOKENS: 2}[metric]


def figures(jobs: int = 1) -> dict[str, int]:
    return {"input_tokens": 1, "output_tokens": 1, "cost": 1_000 * jobs}


def open_budget(line: Line, record: LimitRecord) -> None:
    line.open(record, scopes=[node("p", record.id), node("q")], models=[DEAR])


def spend(line: Line, jobs: int, on: str = "p") -> None:
    """So many jobs are granted and settle at what they reserved."""
    line.enqueue(*line.jobs(jobs, on))
    granted = line.admit_all()
    assert len(granted) == jobs
    line.step(settle=ended(granted, **figures()))
