"""How a batch's progress is shown: a bar on a terminal, a line every few seconds elsewhere. Both go to standard error."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from rateguard.jobs.states import TERMINAL

LINE_EVERY_S = 5.0


class ProgressDisplay:
    """A context manager that leaves the terminal as it was."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._console = Console(stderr=True, file=sys.stderr)
        self._is_quiet = is_quiet
        self._next_at = 0.0
        self._task: TaskID | None = None
        columns = (BarColumn(30), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console) if self._console.is_terminal and not is_quiet else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, batch: dict[str, Any], *, is_last: bool = False) -> None:
        """How it stands."""
        done = ended(batch)
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("", total=batch["total"])
            self._bar.update(self._task, completed=done, total=batch["total"], description=words(batch), refresh=True)
        elif not self._is_quiet and (is_last or time.monotonic() >= self._next_at):
            self._next_at = time.monotonic() + LINE_EVERY_S
            print(f"{done:,} of {batch['total']:,} done: {words(batch)}", file=sys.stderr, flush=True)


def ended(batch: dict[str, Any]) -> int:
    """Jobs that have ended."""
    return sum(count for state, count in batch["counts"].items() if state in TERMINAL)


def words(batch: dict[str, Any]) -> str:
    """What it cost, what failed, how long the rest takes.

    >>> words({"counts": {"succeeded": 1, "failed": 2}, "rejected": 1, "cost_usd": "0.010000000", "eta_s": 90, "status": "in_progress"})
    '$0.01, 2 failed, 1 left out, about 90 s more'
    """
    dollars = batch["cost_usd"].rstrip("0").rstrip(".")
    parts = [f"${dollars}"]
    parts += [f"{count:,} {state}" for state, count in batch["counts"].items() if state in TERMINAL - {"succeeded"} and count]
    parts += [f"{batch['rejected']:,} left out"] if batch["rejected"] else []
    parts += [f"about {batch['eta_s']:,} s more"] if batch["eta_s"] else []
    return ", ".join(parts)
