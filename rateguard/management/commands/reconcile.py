"""`manage.py reconcile BILL`: what a provider billed against what our ledger says; with --apply the difference becomes corrections."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime

from rateguard.engine.money import format_usd
from rateguard.jobs.upkeep.bill import NOTHING, Amount, InvalidBill, attempt_id, read_bill
from rateguard.jobs.upkeep.reconcile import Coverage, Report, reconcile
from tenants.models import ProviderAccount, Tenant

SHOWN = 20
"""Attempts listed one by one."""


class Command(BaseCommand):
    """May run again at any time: what is corrected already is found in agreement."""

    help = (
        "Compare the ledger with a provider's bill: JSON lines of attempt_id, input_tokens, output_tokens, nano_usd. "
        "Changes nothing without --apply."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The bill, whether to write, and what the bill covers."""
        parser.add_argument("bill", type=Path, help="the bill, a file of JSON lines")
        parser.add_argument("--apply", action="store_true", help="write the differences as corrections")
        parser.add_argument(
            "--complete",
            metavar="ACCOUNT",
            help="the bill holds every attempt at this provider account: estimated charges that it does not hold are taken back",
        )
        parser.add_argument("--since", type=_time, help="with --complete: the bill begins here (2030-01-31T12:00:00Z)")
        parser.add_argument("--until", type=_time, help="with --complete: the bill ends before here")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Compare, print, and say what was written."""
        try:
            with options["bill"].open("rb") as lines:
                bill = read_bill(lines)
        except (OSError, InvalidBill) as error:
            raise CommandError(str(error)) from None
        report = reconcile(bill, apply=options["apply"], complete=_coverage(options))
        self._print_table(report)
        self._print_rest(report, is_applied=options["apply"])

    def _print_table(self, report: Report) -> None:
        for one in report.corrections[:SHOWN]:
            mark = "estimated" if one.was_estimated else ""
            self.stdout.write(f"{attempt_id(one.key)}  {_words(one.difference)}  {mark}".rstrip())
        if len(report.corrections) > SHOWN:
            self.stdout.write(f"… and {len(report.corrections) - SHOWN} more")
        by_tenant: dict[int, Amount] = defaultdict(Amount)
        for one in report.corrections:
            by_tenant[one.tenant_id] += one.difference
        names = dict(Tenant.objects.filter(pk__in=by_tenant).values_list("pk", "name"))
        for tenant_id in sorted(by_tenant):
            self.stdout.write(f"{names[tenant_id]:<36}  {_words(by_tenant[tenant_id])}")

    def _print_rest(self, report: Report, *, is_applied: bool) -> None:
        for title, ids in (
            ("billed, but never ours", report.unknown),
            ("billed, but not ended yet: run again later", report.still_open),
            ("charged, but not billed; look at it by hand", report.unbilled),
        ):
            if ids:
                self.stdout.write(f"{len(ids)} {title}: {', '.join(ids[:SHOWN])}{' …' if len(ids) > SHOWN else ''}")
        verb = "corrected" if is_applied else "to correct (nothing was changed: run it with --apply)"
        self.stdout.write(
            f"{report.agreed} agree, {len(report.corrections)} {verb}, {report.estimated_corrected} of them estimated; "
            f"bill − ledger was {_words(report.difference)}"
        )


def _words(amount: Amount) -> str:
    if amount == NOTHING:
        return "nothing"
    return f"{amount.input_tokens:+,} input, {amount.output_tokens:+,} output tokens, {format_usd(amount.nano_usd)}"


def _coverage(options: dict[str, Any]) -> Coverage | None:
    name = options["complete"]
    if name is None:
        if options["since"] or options["until"]:
            raise CommandError("--since and --until say what a --complete bill covers: name its account with --complete ACCOUNT")
        return None
    if not ProviderAccount.objects.filter(name=name).exists():
        raise CommandError(f"there is no provider account {name!r}")
    return Coverage(name, options["since"], options["until"])


def _time(text: str) -> dt.datetime:
    """A moment with its zone."""
    time = parse_datetime(text)
    if time is None or time.tzinfo is None:
        raise CommandError(f"{text!r}: write a time with its zone, such as 2030-01-31T12:00:00Z")
    return time
