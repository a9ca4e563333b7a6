"""List prices: from the shipped file into rows, and from rows to the engine's values."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from rateguard.engine import money
from tenants.models import Price

PRICE_FILE = Path(__file__).parent / "data" / "prices.json"

FROM_THE_START = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""When the shipped prices begin: before any use, because the file knows no older ones; a later row replaces them from its moment on."""

_COLUMNS = {"input", "cached_input", "cache_write", "output"}
_FACTS = ("kind", "context_tokens", "max_output_tokens", "long_context", "shutdown_date")


class PriceRow(TypedDict):
    """The fields of one `Price` row."""

    provider: str
    model: str
    valid_from: dt.datetime
    input_pico: int
    cached_input_pico: int
    cache_write_pico: int
    output_pico: int
    details: dict[str, Any]


def rows_of_file(path: Path = PRICE_FILE) -> Iterator[PriceRow]:
    """The shipped list prices as rows. The file's unit, micro-dollars per million tokens, is pico-dollars a token.

    Where the file names no separate price for reading or writing the cache, such tokens cost what input costs.
    """
    for model in json.loads(path.read_text(encoding="utf-8"))["models"]:
        prices = model["price"]
        yield PriceRow(
            provider=model["provider"],
            model=model["model"],
            valid_from=FROM_THE_START,
            input_pico=prices["input"],
            cached_input_pico=prices.get("cached_input", prices["input"]),
            cache_write_pico=prices.get("cache_write", prices["input"]),
            output_pico=prices.get("output", 0),
            details={
                "prices": {name: value for name, value in prices.items() if name not in _COLUMNS},
                **{name: model[name] for name in _FACTS if name in model},
            },
        )


def load_prices(path: Path = PRICE_FILE) -> int:
    """Write the shipped list prices into the database, over rows of the same moment. Returns how many there are."""
    rows = [Price(**row) for row in rows_of_file(path)]
    key = ["provider", "model", "valid_from"]
    values = ["input_pico", "cached_input_pico", "cache_write_pico", "output_pico", "details"]
    Price.objects.bulk_create(rows, update_conflicts=True, unique_fields=key, update_fields=values)
    return len(rows)


def as_price(row: Price) -> money.Price:
    """The engine's value of a row."""
    return money.Price(
        input_pico=row.input_pico,
        cached_input_pico=row.cached_input_pico,
        cache_write_pico=row.cache_write_pico,
        output_pico=row.output_pico,
    )


def price_for(provider: str, model: str, at: dt.datetime) -> money.Price | None:
    """The price in force at a moment, or None where none is known."""
    row = Price.objects.filter(provider=provider, model=model, valid_from__lte=at).order_by("-valid_from").first()
    return as_price(row) if row else None


def prices_at(at: dt.datetime) -> dict[tuple[str, str], money.Price]:
    """All prices in force at a moment, by (provider, model), in one query."""
    rows = Price.objects.filter(valid_from__lte=at).order_by("valid_from")
    return {(row.provider, row.model): as_price(row) for row in rows}
