"""Any CSV whose columns are named: `attempt_id=request,usd=cost,…` or `day=date,model=sku,input_tokens=in,output_tokens=out,usd=cost`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping

from rateguard.jobs.books.formats.values import DayAmount, ReadBill, as_day, as_nano_usd, as_tokens
from rateguard.jobs.upkeep.bill import Amount, InvalidBill, parse_attempt_id

MONEY = {"usd": 1, "cents": 100, "micro_usd": 1_000_000, "nano_usd": 1_000_000_000}
"""Columns of money, and how many of each are a dollar."""
KNOWN = ("attempt_id", "day", "model", "input_tokens", "output_tokens", "requests", *MONEY)
ATTEMPT_NEEDS = ("input_tokens", "output_tokens")


def read(lines: Iterable[str], columns: Mapping[str, str]) -> ReadBill:
    """Lines of one attempt, or of one day and model, add up. Raises InvalidBill."""
    _check(columns)
    rows = csv.DictReader(lines)
    absent = sorted(set(columns.values()) - set(rows.fieldnames or ()))
    if absent:
        raise InvalidBill(f"line 1: there is no column {', '.join(absent)}; there are {', '.join(rows.fieldnames or ())}")
    bill = ReadBill()
    for row in rows:
        where = f"line {rows.line_num}"
        told = {name: (row[column] or "").strip() for name, column in columns.items()}
        if "attempt_id" in columns:
            _add_attempt(bill, told, where)
        else:
            bill.add_day((as_day(told["day"], where), told.get("model", "")), _day_amount(told, where))
    return bill


def parse(text: str) -> dict[str, str]:
    """`name=column,…`. Raises InvalidBill."""
    pairs = [one.partition("=") for one in text.split(",")]
    columns = {name.strip(): column.strip() for name, _, column in pairs}
    if not all(equals and column.strip() for _, equals, column in pairs):
        raise InvalidBill(f"{text!r}: write columns like day=date,model=sku,usd=cost")
    _check(columns)
    return columns


def _check(columns: Mapping[str, str]) -> None:
    unknown = sorted(set(columns) - set(KNOWN))
    if unknown:
        raise InvalidBill(f"there is no {', '.join(unknown)} to read; known are {', '.join(KNOWN)}")
    if sum(name in columns for name in MONEY) > 1:
        raise InvalidBill(f"name one column of money: one of {', '.join(MONEY)}")
    if "attempt_id" in columns:
        missing = [name for name in ATTEMPT_NEEDS if name not in columns] + ([] if _money(columns) else ["usd"])
        if missing:
            raise InvalidBill(f"a correction says tokens and money: name the columns of {', '.join(missing)} too")
    elif "day" not in columns or not (_money(columns) or "input_tokens" in columns or "output_tokens" in columns):
        raise InvalidBill("name the column of attempt_id, or of day and of what is compared: input_tokens, output_tokens or usd")


def _money(columns: Mapping[str, str]) -> str | None:
    return next((name for name in MONEY if name in columns), None)


def _nano_usd(told: Mapping[str, str], where: str) -> int | None:
    name = _money(told)
    return None if name is None else as_nano_usd(told[name], where, per_usd=MONEY[name])


def _add_attempt(bill: ReadBill, told: Mapping[str, str], where: str) -> None:
    try:
        key = parse_attempt_id(told["attempt_id"])
    except ValueError:
        raise InvalidBill(f"{where}: {told['attempt_id']!r} is no attempt id") from None
    nano_usd = _nano_usd(told, where) or 0
    if nano_usd < 0:
        raise InvalidBill(f"{where}: an attempt costs nothing or more")
    bill.add_attempts({key: Amount(as_tokens(told["input_tokens"], where), as_tokens(told["output_tokens"], where), nano_usd)})


def _day_amount(told: Mapping[str, str], where: str) -> DayAmount:
    tokens = {name: as_tokens(told[name], where) for name in ("input_tokens", "output_tokens", "requests") if name in told}
    return DayAmount(**tokens, nano_usd=_nano_usd(told, where))
