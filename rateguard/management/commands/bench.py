"""`manage.py bench NAME`: one of the measurements in rateguard/bench."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from rateguard.bench import BENCHES
from rateguard.bench.report import Report

LEAST_ROWS = 1_000


class Command(BaseCommand):
    """Prints tables and, as its last line with --json, one JSON object."""

    help = "Measure a part of rateguard on servers of its own. The last line with --json: bench, metrics, versions."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Which benchmark, how large, and for whom."""
        parser.add_argument("name", choices=sorted(BENCHES))
        parser.add_argument("--json", action="store_true", help="end with one line of JSON")
        parser.add_argument("--rows", type=int, metavar="N", help="of `jobs`: each step with N finished and N waiting rows against few")
        parser.add_argument("--quick", action="store_true", help="smaller figures, in seconds instead of minutes")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run it and show what it found."""
        run = import_string(BENCHES[options["name"]].replace(":", "."))
        report: Report = run(is_quick=options["quick"], **_more(options))
        report.show()
        if options["json"]:
            self.stdout.write(report.as_json())


def _more(options: dict[str, Any]) -> dict[str, int]:
    """What one benchmark alone takes."""
    rows: int | None = options["rows"]
    if rows is None:
        return {}
    if options["name"] != "jobs" or rows < LEAST_ROWS:
        raise CommandError(f"--rows is of `bench jobs`, and at least {LEAST_ROWS:,}")
    return {"rows": rows}
