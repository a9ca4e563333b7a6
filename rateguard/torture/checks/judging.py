"""All checks over one campaign's evidence."""

from __future__ import annotations

from collections.abc import Callable

from rateguard.torture.checks import MOST_TOLD
from rateguard.torture.checks.answers import accept_p99_frozen, database_gone
from rateguard.torture.checks.bill import count_entries, ledger_difference
from rateguard.torture.checks.budgets import budget_overdrafts
from rateguard.torture.checks.duplicates import foreign_duplicates
from rateguard.torture.checks.evidence import Evidence, Found
from rateguard.torture.checks.gaps import state_gaps
from rateguard.torture.checks.leftovers import reservations_left, webhooks_missing
from rateguard.torture.checks.restarts import restart_p99
from rateguard.torture.checks.rollups import rollup_difference
from rateguard.torture.checks.unfinished import unfinished
from rateguard.torture.checks.windows import window_violations
from rateguard.torture.record import Findings

CHECKS: dict[str, Callable[[Evidence], Found]] = {
    "unfinished": unfinished,
    "foreign_duplicates": foreign_duplicates,
    "ledger_difference_nano_usd": ledger_difference,
    "rollup_difference": rollup_difference,
    "state_gaps": state_gaps,
    "budget_overdrafts": budget_overdrafts,
    "window_violations": window_violations,
    "reservations_left": reservations_left,
    "webhooks_missing": webhooks_missing,
    "restart_p99_s": restart_p99,
    "accept_p99_frozen_s": accept_p99_frozen,
    "db_gone_s": database_gone,
}
"""By the key of the figure."""


def judge(evidence: Evidence) -> Findings:
    """The figures, and for each at most MOST_TOLD lines of what stands behind it."""
    ours = [fault for fault in evidence.faults if not fault.is_provider]
    estimated, corrections = count_entries(evidence)
    findings = Findings(
        jobs=len(evidence.record.accepted),
        faults=len(ours),
        provider_faults=len(evidence.faults) - len(ours),
        fault_kinds=sorted({fault.kind for fault in evidence.faults}),
        seed=evidence.record.seed,
        estimated_entries=estimated,
        corrections=corrections,
    )
    for key, one in CHECKS.items():
        found = one(evidence)
        setattr(findings, key, found.value)
        if found.lines:
            more = len(found.lines) - MOST_TOLD
            findings.details[key] = [*found.lines[:MOST_TOLD], *([f"… and {more} more"] if more > 0 else [])]
    return findings
