"""All books at once: compared, and with `apply` put right where that is safe.

What is put right: an attempt's ledger to what the bill says of it (a correction entry), and a rollup to the sum of its entries. Everything
else is named for a person.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from rateguard import wiring
from rateguard.engine.errors import GateError
from rateguard.jobs.books import billed, billed_days, days, gate, rollups, rows
from rateguard.jobs.books.formats.values import ReadBill
from rateguard.jobs.books.span import Span
from rateguard.jobs.books.values import DayLine, Difference, Found, gathered
from rateguard.jobs.upkeep.reconcile import Coverage, Report, reconcile


@dataclasses.dataclass(slots=True)
class Books:
    """What was compared and found. report: of a bill by attempts. is_gate_asked: False where it did not answer."""

    days: list[DayLine]
    differences: list[Difference]
    report: Report | None
    is_applied: bool
    is_gate_asked: bool

    @property
    def open_differences(self) -> list[Difference]:
        """Those that stay."""
        return [one for one in self.differences if not one.is_corrected]

    def as_dict(self) -> dict[str, object]:
        """As JSON has it."""
        report = self.report or Report()
        return {
            "object": "books",
            "applied": self.is_applied,
            "gate_compared": self.is_gate_asked,
            "agreed": report.agreed,
            "corrections": len(report.corrections),
            "estimated_corrected": report.estimated_corrected,
            "days": [line.as_dict() for line in self.days],
            "differences": [one.as_dict() for one in self.differences],
        }


def compare(
    span: Span, bill: ReadBill | None = None, *, apply: bool = False, complete: Coverage | None = None, account: str | None = None
) -> Books:
    """Compare all books over these days. account: whose the bill by days is; None: any."""
    found: list[Found] = []
    report = None
    billed_attempts = None if bill is None else bill.attempts
    if billed_attempts is not None or complete is not None:
        report = reconcile(billed_attempts or {}, apply=apply, complete=complete)
        found += billed.differing(report, billed_attempts or {}, is_applied=apply)
    found += rollups.differing(span, apply=apply)
    found += rows.differing(span)
    lines = days.lines(span, billed_attempts)
    if bill is not None and bill.days:
        found += billed_days.differing(span, bill.days, lines, account)
    at_gate = _at_gate()
    return Books(lines, gathered([*found, *(at_gate or ())]), report, is_applied=apply, is_gate_asked=at_gate is not None)


def _at_gate() -> Iterable[Found] | None:
    """What the gate counts otherwise; None where it does not answer."""
    try:
        return list(gate.differing(wiring.gate()))
    except GateError:
        return None
