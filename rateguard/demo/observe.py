"""What the viewer sees: the jobs' rows and the gate's limits at one moment, as values."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from rateguard import wiring
from rateguard.demo.score import percentile
from rateguard.engine.errors import GateError
from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, WAITING, State


class Row(NamedTuple):
    """What is read of a job."""

    tenant: str
    lane: Lane
    state: str
    input_tokens: int
    output_tokens: int
    nano_usd: int
    latency_ms: int | None
    queue_ms: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Jobs taken together. failed: ended, but not with success; they count in `done` too. Times of the ended ones, ms (p50, p95)."""

    waiting: int
    running: int
    done: int
    failed: int
    tokens: int
    nano_usd: int
    latency_ms: tuple[int | None, int | None]
    wait_ms: tuple[int | None, int | None]

    @property
    def jobs(self) -> int:
        """All of them."""
        return self.waiting + self.running + self.done


class Use(NamedTuple):
    """How much of a limit or a budget is taken. is_money: in nano-dollars."""

    name: str
    used: int
    amount: int
    is_money: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """Which of the gate's limits are shown: by its id the name of each, and the names of those in money."""

    names: Mapping[str, str]
    money: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment. uses is empty while the gate is away or being rebuilt."""

    total: Group
    tenants: dict[str, Group]
    lanes: dict[Lane, Group]
    cells: dict[tuple[str, Lane], Group]
    uses: tuple[Use, ...]

    @property
    def is_over(self) -> bool:
        """Every job ended."""
        return self.total.done == self.total.jobs


def look(watched: Watched) -> Snapshot:
    """Read rows and gate."""
    rows = list(_rows())
    tenants: dict[str, list[Row]] = defaultdict(list)
    lanes: dict[Lane, list[Row]] = defaultdict(list)
    cells: dict[tuple[str, Lane], list[Row]] = defaultdict(list)
    for row in rows:
        tenants[row.tenant].append(row)
        lanes[row.lane].append(row)
        cells[row.tenant, row.lane].append(row)
    return Snapshot(
        total=summed(rows),
        tenants={name: summed(tenants[name]) for name in sorted(tenants)},
        lanes={lane: summed(lanes[lane]) for lane in sorted(lanes)},
        cells={key: summed(cells[key]) for key in sorted(cells)},
        uses=_uses(watched),
    )


def summed(rows: Iterable[Row]) -> Group:
    """These rows as one group."""
    mine = list(rows)
    ended = [row for row in mine if row.state in TERMINAL]
    latencies = [row.latency_ms for row in ended if row.latency_ms is not None]
    waits = [row.queue_ms for row in ended if row.queue_ms is not None]
    return Group(
        waiting=sum(row.state in WAITING for row in mine),
        running=sum(row.state == State.RUNNING for row in mine),
        done=len(ended),
        failed=sum(row.state != State.SUCCEEDED for row in ended),
        tokens=sum(row.input_tokens + row.output_tokens for row in mine),
        nano_usd=sum(row.nano_usd for row in mine),
        latency_ms=(percentile(latencies, 50), percentile(latencies, 95)),
        wait_ms=(percentile(waits, 50), percentile(waits, 95)),
    )


def _rows() -> Iterator[Row]:
    columns = ("tenant__name", "lane", "state", "used_input_tokens", "used_output_tokens", "nano_usd", "latency_ms", "queue_ms")
    for tenant, lane, *rest in Job.objects.order_by().values_list(*columns).iterator():
        yield Row(tenant, Lane(lane), *rest)


def _uses(watched: Watched) -> tuple[Use, ...]:
    try:
        found = {use.id: use for use in wiring.gate().inspect(tuple(watched.names)).limits}
    except GateError:
        return ()
    return tuple(
        Use(name, found[limit].used, found[limit].amount, limit in watched.money) for limit, name in watched.names.items() if limit in found
    )
