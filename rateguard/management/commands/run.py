"""`manage.py run`: look at a run with all that is inside it, or stop it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.api.runs.views import render_run, render_run_tree
from rateguard.engine.money import NANO, format_usd
from rateguard.jobs.controls.runs import stop_run
from rateguard.jobs.insight.runtree import read_tree
from rateguard.management.shell import ShellCommand, told_in_words, who
from tenants.models import Run

SHOWN = 20
"""Jobs of one run that are listed in words."""


class Command(ShellCommand):
    """A stop is for good: what waits is cancelled, what runs is asked to end, and nothing more of the run starts."""

    help = "Show a run with its tree of runs and jobs, or stop it and all runs inside it."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do, and with which run."""
        super().add_arguments(parser)
        parser.add_argument("action", choices=("show", "stop"))
        parser.add_argument("run", help="the run's id")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Show or stop."""
        run = _found(options["run"])
        if options["action"] == "stop":
            is_stopped = stop_run(run, by=who())
            self.show(options, render_run(run), f"stopped run {run.pk}" if is_stopped else f"run {run.pk} was stopped before")
            return
        with told_in_words():
            shown = render_run_tree(read_tree(run))
        self.show(options, shown, "\n".join(_lines(shown)))


def _found(text: str) -> Run:
    try:
        run = Run.objects.filter(pk=uuid.UUID(text)).first()
    except ValueError:
        run = None
    if run is None:
        raise CommandError(f"there is no run {text!r}")
    return run


def _lines(shown: dict[str, Any], indent: str = "") -> Iterator[str]:
    """A run in words, then its jobs and the runs inside it, further in."""
    left = [f"{_dollars(shown['left_usd'])} left"] if shown["left_usd"] is not None else []
    left += [f"{_calls(shown['left_calls'])} left"] if shown["left_calls"] is not None else []
    parts = [shown["status"], _calls(shown["calls"]), _dollars(shown["cost_usd"]), *left]
    parts += [f"until {shown['deadline']}"] if shown["deadline"] else []
    yield f"{indent}{shown['name'] or 'run'} {shown['id']}: {', '.join(parts)}"
    for job in shown["jobs"][:SHOWN]:
        yield f"{indent}  {job['id']}  {job['status']:<9}  {job['model']}  {_dollars(job['cost_usd'])}"
    if shown["job_count"] > SHOWN:
        yield f"{indent}  … and {shown['job_count'] - SHOWN:,} more jobs"
    for inside in shown["runs"]:
        yield from _lines(inside, indent + "    ")


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"


def _dollars(text: str) -> str:
    return format_usd(int(Decimal(text) * NANO))
