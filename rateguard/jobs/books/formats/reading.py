"""A bill's file, in one of the formats, or in the one that its first line shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.sim.log_file import read_log
from rateguard.jobs.books.formats import columns as named_columns
from rateguard.jobs.books.formats import openai
from rateguard.jobs.books.formats.values import ReadBill
from rateguard.jobs.upkeep.bill import NOTHING, Amount, InvalidBill, Key, parse_attempt_id, read_bill

AUTO, ATTEMPTS, SIM, OPENAI, OPENAI_CSV, CSV = "auto", "attempts", "sim", "openai", "openai-csv", "csv"
FORMATS = (AUTO, ATTEMPTS, SIM, OPENAI, OPENAI_CSV, CSV)
SEEN = 1 << 20
"""So much of a file shows its format."""


def read(path: Path, format: str = AUTO, columns: Mapping[str, str] | None = None) -> ReadBill:  # noqa: A002 - what the option is called
    """Read it whole. Raises InvalidBill with the place of what cannot be read, OSError where the file cannot."""
    chosen = _shown(path, columns) if format == AUTO else format
    try:
        return _read(path, chosen, columns)
    except UnicodeDecodeError:
        raise InvalidBill("it is no text in UTF-8") from None


def _read(path: Path, chosen: str, columns: Mapping[str, str] | None) -> ReadBill:
    match chosen:
        case "sim":
            return ReadBill(attempts=of_simulated(path))
        case "openai":
            return openai.read_json(path.read_bytes())
        case "openai-csv":
            with path.open(encoding="utf-8-sig", newline="") as lines:
                return openai.read_csv(lines)
        case "csv":
            if not columns:
                raise InvalidBill("say with --columns which column is what, such as day=date,model=sku,usd=cost")
            with path.open(encoding="utf-8-sig", newline="") as lines:
                return named_columns.read(lines, columns)
        case _:
            with path.open("rb") as bill:
                return ReadBill(attempts=read_bill(bill))


def of_simulated(path: Path) -> dict[Key, Amount]:
    """What the simulated provider's log bills. Raises InvalidBill."""
    bill: dict[Key, Amount] = {}
    try:
        for one in read_log(path):
            if one.bill is not None:
                key = parse_attempt_id(one.arrival.attempt_id)
                bill[key] = bill.get(key, NOTHING) + Amount(one.bill.input_tokens, one.bill.output_tokens, one.bill.nano_usd)
    except (ConfigurationError, ValueError) as error:
        raise InvalidBill(str(error)) from None
    return bill


def _shown(path: Path, columns: Mapping[str, str] | None) -> str:
    """The format by what the file begins with."""
    if columns:
        return CSV
    with path.open("rb") as file:
        beginning = file.read(SEEN).lstrip()
    first = beginning.partition(b"\n")[0].strip()
    if not first or beginning.startswith(b"["):
        return OPENAI if first else ATTEMPTS
    if not first.startswith(b"{"):
        names = first.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").replace('"', "").split(",")
        return OPENAI_CSV if openai.is_export(names) else CSV if b"," in first else ATTEMPTS
    return _of_object(first)


def _of_object(first: bytes) -> str:
    try:
        found = orjson.loads(first)
    except ValueError:
        return OPENAI if first == b"{" or b'"data"' in first else ATTEMPTS
    if "kind" in found:
        return SIM
    return OPENAI if openai.is_answer(found) else ATTEMPTS
