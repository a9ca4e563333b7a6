"""`manage.py reconcile`: rows, ledger, rollups, gate and a provider's bill, compared and, with --apply, corrected."""

from __future__ import annotations

import argparse
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.dateparse import parse_date

from rateguard.engine.money import format_usd
from rateguard.jobs.books.comparing import Books, compare
from rateguard.jobs.books.formats import columns, reading
from rateguard.jobs.books.formats.values import ReadBill
from rateguard.jobs.books.span import Span, day_of
from rateguard.jobs.books.values import WORDS, DayLine, Difference
from rateguard.jobs.upkeep.bill import NOTHING, Amount, InvalidBill
from rateguard.jobs.upkeep.reconcile import Coverage, Report
from rateguard.management.shell import ShellCommand, moment, table, told_in_words
from tenants.models import ProviderAccount, Tenant

SHOWN = 5
"""Attempts listed one by one."""


class Command(ShellCommand):
    """May run again at any time: what is corrected already is found in agreement."""

    help = (
        "Compare rows, ledger, rollups, the gate and a provider's bill, by deployment and day, and name each difference. "
        "Changes nothing without --apply: then corrections are written, matched by attempt, and rollups are put right."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The bill, whether to write, and what is compared."""
        super().add_arguments(parser)
        parser.add_argument("file", nargs="?", type=Path, help="the same as --bill FILE")
        parser.add_argument("--bill", action="append", type=Path, metavar="FILE", help="the provider's bill; may be given several times")
        parser.add_argument(
            "--format",
            choices=reading.FORMATS,
            default=reading.AUTO,
            help="of the bill; by default as its first line shows",
        )
        parser.add_argument("--columns", type=_columns, metavar="NAME=COLUMN,…", help="of a CSV: day=date,model=sku,usd=cost")
        parser.add_argument("--apply", action="store_true", help="write the differences as corrections, and put rollups right")
        parser.add_argument("--account", metavar="ACCOUNT", help="a bill by days is of this provider account alone")
        parser.add_argument(
            "--complete",
            metavar="ACCOUNT",
            help="the bill holds every attempt at this provider account: estimated charges that it does not hold are taken back",
        )
        parser.add_argument("--since", type=_since, help="from this day on, in UTC (2030-01-31); of a complete bill also a time")
        parser.add_argument("--until", type=_until, help="up to this day, which counts too; or up to a time")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Compare, print, and say what was written."""
        bill = _bill(options)
        with told_in_words():
            books = compare(_span(options), bill, apply=options["apply"], complete=_coverage(options), account=_account(options["account"]))
        self.show(options, books.as_dict(), _words(books))


# ---- what was typed


def _bill(options: dict[str, Any]) -> ReadBill | None:
    """All files together; None where there is none."""
    paths = [path for path in (options["file"], *(options["bill"] or ())) if path is not None]
    whole = ReadBill()
    for path in paths:
        try:
            whole.add(reading.read(path, options["format"], options["columns"]))
        except (OSError, InvalidBill) as error:
            raise CommandError(f"{path}: {error}") from None
    return whole if paths else None


def _span(options: dict[str, Any]) -> Span:
    since, until = options["since"], options["until"]
    last = None if until is None else day_of(until - dt.timedelta(microseconds=1))
    return Span(None if since is None else day_of(since), last)


def _coverage(options: dict[str, Any]) -> Coverage | None:
    name = _account(options["complete"])
    return None if name is None else Coverage(name, options["since"], options["until"])


def _account(name: str | None) -> str | None:
    if name is not None and not ProviderAccount.objects.filter(name=name).exists():
        raise CommandError(f"there is no provider account {name!r}")
    return name


def _columns(text: str) -> dict[str, str]:
    try:
        return columns.parse(text)
    except InvalidBill as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _since(text: str) -> dt.datetime:
    """A day's beginning, or a moment."""
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    return moment(text) if day is None else dt.datetime.combine(day, dt.time(), dt.UTC)


def _until(text: str) -> dt.datetime:
    """A day's end, or a moment."""
    found = _since(text)
    return found + dt.timedelta(days=1) if "T" not in text and " " not in text else found


# ---- what is told


def _words(books: Books) -> str:
    parts = [_days(books.days), *map(_difference, books.differences)]
    if books.report is not None:
        parts.append(_of_bill(books.report, is_applied=books.is_applied))
    if not books.is_gate_asked:
        parts.append("the gate does not answer, and was not compared")
    left = len(books.open_differences)
    parts.append(f"{left:,} {'difference' if left == 1 else 'differences'}" if left else "all books agree")
    return "\n".join(part for part in parts if part)


def _days(lines: Iterable[DayLine]) -> str:
    rows = [
        [
            line.day.isoformat(),
            line.deployment or "–",
            f"{line.attempts:,}",
            *(format_usd(one.nano_usd) for one in (line.rows, line.ledger, line.booked, line.rollups)),
            "–" if line.bill is None else format_usd(line.bill.nano_usd),
        ]
        for line in lines
    ]
    return table(["day", "deployment", "attempts", "rows", "ledger", "booked", "rollups", "bill"], rows) if rows else ""


def _difference(one: Difference) -> str:
    place = ", ".join(part for part in ("" if one.day is None else one.day.isoformat(), one.deployment, one.where) if part)
    more = f" … and {one.count - SHOWN:,} more" if one.count > SHOWN and one.attempts else ""
    ending = ", corrected" if one.is_corrected else ""
    lines = [
        f"{WORDS[one.kind]}{': ' if place else ''}{place}: {_amount(one.amount)} in {one.count:,}{ending}",
        f"  probably: {one.cause}",
        *([f"  {', '.join(one.attempts[:SHOWN])}{more}"] if one.attempts else []),
    ]
    return "\n".join(lines)


def _of_bill(report: Report, *, is_applied: bool) -> str:
    verb = "corrected" if is_applied else "to correct (nothing was changed: run it with --apply)"
    by_tenant: dict[int, Amount] = defaultdict(Amount)
    for one in report.corrections:
        by_tenant[one.tenant_id] += one.difference
    names = dict(Tenant.objects.filter(pk__in=by_tenant).values_list("pk", "name"))
    tenants = [f"{names[tenant_id]}: {_amount(amount)}" for tenant_id, amount in sorted(by_tenant.items())]
    summary = (
        f"{report.agreed} agree, {len(report.corrections)} {verb}, {report.estimated_corrected} of them estimated; "
        f"bill − ledger was {_amount(report.difference)}"
    )
    return "\n".join([*tenants, summary])


def _amount(amount: Amount) -> str:
    if amount == NOTHING:
        return "nothing"
    return f"{amount.input_tokens:+,} input, {amount.output_tokens:+,} output tokens, {format_usd(amount.nano_usd)}"
