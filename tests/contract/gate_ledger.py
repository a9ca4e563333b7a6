"""An account of everything that a gate granted, kept apart from the gate's own counters: what may be granted, and what must have been.

It knows the configuration as rows and each attempt's charges one by one, so it needs no ring, no slices and no running totals.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable

from rateguard.engine.gate.contract import (
    Charge,
    Configuration,
    DeploymentRecord,
    Grant,
    Inspection,
    LimitUse,
    ModelRecord,
    PausedLane,
    ReservationId,
    Running,
    ScopeRecord,
    Settlement,
    Waiting,
    WorkClass,
)
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, LimitRecord, Metric


@dataclasses.dataclass
class Entry:
    """What one attempt charges to one limit. first: what it was granted with."""

    at_ms: int
    amount: int
    first: int
    is_open: bool = True


@dataclasses.dataclass
class Attempt:
    """A granted attempt that has not ended."""

    grant: Grant
    job: Waiting
    at_ms: int
    charges: list[tuple[str, Entry]]
    holder: str = ""


def cost_of(deployments: Iterable[DeploymentRecord], job: Waiting) -> int:
    """The most that an attempt can cost at any of these, nano-dollars, rounded up."""
    dearest = [job.input_tokens * d.input_pico + job.max_output_tokens * d.output_pico for d in deployments]
    return -(-max(dearest, default=0) // 1000)


def amount_of(metric: Metric, *, inputs: int, output: int, most: int, cost: int) -> int:
    return {
        Metric.REQUESTS: 1,
        Metric.CONCURRENCY: 1,
        Metric.TOKENS: inputs + output,
        Metric.INPUT_TOKENS: inputs,
        Metric.OUTPUT_TOKENS: output,
        Metric.COST: cost,
        Metric.PROVIDER_TOKENS: inputs + most,
    }[metric]


def most_for(record: LimitRecord, lane: Lane) -> int:
    """What a lane may use."""
    most = record.amount * record.burst_permille // 1000 if record.kind == Kind.BUCKET else record.amount
    return most - most * record.reserve_permille // 1000 if lane > record.reserve_lane else most


class Ledger:
    """Rows of configuration and entries by limit id (`u1:w@user:b` where a node has it by a default)."""

    def __init__(self) -> None:
        self.version = 0
        self.limits: dict[str, LimitRecord] = {}
        self.scopes: dict[str, ScopeRecord] = {}
        self.models: dict[str, ModelRecord] = {}
        self.entries: dict[str, list[Entry]] = collections.defaultdict(list)
        self.refunds: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
        self.open: dict[ReservationId, Attempt] = {}
        self.spent: dict[str, int] = collections.defaultdict(int)
        self.began: dict[str, int] = collections.defaultdict(int)
        self.disturbed: dict[str, int] = {}
        self.owner: dict[str, str] = {}
        self.lanes: tuple[PausedLane, ...] = ()
        self.now_ms = 0

    # ---- configuration and time

    def write(self, configuration: Configuration) -> None:
        self.version = configuration.version
        for record in configuration.limits:
            self._edit(record)
        for limit in configuration.forget_limits:
            self.limits.pop(limit, None)
            for kept in [kept for kept in self.entries if kept.partition("@")[0] == limit]:
                for book in (self.entries, self.refunds, self.spent, self.began):
                    book.pop(kept, None)
        self.scopes.update((record.id, record) for record in configuration.scopes)
        self.models.update((record.name, record) for record in configuration.models)
        if configuration.paused_lanes is not None:
            self.lanes = configuration.paused_lanes
        for node in configuration.forget_scopes:
            self.scopes.pop(node, None)
        for model in configuration.forget_models:
            self.models.pop(model, None)

    def _edit(self, record: LimitRecord) -> None:
        """What left the old window before the edit is not known any more; a smaller limit may be over for a while."""
        old = self.limits.get(record.id)
        self.limits[record.id] = record
        if old is None or old == record:
            return
        for limit in [limit for limit in self.entries if limit.partition("@")[0] == record.id]:
            if old.window_ms:
                self.entries[limit] = [entry for entry in self.entries[limit] if entry.at_ms > self.now_ms - old.window_ms - old.guard_ms]
                self.disturb(limit)
            if old.kind != record.kind:
                self.entries[limit].clear()

    def disturb(self, limit: str) -> None:
        """An edit, an overrun or a late report: windows with this moment in them may be over, and are looked at for as long again."""
        record = self.record(limit)
        self.disturbed[limit] = self.now_ms + 2 * (record.window_ms + record.guard_ms)

    def go_on(self, now_ms: int) -> None:
        """Time passes: what is too old to count is dropped, and budgets begin anew."""
        self.now_ms = now_ms
        for limit, entries in self.entries.items():
            record = self.record(limit)
            if record:
                oldest = now_ms - 2 * (record.window_ms + record.guard_ms)
                self.entries[limit] = [entry for entry in entries if entry.is_open or entry.at_ms > oldest]
                self._turn(limit, record)

    def _turn(self, limit: str, record: LimitRecord) -> None:
        """A budget's new period forgets what was spent in the one before."""
        began = max((start for start in record.periods if start <= self.now_ms), default=0)
        if began > self.began[limit]:
            self.began[limit], self.spent[limit] = began, 0

    def record(self, limit: str) -> LimitRecord | None:
        return self.limits.get(limit.partition("@")[0])

    def limits_on(self, path: str) -> set[str] | None:
        """The limits of a path that exist; None where its tenant or a run is not configured."""
        tenant, *parts = path.split("|")
        places = [(f"{tenant}|{part}", part.partition(":")[0], part, tenant) for part in parts]
        if tenant not in self.scopes or any(kind == "run" and node not in self.scopes for node, kind, _, _ in places):
            return None
        found = set(self.scopes[""].limits)
        for node, kind, part, above in [*places, (tenant, "tenant", f"tenant:{tenant}", "")]:
            record = self.scopes.get(node, ScopeRecord(node))
            inherited = dict(self.scopes[above].defaults).get(kind, ())
            found |= set(record.limits) | {f"{limit}@{part}" for limit in inherited if limit not in record.without}
        return {limit for limit in found if self.record(limit)}

    def is_paused(self, lane: Lane) -> bool:
        return any(paused.lane == lane and not 0 < paused.until_ms <= self.now_ms for paused in self.lanes)

    # ---- an attempt's life

    def grant(self, grant: Grant, job: Waiting) -> None:
        """Charge a grant, and hold that it was allowed."""
        attempt = Attempt(grant, job, self.now_ms, [])
        self.open[grant.reservation] = attempt
        assert (grant.model, grant.lane) == (job.model, job.lane)
        assert grant.deployment in {one.id for one in self.deployments_of(job.model)}
        assert grant.cost == cost_of(self.deployments_of(job.model), job)
        assert not self.is_paused(grant.lane), f"the lane is paused: {grant}"
        for limit in self._charge(attempt):
            record = self.limits[limit.partition("@")[0]]
            if record.kind == Kind.PAUSE:
                assert 0 < record.amount <= self.now_ms, f"{limit} is paused: {grant}"
            else:
                assert self.in_use(limit) <= most_for(record, grant.lane), f"{limit} is over by {grant}"

    def deployments_of(self, name: str) -> list[DeploymentRecord]:
        """Those of a list to which its work may go, in no order; with marks: not those left out, unless nobody else is left."""
        model, _, marked = name.partition("!")
        known = self.models[model].deployments if model in self.models else ()
        return [one for one in known if f"-{one.id}" not in marked] or list(known)

    def limits_at(self, model: str, deployment: str) -> set[str]:
        """The limits of a deployment in a model that exist."""
        record = self.models.get(model.partition("!")[0])
        found = (d.limits for d in (record.deployments if record else ()) if d.id == deployment)
        return {limit for limit in next(found, ()) if limit in self.limits}

    def _charge(self, attempt: Attempt) -> set[str]:
        """Enter what an attempt takes of all its limits, which are returned."""
        job, grant = attempt.job, attempt.grant
        figures = {"inputs": job.input_tokens, "output": job.output_tokens, "most": job.max_output_tokens, "cost": grant.cost}
        found = (self.limits_on(job.path) or set()) | self.limits_at(grant.model, grant.deployment)
        for limit in found:
            record = self.limits[limit.partition("@")[0]]
            if record.kind != Kind.PAUSE:
                amount = amount_of(record.metric, **figures)
                attempt.charges.append((limit, Entry(attempt.at_ms, amount, amount)))
                self.entries[limit].append(attempt.charges[-1][1])
                self.owner[limit] = job.path.partition("|")[0]
                self._turn(limit, record)
        return found

    def in_use(self, limit: str) -> int:
        """What of a limit is used now, by the entries; of a bucket, the most that it ever held at once."""
        record, entries = self.limits[limit.partition("@")[0]], self.entries[limit]
        if record.kind == Kind.WINDOW:
            return sum(entry.amount for entry in entries if entry.at_ms > self.now_ms - record.window_ms - record.guard_ms)
        if record.kind == Kind.BUCKET:
            return self._in_bucket(limit, record)
        return self.spent[limit] + sum(entry.amount for entry in entries if entry.is_open)

    def _in_bucket(self, limit: str, record: LimitRecord) -> int:
        """Whatever the moment from which one counts: what was granted since, without what came back or was refilled."""
        level, entries = 0, sorted((entry.at_ms, entry.first) for entry in self.entries[limit])
        for start in {at for at, _ in entries}:
            granted = sum(amount for at, amount in entries if at >= start)
            back = sum(amount for at, amount in self.refunds[limit] if at >= start)
            refilled = (self.now_ms - start + 1) * record.amount // record.window_ms + 1
            level = max(level, granted - back - refilled)
        return level

    def send(self, reservation: ReservationId, holder: str, at_ms: int) -> None:
        attempt = self.open.get(reservation)
        if attempt is None:
            return
        attempt.holder = attempt.holder or holder
        self._move(attempt, at_ms)

    def _move(self, attempt: Attempt, at_ms: int) -> None:
        """It counts later than was thought. Who reports after the window has passed finds it used by others."""
        if at_ms <= attempt.at_ms:
            return
        for limit, entry in attempt.charges:
            record = self.record(limit)
            if record and record.kind == Kind.WINDOW:
                if self.now_ms >= entry.at_ms + record.window_ms:
                    self.disturb(limit)
                entry.at_ms = at_ms
        attempt.at_ms = at_ms

    def settle(self, settlement: Settlement) -> None:
        attempt = self.open.pop(settlement.reservation, None)
        if attempt is None:
            return
        if settlement.used and settlement.counted_ago_ms is not None:
            self._move(attempt, self.now_ms - settlement.counted_ago_ms)
        for limit, entry in attempt.charges:
            record = self.record(limit)
            if record:
                self._end(limit, record, entry, attempt, settlement)

    def _end(self, limit: str, record: LimitRecord, entry: Entry, attempt: Attempt, settlement: Settlement) -> None:
        most = settlement.output_tokens if record.gives_back else attempt.job.max_output_tokens
        inputs = settlement.input_tokens if record.counts_cached else settlement.input_tokens - settlement.cached_tokens
        weighed = [-(-figure * record.output_permille // 1000) for figure in (settlement.output_tokens, most)]
        figures = {"inputs": inputs, "output": weighed[0], "most": weighed[1], "cost": settlement.cost}
        actual = amount_of(record.metric, **figures) if settlement.used else 0
        if settlement.used and not record.gives_back:
            actual = max(actual, entry.amount)
        if record.kind == Kind.BUDGET:
            self.spent[limit] += actual
        if actual > entry.amount and record.window_ms:
            self.disturb(limit)
        if actual < entry.amount:
            self.refunds[limit].append((self.now_ms, entry.amount - actual))
        entry.amount, entry.is_open = actual, False

    # ---- what must hold

    def check(self, inspection: Inspection, waiting: int) -> None:
        """The gate's counters are the sums of what is open and what was spent."""
        unsent = [a for a in self.open.values() if not a.holder and a.grant.work_class == WorkClass.JOB]
        assert (inspection.waiting, inspection.reservations, inspection.unsent) == (waiting, len(self.open), len(unsent))
        for use in inspection.limits:
            record = self.limits[use.id.partition("@")[0]]
            assert use.used >= 0 <= use.reserved, use
            assert use.next_ms is None or use.next_ms >= 0, use
            if record.kind in (Kind.BUDGET, Kind.CONCURRENCY):
                assert use.used == self.in_use(use.id), f"{use}: {self.in_use(use.id)}"
            if record.kind == Kind.BUDGET:
                assert use.reserved == sum(entry.amount for entry in self.entries[use.id] if entry.is_open), use
            if record.kind == Kind.WINDOW:
                self._check_window(use, record)
        for view in inspection.breakers:
            assert not view.is_probing or any(a.grant.deployment == view.deployment for a in self.open.values()), f"a lost probe: {view}"

    def _check_window(self, use: LimitUse, record: LimitRecord) -> None:
        """No window is over that neither an edit nor an overrun disturbed; the gate counts all that lies in it, and forgets it in time."""
        entries = sorted(((entry.at_ms, entry.amount) for entry in self.entries[use.id]), reverse=True)
        used = use.used - use.foreign
        assert used >= self.in_use(use.id), f"{use}: {entries}"
        if self.disturbed.get(use.id, 0) >= self.now_ms:
            return
        slack = 2 * -(-record.window_ms // record.slices) + 1
        assert used <= sum(amount for at, amount in entries if at > self.now_ms - record.window_ms - record.guard_ms - slack), use
        for end in {at for at, _ in entries if at > self.now_ms - record.window_ms}:
            inside = sum(amount for at, amount in entries if end - record.window_ms < at <= end)
            assert inside <= record.amount, f"{use.id} was over in the window that ended at {end}: {entries}"

    # ---- for a rebuild

    def charges(self) -> tuple[Charge, ...]:
        """What ended attempts and entries come to."""
        found = []
        for limit, entries in sorted(self.entries.items()):
            record, tenant = self.record(limit), self.owner[limit]
            if record and record.window_ms:
                live = [e for e in entries if not e.is_open and e.amount and e.at_ms > self.now_ms - record.window_ms - record.guard_ms]
                found += [Charge(limit, e.amount, self.now_ms - e.at_ms, tenant) for e in sorted(live, key=lambda e: e.at_ms)]
            elif record and record.kind == Kind.BUDGET and self.spent[limit]:
                found.append(Charge(limit, self.spent[limit], 0, tenant))
        return tuple(found)

    def running(self) -> tuple[Running, ...]:
        return tuple(
            Running(dataclasses.replace(a.job, attempt=rid.attempt), a.grant.deployment, a.holder, self.now_ms - a.at_ms, a.grant.cost)
            for rid, a in self.open.items()
            if a.holder
        )

    def rebuild(self) -> None:
        """What runs is charged to the limits that its path has now; grants that nobody claimed are gone, and so is work of lost runs."""
        for limit, entries in self.entries.items():
            self.entries[limit] = [entry for entry in entries if not entry.is_open]
            self.began[limit] = 0
            spent = self.spent[limit]
            record = self.record(limit)
            if record:
                self._turn(limit, record)
            self.spent[limit] = spent
        self.open = {rid: a for rid, a in self.open.items() if a.holder and self.limits_on(a.job.path) is not None}
        for attempt in self.open.values():
            attempt.charges = []
            self._charge(attempt)
