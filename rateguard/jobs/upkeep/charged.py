"""What the rows say was charged to which limit: for a gate that is rebuilt.

A window counts an attempt from its sending; the rows tell the age of that to a slice of the window, and never say that it is older than it
is. Attempts and entries are summed in the database by path, so a long window with many of them costs one statement.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import itertools
import math
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from django.db import connection
from django.db.models import Count, F, Min, Sum

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.gate.contract import Charge, Configuration
from rateguard.engine.gate.paths import Paths
from rateguard.engine.limits.limit import SLICES, Kind, LimitRecord, Metric, Spent
from rateguard.engine.scopes import NodeKind, kind_of
from rateguard.jobs.clock import database_now
from rateguard.jobs.insight.runtree import counted
from rateguard.jobs.lineage import runs_around
from rateguard.jobs.models import Attempt
from rateguard.jobs.sql import statements
from rateguard.jobs.states import AttemptState
from tenants.models import LedgerEntry, Run

PAGE = 1_000
UNSENT_MS = 60_000
"""An attempt is opened at most so long before its request leaves."""

Found = tuple[str, LimitRecord]
"""The id under which the gate counts (`l17@user:alice`), and the record behind it."""


class Charged:
    """Which limits a path and a deployment charge, by a configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._records = {record.id: record for record in configuration.limits}
        self._paths = Paths()
        self._paths.records = {record.id: record for record in configuration.scopes}
        self._deployments = {place.id: place.limits for model in configuration.models for place in model.deployments}
        self.on_path = functools.cache(self._on_path)
        self.on_deployment = functools.cache(self._on_deployment)

    def records(self, *kinds: Kind) -> list[LimitRecord]:
        """All records of these kinds."""
        return [record for record in self._records.values() if record.kind in kinds]

    def _on_path(self, path: str) -> list[Found]:
        """Those of a path; runs that the gate keeps no longer have none."""
        tenant, *parts = path.split("|")
        known = [part for part in parts if kind_of(part) != NodeKind.RUN or f"{tenant}|{part}" in self._paths.records]
        resolved = self._paths.resolve("|".join([tenant, *known]))
        return self._found(resolved.limits if resolved else ())

    def _on_deployment(self, deployment: int) -> list[Found]:
        """Those of a deployment and its account."""
        return self._found(self._deployments.get(str(deployment), ()))

    def _found(self, ids: Iterable[str]) -> list[Found]:
        named = ((limit_id, self._records.get(limit_id.partition("@")[0])) for limit_id in ids)
        return [(limit_id, record) for limit_id, record in named if record is not None]


def charges(configuration: Configuration) -> Iterator[Charge]:
    """What counts in windows, buckets and budgets beside the running attempts."""
    charged = Charged(configuration)
    timed = charged.records(Kind.WINDOW, Kind.BUCKET)
    for window_ms in sorted({record.window_ms for record in timed}):
        guard_ms = max(record.guard_ms for record in timed if record.window_ms == window_ms)
        yield from _in_window(charged, window_ms, guard_ms)
    yield from _in_periods(charged)
    yield from _in_runs(charged)


def booked(configuration: Configuration) -> Iterator[Charge]:
    """What counts in budgets alone, as the ledger has it."""
    charged = Charged(configuration)
    yield from _in_periods(charged)
    yield from _in_runs(charged)


# ---- windows and buckets


@dataclasses.dataclass(frozen=True, slots=True)
class _Sum:
    """What attempts of one age came to. provider_tokens: as a provider counted them on arrival, who gives nothing back."""

    age_ms: int
    requests: int
    input_tokens: int
    output_tokens: int
    cost: int
    provider_tokens: int

    def of(self, record: LimitRecord) -> int:
        """What a limit counts of it: ours as used. Input from a cache counts, which some providers leave out: never too little."""
        if record.metric == Metric.REQUESTS:
            return self.requests
        if record.metric == Metric.PROVIDER_TOKENS and not record.gives_back:
            return self.provider_tokens
        return record.used_by(Spent(self.input_tokens, self.output_tokens, self.output_tokens, self.cost))


