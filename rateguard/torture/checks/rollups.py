"""The ledger against its rollups: by 15 minutes' dimensions, and by day for users and labels."""

from __future__ import annotations

import collections
from collections.abc import Mapping

from rateguard.torture.checks.evidence import Evidence, Found


def rollup_difference(evidence: Evidence) -> Found:
    """Nano-dollars by which they differ, without regard to the sign, over every key of either."""
    found = Found()
    quarters: collections.Counter[tuple[object, ...]] = collections.Counter()
    days: collections.Counter[tuple[object, ...]] = collections.Counter()
    for entry in evidence.entries:
        quarters[entry.quarter] += entry.nano_usd
        for day in entry.days:
            days[day] += entry.nano_usd
    _compare("quarter", quarters, evidence.quarters, found)
    _compare("day", days, evidence.days, found)
    return found


def _compare(what: str, ledger: Mapping[tuple[object, ...], int], rollups: Mapping[tuple[object, ...], int], found: Found) -> None:
    for key in sorted(ledger.keys() | rollups.keys(), key=str):
        difference = ledger.get(key, 0) - rollups.get(key, 0)
        if difference:
            found.add(f"{what} {', '.join(map(str, key))}: ledger {ledger.get(key, 0)}, rollup {rollups.get(key, 0)}", abs(difference))
