"""Reconcile: turn a provider's bill, matched by attempt id, into correction entries, until our ledger says what the bill says.

The ledger's sum of an attempt (charge + corrections) is compared under the lock of the attempt's row, so a second run, or a second
process, finds nothing left to correct. An attempt's own row stays as it was settled.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.db import transaction
from django.db.models import F, Q, Sum

from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState
from rateguard.jobs.upkeep.bill import NOTHING, Amount, Bill, Key, attempt_id
from rateguard.jobs.upkeep.corrections import Correction, lock_epoch, tell_gate, write
from tenants.models import Deployment, EntryKind, LedgerEntry

BATCH = 500
"""Attempts locked, compared and corrected in one transaction."""


@dataclasses.dataclass(frozen=True, slots=True)
class Coverage:
    """What a complete bill covers: every attempt at this account (by name) begun in [since, until). None: not bounded on that side."""

    account: str
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclasses.dataclass(slots=True)
class Report:
    """What was compared and found.

    agreed: attempts where ledger and bill are one. corrections: those where they differ, written if `apply`.
    unknown: billed attempts that we never had. still_open: billed attempts without a charge yet; run again when they ended.
    unbilled: charges that no complete bill holds and that were not estimated; nobody corrects them by himself.
    """

    agreed: int = 0
    corrections: list[Correction] = dataclasses.field(default_factory=list)
    unknown: list[str] = dataclasses.field(default_factory=list)
    still_open: list[str] = dataclasses.field(default_factory=list)
    unbilled: list[str] = dataclasses.field(default_factory=list)

    @property
    def difference(self) -> Amount:
        """The sum of all corrections: bill − ledger."""
        return sum((one.difference for one in self.corrections), NOTHING)

    @property
    def estimated_corrected(self) -> int:
        """Corrections of charges that were estimated."""
        return sum(one.was_estimated for one in self.corrections)


# ---- comparing


def reconcile(bill: Bill, *, apply: bool = False, complete: Coverage | None = None) -> Report:
    """Compare the ledger with a bill, and with `apply` write what is missing as corrections.

    Estimated charges come first. Each batch is a transaction, so a run that was killed is gone on with by the next one.
    complete: the bill holds everything of that account and time, so an estimated charge that it does not hold was never billed.
    """
    report = Report()
    for keys in _batches(_estimated_first(bill)):
        _reconcile_batch({key: bill[key] for key in keys}, report, apply=apply)
    if complete is not None:
        for page in _batches(_charged_beyond(bill, complete, report)):
            _reconcile_batch(dict.fromkeys(page, NOTHING), report, apply=apply)
    return report


def _estimated_first(bill: Bill) -> list[Key]:
    """The keys of a bill; those whose charge is our own guess before the others."""
    estimated: set[Key] = set()
    for keys in _batches(sorted(bill)):
        guesses = LedgerEntry.objects.filter(reservation_id__in={job for job, _ in keys}, kind=EntryKind.CHARGE, is_estimated=True)
        estimated.update(guesses.values_list("reservation_id", "attempt"))
    return sorted(bill, key=lambda key: (key not in estimated, key))


def _batches(keys: Iterable[Key]) -> Iterator[list[Key]]:
    pending = iter(keys)
    while page := list(itertools.islice(pending, BATCH)):
        yield page


def _charged_beyond(bill: Bill, complete: Coverage, report: Report) -> list[Key]:
    """Attempts with estimated money that a complete bill does not hold; what was not estimated is reported."""
    places = Deployment.objects.filter(account__name=complete.account).values_list("pk", flat=True)
    covered = Attempt.objects.filter(deployment_id__in=list(places)).exclude(state=AttemptState.RUNNING)
    if complete.since is not None:
        covered = covered.filter(started_at__gte=complete.since)
    if complete.until is not None:
        covered = covered.filter(started_at__lt=complete.until)
    estimated: list[Key] = []
    rows = covered.filter(~Q(nano_usd=0) | Q(is_estimated=True)).order_by("reservation_id", "number")
    for reservation, number, is_estimated in rows.values_list("reservation_id", "number", "is_estimated").iterator():
        if (reservation, number) in bill:
            continue
        if is_estimated:
            estimated.append((reservation, number))
        else:
            report.unbilled.append(attempt_id((reservation, number)))
    return estimated


def _reconcile_batch(billed: Bill, report: Report, *, apply: bool) -> None:
    with transaction.atomic():
        epoch = lock_epoch() if apply else 0
        reserved = _reserved(billed, lock=apply)
        charges, booked = _ledger_of(billed)
        found = [
            Correction(
                key=key,
                tenant_id=charge.tenant_id,
                difference=billed[key] - booked[key],
                was_estimated=charge.is_estimated,
                is_overrun=billed[key].nano_usd > max(booked[key].nano_usd, reserved.get(key, 0)),
            )
            for key, charge in charges.items()
            if billed[key] != booked[key]
        ]
        if apply and found:
            write(found, charges)
    _note(report, billed, charges, found)
    if apply and found:
        tell_gate(found, charges, epoch)


def _reserved(billed: Bill, *, lock: bool) -> dict[Key, int]:
    """The most that each ended attempt could cost. Locking comes before the first look at the ledger; a settle locks open attempts only."""
    rows = Attempt.objects.filter(reservation_id__in={job for job, _ in billed}).exclude(state=AttemptState.RUNNING).order_by("pk")
    found = rows.select_for_update() if lock else rows
    return {(job, number): cost for job, number, cost in found.values_list("reservation_id", "number", "reserved_nano_usd")}


def _ledger_of(billed: Bill) -> tuple[dict[Key, LedgerEntry], dict[Key, Amount]]:
    """The charges of these attempts, in order, and what each comes to with its corrections."""
    entries = LedgerEntry.objects.filter(reservation_id__in={job for job, _ in billed})
    charges = {(row.reservation_id, row.attempt): row for row in entries.filter(kind=EntryKind.CHARGE)}
    sums = (
        entries.values("reservation_id", "attempt")
        .order_by()
        .annotate(
            all_input=Sum(F("input_tokens") + F("cached_tokens") + F("cache_write_tokens")),
            output=Sum("output_tokens"),
            cost=Sum("nano_usd"),
        )
        .values_list("reservation_id", "attempt", "all_input", "output", "cost")
    )
    booked = {(job, attempt): Amount(all_input, output, cost) for job, attempt, all_input, output, cost in sums}
    return {key: charges[key] for key in sorted(billed) if key in charges}, booked


def _note(report: Report, billed: Bill, charges: Mapping[Key, LedgerEntry], found: Sequence[Correction]) -> None:
    report.corrections.extend(found)
    report.agreed += len(charges) - len(found)
    without = [key for key in billed if key not in charges]
    known = set(Attempt.objects.filter(reservation_id__in={job for job, _ in without}).values_list("reservation_id", "number"))
    report.still_open.extend(attempt_id(key) for key in without if key in known)
    report.unknown.extend(attempt_id(key) for key in without if key not in known)