def _in_window(charged: Charged, window_ms: int, guard_ms: int) -> Iterator[Charge]:
    """The charges of all limits with this window."""
    slice_ms = -(-window_ms // SLICES)
    sums: dict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
    records: dict[str, LimitRecord] = {}
    for path, deployment, one in _attempts(window_ms + guard_ms + slice_ms, slice_ms):
        for limit_id, record in (*charged.on_path(path), *charged.on_deployment(deployment)):
            if record.window_ms == window_ms and record.kind in {Kind.WINDOW, Kind.BUCKET}:
                number = one.age_ms // slice_ms
                amount, age_ms = sums[limit_id].get(number, (0, one.age_ms))
                sums[limit_id][number] = (amount + one.of(record), min(age_ms, one.age_ms))
                records[limit_id] = record
    for limit_id, by_slice in sums.items():
        if records[limit_id].kind == Kind.BUCKET:
            yield Charge(limit_id, bucket_use(records[limit_id], by_slice.values()), 0)
        else:
            yield from (Charge(limit_id, amount, age_ms) for amount, age_ms in by_slice.values() if amount)


def _attempts(age_ms: int, slice_ms: int) -> Iterator[tuple[str, int, _Sum]]:
    """Ended attempts that were sent at most so long ago, by path and deployment."""
    (statement,) = statements(connection.vendor)["charged"]
    opened_ms = age_ms + conf().call_timeout_s * 1000 + UNSENT_MS
    with connection.cursor() as cursor:
        cursor.execute(statement, [opened_ms, age_ms, slice_ms])
        for path, deployment, *figures in cursor.fetchall():
            yield path, deployment, _Sum(*figures)


def bucket_use(record: LimitRecord, charged: Iterable[tuple[int, int]]) -> int:
    """The most that can be missing in a bucket now, after these charges (amount, age in ms), all of the last time that it takes to fill.

    Nobody knows how full it was before, so it counts as empty then; but what was granted shows that no more was missing than it holds.
    """
    fills_ms = record.window_ms * record.burst_permille / 1000
    full_at = 0.0  # ms from now, had it been empty as long ago as it takes to fill
    for amount, age_ms in sorted(charged, key=lambda one: -one[1]):
        if age_ms <= fills_ms:
            full_at = min(max(full_at, -age_ms) + amount * record.window_ms / record.amount, fills_ms - age_ms)
    return max(0, math.ceil(full_at * record.amount / record.window_ms))


# ---- budgets


def _in_periods(charged: Charged) -> Iterator[Charge]:
    """Budgets of people's scopes, from the ledger: what was booked since their period began."""
    now_ms = int(database_now().timestamp() * 1000)
    began = {record.id: record.period_began_ms(now_ms) for record in charged.records(Kind.BUDGET) if not is_of_run(record)}
    for start_ms in sorted(set(began.values())):
        totals: Counter[str] = Counter()
        for path, entry in _booked_since(dt.datetime.fromtimestamp(start_ms / 1000, dt.UTC)):
            for limit_id, record in charged.on_path(path):
                if began.get(record.id) == start_ms:
                    totals[limit_id] += entry.of(record)
        yield from _as_charges(totals)


def _booked_since(since: dt.datetime) -> Iterator[tuple[str, _Sum]]:
    """What the ledger holds since a moment, by path without runs."""
    names = ("tenant_id", "team", "rolegroup", "role", "user", "api_key_id")
    entries = LedgerEntry.objects.filter(created_at__gte=since).values_list(*names).annotate(**_SUMS).order_by()
    for tenant_id, team, rolegroup, role, user, key, read, written, cost in entries.iterator(chunk_size=PAGE):
        path = wiring.path_of(tenant_id, team=team, rolegroup=rolegroup, role=role, user=user, key=key)
        yield path, _booked(read, written, cost)


def _booked(input_tokens: int, output_tokens: int, cost: int) -> _Sum:
    return _Sum(0, 0, input_tokens, output_tokens, cost, 0)


_SUMS = {
    "all_input": Sum(F("input_tokens") + F("cached_tokens") + F("cache_write_tokens")),
    "all_output": Sum("output_tokens"),
    "cost": Sum("nano_usd"),
}


def is_of_run(record: LimitRecord) -> bool:
    """Whether a run carries it itself."""
    return record.id.startswith("r")


def _in_runs(charged: Charged) -> Iterator[Charge]:
    """Money and calls of the runs that the gate keeps, with what the runs inside them took."""
    since = Run.objects.filter(in_gate=True).aggregate(Min("created_at"))["created_at__min"]
    if since is None:
        return
    money = LedgerEntry.objects.filter(run__isnull=False, created_at__gte=since).values_list("tenant", "run").annotate(**_SUMS).order_by()
    ended = counted(Attempt.objects.filter(started_at__gte=since).exclude(state=AttemptState.RUNNING))
    of_jobs = ended.filter(job__run__isnull=False).values_list("tenant", "job__run").annotate(Count("pk")).order_by()
    of_calls = ended.filter(job__isnull=True, run__isnull=False).values_list("tenant", "run").annotate(Count("pk")).order_by()
    by_run = {(tenant, run): _booked(*figures) for tenant, run, *figures in money}
    for tenant, run, count in itertools.chain(of_jobs, of_calls):
        known = by_run.get((tenant, run), _NOTHING)
        by_run[tenant, run] = dataclasses.replace(known, requests=known.requests + count)
    totals: Counter[str] = Counter()
    for path, entry in _on_run_paths(by_run):
        for limit_id, record in charged.on_path(path):
            if record.kind == Kind.BUDGET and is_of_run(record):
                totals[limit_id] += entry.of(record)
    yield from _as_charges(totals)


_NOTHING = _Sum(0, 0, 0, 0, 0, 0)


def _on_run_paths(by_run: Mapping[tuple[int, uuid.UUID], _Sum]) -> Iterator[tuple[str, _Sum]]:
    """Each run's sum with the path of all runs around it."""
    rows = iter(by_run.items())
    while page := list(itertools.islice(rows, PAGE)):
        lineages = runs_around([run for (_, run), _ in page])
        for (tenant, run), entry in page:
            yield wiring.path_of(tenant, runs=lineages.get(run, ())), entry


def _as_charges(totals: Mapping[str, int]) -> Iterator[Charge]:
    return (Charge(limit_id, amount, 0) for limit_id, amount in totals.items() if amount)
