"""OpenAI's own reports: usage and costs, as JSON from its API or as CSV from its console. By day and model, no attempts.

    GET /v1/organization/usage/completions   data[] of buckets: start_time, results[]: model, input_tokens, output_tokens, …
    GET /v1/organization/costs               data[] of buckets: start_time, results[]: amount{value, currency}, line_item ("gpt-5.4, input")

Ask both for `bucket_width=1d` and grouped by model or line item. The CSV has the same fields, flat (`amount_value`, `amount_currency`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from rateguard.jobs.books.formats.values import DayAmount, ReadBill, as_day, as_nano_usd, as_tokens
from rateguard.jobs.upkeep.bill import InvalidBill

Line = tuple[str, object, Mapping[str, Any]]
"""Where it stands, when its bucket began, and its fields."""


def read_json(text: bytes) -> ReadBill:
    """One answer of the API, or several in a list or a line each. Raises InvalidBill."""
    return _read(_buckets(_pages(text)))


def read_csv(lines: Iterable[str]) -> ReadBill:
    """An export of the console. Raises InvalidBill."""
    rows = csv.DictReader(lines)
    if not is_export(rows.fieldnames or ()):
        raise InvalidBill("line 1: it is no export of usage or costs: these have columns start_time and input_tokens or amount_value")
    return _read((f"line {rows.line_num}", row["start_time"], _flat(row)) for row in rows)


def is_export(names: Iterable[str]) -> bool:
    """Whether a CSV with these columns is one."""
    known = set(names)
    return "start_time" in known and bool(known & {"input_tokens", "amount_value"})


def is_answer(found: object) -> bool:
    """Whether this JSON is a page of one of the two."""
    return isinstance(found, dict) and isinstance(found.get("data"), list)


def _read(lines: Iterable[Line]) -> ReadBill:
    bill = ReadBill()
    for where, began_at, fields in lines:
        day = as_day(began_at, where)
        bill.add_day((day, _model(fields)), _amount(fields, where))
    return bill


def _amount(fields: Mapping[str, Any], where: str) -> DayAmount:
    amount = fields.get("amount")
    if amount is not None:
        currency = str(amount.get("currency", "usd")).lower()
        if currency != "usd":
            raise InvalidBill(f"{where}: the ledger is in US dollars, this is in {currency}")
        return DayAmount(nano_usd=as_nano_usd(amount.get("value"), where))
    read, written = as_tokens(fields.get("input_tokens"), where), as_tokens(fields.get("output_tokens"), where)
    parts = {name: as_tokens(fields[told], where) for told, name in _PARTS.items() if fields.get(told) is not None}
    if fields.get("batch") is not None:
        parts["batch_tokens"] = read + written if str(fields["batch"]).lower() == "true" else 0
    return DayAmount(read, written, requests=as_tokens(fields.get("num_model_requests"), where), **parts)


_PARTS = {
    "input_cached_tokens": "cached_tokens",
    "input_audio_tokens": "audio_input_tokens",
    "output_audio_tokens": "audio_output_tokens",
}
"""Parts that have prices of their own, as its reports call them; `batch` says whether a line is of batches, where it is grouped by that."""


def _model(fields: Mapping[str, Any]) -> str:
    """A line item is a model and what of it was used: `gpt-5.4, cached input`."""
    return str(fields.get("model") or str(fields.get("line_item") or "").partition(",")[0]).strip()


def _flat(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if "amount_value" not in row:
        return row
    return {**row, "amount": {"value": row["amount_value"], "currency": row.get("amount_currency") or "usd"}}


def _pages(text: bytes) -> list[Any]:
    try:
        found = orjson.loads(text)
    except ValueError:
        found = _each_line(text)
    pages = found if isinstance(found, list) else [found]
    if not all(is_answer(page) for page in pages):
        raise InvalidBill("it is no answer of the usage or the costs API: it must have `data`, a list of buckets")
    return pages


def _each_line(text: bytes) -> list[Any]:
    try:
        return [orjson.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise InvalidBill(f"it is no JSON: {error}") from None


def _buckets(pages: Iterable[Mapping[str, Any]]) -> Iterator[Line]:
    for bucket_number, bucket in enumerate((bucket for page in pages for bucket in page["data"]), start=1):
        where = f"bucket {bucket_number}"
        if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
            raise InvalidBill(f"{where}: it has no list of results")
        for result in bucket["results"]:
            if not isinstance(result, dict):
                raise InvalidBill(f"{where}: a result is an object")
            yield where, bucket.get("start_time"), result
