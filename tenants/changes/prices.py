"""Prices, in dollars per million tokens as the providers' lists have them; the rows hold whole millionths of that."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from tenants.changes.actor import Actor
from tenants.changes.named import check_text
from tenants.changes.problems import as_invalid
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.models import Price

MICRO = 1_000_000
MOST_USD = 10_000
"""Dollars per million tokens: far above any list, and small enough for the gate to count exactly."""
COLUMNS = {
    "input_usd": "input_pico",
    "cached_input_usd": "cached_input_pico",
    "cache_write_usd": "cache_write_pico",
    "output_usd": "output_pico",
}
FIELDS = ("valid_from", *COLUMNS)


def usd_of(pico: int) -> str:
    """Dollars per million tokens, all places that there are.

    >>> usd_of(150_000), usd_of(4_000_000)
    ('0.15', '4')
    """
    text = f"{pico // MICRO}.{pico % MICRO:06d}"
    return text.rstrip("0").rstrip(".")


def _shown(row: Price) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "model": row.model,
        "valid_from": row.valid_from,
        **{name: usd_of(getattr(row, column)) for name, column in COLUMNS.items()},
    }


KIND = Kind(
    "price",
    shown=_shown,
    tenant_of=lambda _: None,
    fields=("valid_from", *COLUMNS.values()),
    called={column: name for name, column in COLUMNS.items()},
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
) -> Price:
    """What a provider's model costs from a moment on. Where no price for the cache is named, such tokens cost what input costs."""
    actor.check_operator("prices")
    check_text(model, "/model")
    given = {"input_usd": input_usd, "output_usd": output_usd, "cached_input_usd": cached_input_usd, "cache_write_usd": cache_write_usd}
    columns = _columns({name: value for name, value in given.items() if value is not None})
    of_input = dict.fromkeys(("cached_input_pico", "cache_write_pico"), columns["input_pico"])
    return insert(actor, KIND, Price(provider=provider, model=model, valid_from=valid_from, **{**of_input, **columns}))


@in_one_transaction
def change_price(actor: Actor, price: Price, **fields: Any) -> Price:
    """Other values of some of FIELDS. It acts on what ends from now on: entries of the ledger stay."""
    actor.check_operator("prices")
    return change(actor, KIND, fresh(price, KIND.name), _columns(fields))


@in_one_transaction
def delete_price(actor: Actor, price: Price) -> None:
    """Take a price away: the one before it is in force again."""
    actor.check_operator("prices")
    remove(actor, KIND, fresh(price, KIND.name))


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    """The row's fields: dollars become whole millionths. Raises InvalidRequest."""
    wrong = [
        (name, f"write dollars per million tokens from 0 to {MOST_USD} with at most six places, such as 0.15")
        for name in COLUMNS
        if name in given and not _is_price(given[name])
    ]
    if wrong:
        raise as_invalid(wrong)
    return {COLUMNS.get(name, name): int(value * MICRO) if name in COLUMNS else value for name, value in given.items()}


def _is_price(value: object) -> bool:
    if not isinstance(value, Decimal) or not value.is_finite() or not 0 <= value <= MOST_USD:
        return False
    return value * MICRO == int(value * MICRO)
