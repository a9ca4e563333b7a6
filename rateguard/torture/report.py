"""What a campaign says at its end: a table of promises, what stands behind those that were not kept, and the command that repeats it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from rateguard.torture.options import Options
from rateguard.torture.record import PROMISES, Findings

SHOWN = 12
"""Lines of detail for a promise that was not kept."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One campaign: what it found, and what of the campaign itself went wrong."""

    seed: int
    findings: Findings
    failures: list[str]

    @property
    def is_good(self) -> bool:
        """Every promise was kept, and the campaign itself went as planned."""
        return not self.findings.unmet() and not self.failures


def show(outcome: Outcome, options: Options, stream: TextIO = sys.stdout) -> None:
    """Print it for a person."""
    console = Console(file=stream, highlight=False, width=max(100, Console(file=stream).width))
    console.print(_table(outcome))
    found = outcome.findings
    console.print(
        f"{found.jobs:,} jobs, {found.faults} faults and {found.provider_faults} bad answers, {len(found.fault_kinds)} kinds; "
        f"{found.estimated_entries:,} estimated entries, {found.corrections:,} corrections"
    )
    for promise in found.unmet():
        lines = found.details.get(promise.key, [])
        for line in lines[:SHOWN]:
            console.print(f"  {promise.key}: {line}", markup=False, soft_wrap=True)
        if len(lines) > SHOWN:
            console.print(f"  {promise.key}: … and {len(lines) - SHOWN} more")
    for failure in outcome.failures:
        console.print(f"  the campaign: {failure}", markup=False, soft_wrap=True)
    if not outcome.is_good:
        console.print(f"to repeat it: {command_for(options, outcome.seed)}", markup=False, soft_wrap=True)


def _table(outcome: Outcome) -> Table:
    table = Table(title=f"torture, seed {outcome.seed}", title_justify="left")
    for column, side in (("promise", "left"), ("seen", "right"), ("asked", "right"), ("", "left")):
        table.add_column(column, justify="right" if side == "right" else "left")
    for promise in PROMISES:
        value = getattr(outcome.findings, promise.key)
        table.add_row(promise.about, _figure(promise.key, value), promise.aim, "kept" if promise.is_met(value) else "NOT KEPT")
    return table


def _figure(key: str, value: float | None) -> str:
    """A count or a time.

    >>> _figure("restart_p99_s", 12.345), _figure("unfinished", 1000), _figure("db_gone_s", None)
    ('12.3 s', '1,000', 'not seen')
    """
    if value is None:
        return "not seen"
    return f"{value:.1f} s" if key.endswith("_s") else f"{value:,}"


def command_for(options: Options, seed: int) -> str:
    """The one command that repeats a campaign."""
    words = ["python3 manage.py torture", f"--seed {seed}", f"--jobs {options.jobs}", f"--faults {options.faults}"]
    return " ".join([*words, f"--broken {options.broken}"] if options.broken else words)


_SUMMED = ("jobs", "faults", "provider_faults", "estimated_entries", "corrections")


def joined(campaigns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last lines of several campaigns as one: sums of what is counted, the worst of what is promised, and each by itself."""
    summed = {name: sum(one[name] for one in campaigns) for name in _SUMMED}
    worst = {promise.key: _worst([one[promise.key] for one in campaigns]) for promise in PROMISES}
    kinds = sorted({kind for one in campaigns for kind in one["fault_kinds"]})
    return {**summed, "fault_kinds": kinds, "seed": campaigns[0]["seed"], **worst, "campaigns": list(campaigns)}


def _worst(values: Sequence[float | None]) -> float | None:
    """The value that is farthest from a promise; None, which was not seen, is the worst.

    >>> _worst([0, -3, 2]), _worst([1.5, None])
    (-3, None)
    """
    seen = [value for value in values if value is not None]
    return None if len(seen) < len(values) else max(seen, key=abs)
