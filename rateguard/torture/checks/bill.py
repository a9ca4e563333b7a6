"""The provider's bill, from its log on disk, and reconciling with it."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from pathlib import Path

from rateguard.engine.providers.sim.log_file import Written, read_log
from rateguard.jobs.upkeep.bill import NOTHING, Amount, Key, parse_attempt_id
from rateguard.jobs.upkeep.reconcile import Coverage, Report, reconcile
from rateguard.torture.checks.connecting import connect_anew
from rateguard.torture.checks.evidence import Evidence, Found
from rateguard.torture.work.world import ACCOUNTS


def bill_of(log: Path) -> dict[Key, Amount]:
    """What the provider bills of each attempt, as its log says."""
    return billed(read_log(log))


def billed(log: Iterable[Written]) -> dict[Key, Amount]:
    """The same, of a log that was read."""
    bill: dict[Key, Amount] = {}
    for one in log:
        if one.bill is not None:
            key = parse_attempt_id(one.arrival.attempt_id)
            bill[key] = bill.get(key, NOTHING) + Amount(one.bill.input_tokens, one.bill.output_tokens, one.bill.nano_usd)
    return bill


def reconcile_all(log: Path) -> list[Report]:
    """Make our ledger say what the bill says: `reconcile --apply`, with each account's bill complete."""
    connect_anew()
    bill = bill_of(log)
    return [reconcile(bill, apply=True, complete=Coverage(name)) for name in ACCOUNTS]


def ledger_difference(evidence: Evidence) -> Found:
    """Nano-dollars by which our ledger and the bill differ, summed over attempts without regard to the sign."""
    found = Found()
    ledger: collections.Counter[Key] = collections.Counter()
    for entry in evidence.entries:
        ledger[entry.key] += entry.nano_usd
    bill = {key: amount.nano_usd for key, amount in billed(evidence.log).items()}
    for key in sorted(ledger.keys() | bill.keys()):
        difference = ledger[key] - bill.get(key, 0)
        if difference:
            attempt = evidence.attempts.get(key)
            how = f"{attempt.state} {attempt.error_code}".strip() if attempt else "no such attempt"
            found.add(f"attempt {key[0]}.{key[1]} ({how}): ledger {ledger[key]}, bill {bill.get(key, 0)}", abs(difference))
    return found


def count_entries(evidence: Evidence) -> tuple[int, int]:
    """Estimated charges, corrections."""
    estimated = sum(entry.is_estimated and entry.kind == "charge" for entry in evidence.entries)
    return estimated, sum(entry.kind == "correction" for entry in evidence.entries)
