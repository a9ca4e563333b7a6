"""`manage.py prove NAME`: one of the proofs in rateguard/proofs."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from rateguard.proofs import PROOFS
from rateguard.proofs.findings import Report
from rateguard.proofs.gate import LEAST_S, PARTS, STATED_S


class Command(BaseCommand):
    """Prints a table and, as its last line with --json, one JSON object. Its exit code is 1 where a line is not met."""

    help = "Prove by real processes against the simulated provider what is promised. Exit code 1 where a line is not met."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Which proof, how much of it, and for whom."""
        parser.add_argument("name", choices=sorted(PROOFS))
        parser.add_argument("--seconds", type=float, default=STATED_S, help=f"how long each run under limits lasts (default: {STATED_S:g})")
        parser.add_argument("--only", choices=sorted(PARTS), help="one part")
        parser.add_argument("--postgres", action="store_true", help="on an embedded PostgreSQL instead of SQLite")
        parser.add_argument("--json", action="store_true", help="end with one line of JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run it and show what it found."""
        if options["seconds"] < LEAST_S:
            raise CommandError(f"--seconds is at least {LEAST_S:g}: less shows no limit of 10 s under a backlog")
        run = import_string(PROOFS[options["name"]])
        report: Report = run(seconds=options["seconds"], only=options["only"], is_postgres=options["postgres"])
        report.show()
        if options["json"]:
            self.stdout.write(report.as_json())
        if not report.is_met:
            sys.exit(1)
