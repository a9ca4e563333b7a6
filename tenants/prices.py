"""List prices: from the shipped file into rows, and from rows to the engine's values."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from rateguard.engine import money
from tenants.models import Deployment, Price
from tenants.pricing import price_of, scaled

PRICE_FILE = Path(__file__).parent / "data" / "prices.json"

FROM_THE_START = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""When the shipped prices begin: before any use, because the file knows no older ones; a later row replaces them from its moment on."""

PROVIDERS_OF = {
    "gemini": ("gemini", "vertex"),
    "bedrock_converse": ("bedrock",),
    "together_ai": ("together",),
    "fireworks_ai": ("fireworks",),
}
"""Where the price list calls a provider otherwise than accounts do. Vertex: Gemini's prices, where the list has none of its own."""

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
        for provider in PROVIDERS_OF.get(model["provider"], (model["provider"],)):
            yield PriceRow(
                provider=provider,
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
    standard = money.Rates(row.input_pico, row.cached_input_pico, row.cache_write_pico, row.output_pico)
    return price_of(row.provider, standard, row.details)


def price_for(provider: str, model: str, at: dt.datetime) -> money.Price | None:
    """The price in force at a moment, or None where none is known."""
    rows = Price.objects.filter(provider=provider, model__in=[name for name, _ in _asked(provider, model)], valid_from__lte=at)
    return find_price({(row.provider, row.model): as_price(row) for row in rows.order_by("valid_from")}, provider, model)


def prices_at(at: dt.datetime) -> dict[tuple[str, str], money.Price]:
    """All prices in force at a moment, by (provider, model), in one query."""
    rows = Price.objects.filter(valid_from__lte=at).order_by("valid_from")
    latest = {(row.provider, row.model): row for row in rows}
    return {key: as_price(row) for key, row in latest.items()}


def find_price(prices: Mapping[tuple[str, str], money.Price], provider: str, model: str) -> money.Price | None:
    """What a model is charged by, as its provider is called: its own price, else that of the model behind a profile's prefix."""
    for name, permille in _asked(provider, model):
        found = prices.get((provider, name))
        if found is not None:
            return found if permille == money.WHOLE_PERMILLE else scaled(found, permille)
    return None


def find_price_of(prices: Mapping[tuple[str, str], money.Price], row: Deployment) -> money.Price | None:
    """What a deployment is charged by: the model that its option `base_model` names, else what its provider calls it."""
    base = row.options.get("base_model") or row.account.options.get("base_model")
    names = (str(base), row.upstream_model) if base else (row.upstream_model,)
    return next((found for name in names if (found := find_price(prices, row.account.provider, name)) is not None), None)


_PROFILES = ("us.", "eu.", "apac.", "global.", "jp.", "au.")
_PROFILE_PERMILLE = 1_100


def _asked(provider: str, model: str) -> Iterator[tuple[str, int]]:
    """The model, and at Bedrock the one that an inference profile of a region leads to.

    Bedrock's `us.` and `eu.` cost a tenth more for newer Claude, `global.` the same: so say two price lists. Taken for the other regions'
    and all of Claude too: not verified, and rather too much.
    """
    yield model, money.WHOLE_PERMILLE
    region = next((prefix for prefix in _PROFILES if model.startswith(prefix)), "")
    if provider == "bedrock" and region:
        is_dearer = region != "global." and model.startswith(f"{region}anthropic.")
        yield model.removeprefix(region), _PROFILE_PERMILLE if is_dearer else money.WHOLE_PERMILLE
