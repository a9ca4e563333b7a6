"""Corrections: what a ledger entry got wrong is put right by a further one, in the rows and rollups that the first one touched.

Entries, jobs, events and rollups are one transaction; the budgets in the gate follow after the commit.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import F

from rateguard import wiring
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Charge
from rateguard.engine.limits.limit import Kind, LimitRecord, Metric
from rateguard.jobs.lineage import runs_around
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.upkeep.bill import NOTHING, Amount, Key
from tenants.models import Dimension, EntryKind, LedgerEntry, UsageDay, UsageQuarter
from tenants.models.usage import QUARTER_S

logger = logging.getLogger(__name__)

CORRECTED = "corrected"
"""The kind of a job's event."""


@dataclasses.dataclass(frozen=True, slots=True)
class Correction:
    """What one attempt's ledger lacks, to say what the bill says.

    was_estimated: its charge was counted by us. is_overrun: the bill is above the most that was reserved.
    """

    key: Key
    tenant_id: int
    difference: Amount
    was_estimated: bool
    is_overrun: bool


def lock_epoch() -> int:
    """The gate's epoch, share-locked to the commit as a claim does: a rebuild counts either all of this correction or nothing of it."""
    with connection.cursor() as cursor:
        cursor.execute(_READ_EPOCH[connection.vendor])
        row = cursor.fetchone()
    return int(row[0]) if row else 0


_READ_EPOCH = {
    "postgresql": "select number from rateguard_tenants_gateepoch where id = 1 for share",
    "sqlite": "select number from rateguard_tenants_gateepoch where id = 1",
}


def write(found: Sequence[Correction], charges: Mapping[Key, LedgerEntry]) -> None:
    """Entries, jobs, events and rollups of corrections, in the order in which a settle takes them."""
    entries = LedgerEntry.objects.bulk_create([_entry(one, charges[one.key]) for one in found])
    _correct_jobs(entries)
    _roll_up_quarters(entries)
    _roll_up_days(entries)


def _entry(one: Correction, charge: LedgerEntry) -> LedgerEntry:
    """The correction beside a charge, with the same dimensions."""
    return LedgerEntry(
        kind=EntryKind.CORRECTION,
        nano_usd=one.difference.nano_usd,
        input_tokens=one.difference.input_tokens,
        output_tokens=one.difference.output_tokens,
        is_overrun=one.is_overrun,
        **{name: getattr(charge, name) for name in _DIMENSIONS},
    )


_DIMENSIONS = (
    "tenant_id",
    "job_id",
    "reservation_id",
    "attempt",
    "model",
    "deployment",
    "api_key_id",
    "team",
    "rolegroup",
    "role",
    "user",
    "run",
    "cost_center",
    "labels",
)


def _correct_jobs(entries: Sequence[LedgerEntry]) -> None:
    ids = {entry.job_id for entry in entries if entry.job_id is not None}
    present = set(Job.objects.filter(pk__in=ids).order_by("pk").select_for_update().values_list("pk", flat=True))
    mine = [(entry.job_id, entry) for entry in entries if entry.job_id is not None and entry.job_id in present]
    for job_id, entry in mine:
        Job.objects.filter(pk=job_id).update(
            nano_usd=F("nano_usd") + entry.nano_usd,
            used_input_tokens=F("used_input_tokens") + entry.input_tokens,
            used_output_tokens=F("used_output_tokens") + entry.output_tokens,
        )
    JobEvent.objects.bulk_create(
        [JobEvent(job_id=job_id, kind=CORRECTED, attempt=entry.attempt, detail={"nano_usd": entry.nano_usd}) for job_id, entry in mine]
    )


def _roll_up_quarters(entries: Sequence[LedgerEntry]) -> None:
    """A correction counts in the quarter in which it is written."""
    sums: dict[tuple[Any, ...], Amount] = {}
    for entry in entries:
        starts_at = dt.datetime.fromtimestamp(entry.created_at.timestamp() // QUARTER_S * QUARTER_S, dt.UTC)
        key = (entry.tenant_id, entry.model, entry.deployment, entry.api_key_id or 0, entry.team, starts_at)
        sums[key] = sums.get(key, NOTHING) + _amount(entry)
    names = ("tenant_id", "model", "deployment", "api_key_id", "team", "starts_at")
    for key in sorted(sums):
        columns: dict[str, Any] = dict(zip(names, key, strict=True))
        row, _ = UsageQuarter.objects.get_or_create(**columns)
        UsageQuarter.objects.filter(pk=row.pk).update(**_added(sums[key]))


def _roll_up_days(entries: Sequence[LedgerEntry]) -> None:
    sums: dict[tuple[Any, ...], Amount] = {}
    for entry in entries:
        labels = [(Dimension.LABEL.value, f"{name}={value}") for name, value in entry.labels.items()]
        for dimension, value in [*([(Dimension.USER.value, entry.user)] if entry.user else []), *labels]:
            key = (entry.tenant_id, entry.created_at.astimezone(dt.UTC).date(), dimension, value)
            sums[key] = sums.get(key, NOTHING) + _amount(entry)
    for key in sorted(sums):
        columns: dict[str, Any] = dict(zip(("tenant_id", "day", "dimension", "value"), key, strict=True))
        row, _ = UsageDay.objects.get_or_create(**columns)
        UsageDay.objects.filter(pk=row.pk).update(**_added(sums[key]))


def _amount(entry: LedgerEntry) -> Amount:
    return Amount(entry.input_tokens, entry.output_tokens, entry.nano_usd)


def _added(amount: Amount) -> dict[str, Any]:
    return {name: F(name) + value for name, value in dataclasses.asdict(amount).items()}


# ---- the gate follows


def tell_gate(found: Sequence[Correction], charged: Mapping[Key, LedgerEntry], epoch: int) -> None:
    """Move what the budgets on each charge's path count. A gate that is away, or was rebuilt meanwhile, has it from the ledger."""
    by_path: dict[str, Amount] = {}
    lineages = runs_around({entry.run for entry in charged.values() if entry.run is not None})
    for one in found:
        path = _path(charged[one.key], lineages)
        by_path[path] = by_path.get(path, NOTHING) + one.difference
    moved: Counter[str] = Counter()
    for path, difference in by_path.items():
        for record in wiring.limits_of_path(path):
            if record.kind == Kind.BUDGET:
                moved[record.id] += _counted(record, difference)
    charges = tuple(Charge(limit_id, amount, 0) for limit_id, amount in moved.items() if amount)
    try:
        if charges and wiring.gate().epoch() == epoch:
            wiring.gate().restore(charges, (), ())
    except GateError as error:
        logger.warning("budgets in the gate follow this correction only with its next rebuild: %s", error)


def _path(entry: LedgerEntry, lineages: Mapping[uuid.UUID, tuple[uuid.UUID, ...]]) -> str:
    runs = lineages.get(entry.run, ()) if entry.run else ()
    names = {name: getattr(entry, name) for name in ("team", "rolegroup", "role", "user")}
    return wiring.path_of(entry.tenant_id, **names, runs=runs, key=entry.api_key_id)


def _counted(record: LimitRecord, difference: Amount) -> int:
    """What a budget counts of a correction: money, tokens, or (a cap of calls) nothing."""
    match record.metric:
        case Metric.COST:
            return difference.nano_usd
        case Metric.REQUESTS:
            return 0
        case _:
            return difference.input_tokens + difference.output_tokens
