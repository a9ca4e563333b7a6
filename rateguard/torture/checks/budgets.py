"""Spent and reserved against each budget, at every moment: from the attempts' reservations and the ledger's lines."""

from __future__ import annotations

import collections
from collections.abc import Iterator

from rateguard.torture.checks.evidence import BudgetSeen, Evidence, Found, Key

Step = tuple[float, int, int]
"""When, 0 for what frees or books (it comes first at one moment) and 1 for what reserves, nano-dollars."""


def budget_overdrafts(evidence: Evidence) -> Found:
    """One for each moment at which a budget was overdrawn. What a provider billed beyond the most that it could is counted apart."""
    found = Found()
    paid: dict[Key, list[tuple[float, int]]] = collections.defaultdict(list)
    for entry in evidence.entries:
        paid[entry.key].append((entry.at, 0 if entry.is_overrun and entry.kind == "correction" else entry.nano_usd))
    overrun = {entry.key for entry in evidence.entries if entry.is_overrun}
    for budget in evidence.budgets:
        used = worst = 0
        for at, _, amount in sorted(_steps(evidence, budget, paid, overrun)):
            before, used = used, used + amount
            if used > budget.amount and used > before:
                worst = max(worst, used)
                since = evidence.record.since(at).strip()
                found.add(f"{budget.name}: {used} of {budget.amount} nano-dollars spent or reserved at {since}")
    return found


def _steps(evidence: Evidence, budget: BudgetSeen, paid: dict[Key, list[tuple[float, int]]], overrun: set[Key]) -> Iterator[Step]:
    """What each attempt on its path did to it: reserved when it began, and booked in the statement that frees the reservation."""
    for attempt in evidence.attempts.values():
        job = evidence.jobs.get(attempt.job)
        if job is None or not budget.pays(job):
            continue
        yield attempt.began_at, 1, attempt.reserved_nano_usd
        if attempt.ended_at is not None:
            yield attempt.ended_at, 0, -attempt.reserved_nano_usd
        for at, nano_usd in paid[attempt.key]:
            yield at, 0, min(nano_usd, attempt.reserved_nano_usd) if attempt.key in overrun else nano_usd
