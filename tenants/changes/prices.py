"""Prices, in dollars per million tokens as the providers' lists have them; the rows hold whole millionths of that."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from rateguard.engine.errors import InvalidRequest
from tenants.changes import price_parts
from tenants.changes.actor import Actor
from tenants.changes.named import check_text
from tenants.changes.price_parts import usd_of
from tenants.changes.problems import as_invalid
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.models import Price

COLUMNS = {
    "input_usd": "input_pico",
    "cached_input_usd": "cached_input_pico",
    "cache_write_usd": "cache_write_pico",
    "output_usd": "output_pico",
}
FIELDS = ("valid_from", *COLUMNS, "parts")


def _shown(row: Price) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "model": row.model,
        "valid_from": row.valid_from,
        **{name: usd_of(getattr(row, column)) for name, column in COLUMNS.items()},
        "parts": parts_of(row),
    }


def parts_of(row: Price) -> dict[str, Any]:
    """What of its price depends on the request, as people write it."""
    return price_parts.shown(row.details)


KIND = Kind(
    "price",
    shown=_shown,
    tenant_of=lambda _: None,
    fields=("valid_from", *COLUMNS.values(), "details"),
    called={**{column: name for name, column in COLUMNS.items()}, "details": "parts"},
    label=lambda row: f"{row.provider}/{row.model}",
)


@in_one_transaction
def create_price(
    actor: Actor,
    *,
    provider: str,
    model: str,
    valid_from: dt.datetime,
    input_usd: Decimal,
    output_usd: Decimal,
    cached_input_usd: Decimal | None = None,
    cache_write_usd: Decimal | None = None,
    parts: object = None,
) -> Price:
    """What a provider's model costs from a moment on. Where no price for the cache is named, such tokens cost what input costs.

    parts: what depends on the request, as price_parts.py says.
    """
    actor.check_operator("prices")
    check_text(model, "/model")
    given = {"input_usd": input_usd, "output_usd": output_usd, "cached_input_usd": cached_input_usd, "cache_write_usd": cache_write_usd}
    columns = _columns({name: value for name, value in given.items() if value is not None})
    of_input = dict.fromkeys(("cached_input_pico", "cache_write_pico"), columns["input_pico"])
    details = price_parts.in_details({}, {} if parts is None else parts)
    row = Price(provider=provider, model=model, valid_from=valid_from, details=details, **{**of_input, **columns})
    return insert(actor, KIND, row)


@in_one_transaction
def change_price(actor: Actor, price: Price, **fields: Any) -> Price:
    """Other values of some of FIELDS; `parts` all together. It acts on what ends from now on: entries of the ledger stay."""
    actor.check_operator("prices")
    if unknown := set(fields) - set(FIELDS):
        raise InvalidRequest(f"what can be changed: {', '.join(FIELDS)}", code="unknown_field", pointer=f"/{min(unknown)}")
    row, given = fresh(price, KIND.name), _columns(fields)
    if "parts" in given:
        given["details"] = price_parts.in_details(row.details, given.pop("parts"))
    return change(actor, KIND, row, given)


@in_one_transaction
def delete_price(actor: Actor, price: Price) -> None:
    """Take a price away: the one before it is in force again."""
    actor.check_operator("prices")
    remove(actor, KIND, fresh(price, KIND.name))


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    """The row's fields: dollars become whole millionths. Raises InvalidRequest."""
    wrong = [(name, price_parts.DOLLARS) for name in COLUMNS if name in given and price_parts.pico_of(given[name]) is None]
    if wrong:
        raise as_invalid(wrong)
    return {COLUMNS.get(name, name): price_parts.pico_of(value) if name in COLUMNS else value for name, value in given.items()}
