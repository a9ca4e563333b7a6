"""The parts of a price that depend on the request, as people write them: an object of dollars, and from and to a row's details.

    {"batch_input_usd": "1", "priority_output_usd": "20", "cache_write_long_usd": "4", "audio_input_usd": "32", "search_usd": "0.01",
     "terms": {"us": "1.1"}, "long_context": [{"above_input_tokens": 272000, "input_usd": "4", "output_usd": "15"}]}

Names: `tenants.pricing.KINDS`, with `batch_`, `flex_`, `priority_` before them those of a tier. What is left out is as tenants/pricing.py
says. `search_usd` is for one call; all others are for a million tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from rateguard.engine.money import NANO, WHOLE_PERMILLE
from tenants.changes.problems import as_invalid
from tenants.pricing import KINDS, TIERS

MICRO = 1_000_000
MOST_USD = 10_000
"""Dollars per million tokens: far above any list, and small enough for the gate to count exactly."""
MOST_SEARCH_USD = 1_000
MOST_LONG_CONTEXTS = 8
MOST_TERMS = 16
MOST_INPUT_TOKENS = 100_000_000
LONGEST_NUMBER = 40

DOLLARS = f"write dollars per million tokens from 0 to {MOST_USD} with at most six places, such as 0.15"
_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
_COLUMNS = ("input", "cached_input", "cache_write", "output")
_OF_TIERS = {f"{tier}_{name}" for tier in TIERS for name in KINDS}
_PLAIN = {name for name in KINDS if name not in _COLUMNS} | _OF_TIERS
_OF_LONG = set(KINDS) | _OF_TIERS
_AS_FILED = {"cache_write_1h": "cache_write_long", "cache_write_12h": "cache_write_long"}

Wrong = list[tuple[str, str]]


def usd_of(pico: int) -> str:
    """Dollars per million tokens, all places that there are.

    >>> usd_of(150_000), usd_of(4_000_000)
    ('0.15', '4')
    """
    text = f"{pico // MICRO}.{pico % MICRO:06d}"
    return text.rstrip("0").rstrip(".")


def shown(details: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a row as people write them."""
    found: dict[str, Any] = _shown_prices(details.get("prices") or {})
    if "search_nano_usd" in details:
        found["search_usd"] = _plain(Decimal(details["search_nano_usd"]) / NANO)
    if "terms" in details:
        found["terms"] = {name: _plain(Decimal(permille) / WHOLE_PERMILLE) for name, permille in details["terms"].items()}
    if details.get("long_context"):
        found["long_context"] = [
            {"above_input_tokens": one["above_input_tokens"], **_shown_prices(one["price"])} for one in details["long_context"]
        ]
    return found


def in_details(details: Mapping[str, Any], parts: object) -> dict[str, Any]:
    """A row's details with these parts in place of its own; facts of the model stay. Raises InvalidRequest, naming each that is wrong."""
    if not isinstance(parts, Mapping):
        raise as_invalid([("parts", 'write an object, such as {} or {"batch_input_usd": "1"}')])
    wrong: Wrong = []
    found: dict[str, Any] = {"prices": _prices(parts, _PLAIN, "parts", wrong, ("search_usd", "terms", "long_context"))}
    if "search_usd" in parts:
        found["search_nano_usd"] = _number(parts["search_usd"], "parts/search_usd", wrong, MOST_SEARCH_USD, NANO, _SEARCH)
    if "terms" in parts:
        found["terms"] = _terms(parts["terms"], wrong)
    if "long_context" in parts:
        found["long_context"] = list(_long_contexts(parts["long_context"], wrong))
    if wrong:
        raise as_invalid(wrong)
    kept = {name: value for name, value in details.items() if name not in {"prices", "terms", "search_nano_usd", "long_context"}}
    return {**kept, **found}


def pico_of(value: object) -> int | None:
    """Dollars per million tokens in pico-dollars a token; None for what is no price."""
    return _scaled(value, MOST_USD, MICRO)


_SEARCH = f"write dollars for one search from 0 to {MOST_SEARCH_USD}, such as 0.01"
_TERM = "write by how much it multiplies the price, from 0 to 100 with at most three places, such as 1.1"
_LONG = f"write a list of at most {MOST_LONG_CONTEXTS} objects, each with above_input_tokens and prices such as input_usd"
_ABOVE = f"write a whole number of tokens from 1 to {MOST_INPUT_TOKENS:,}, another one in each"


def _shown_prices(prices: Mapping[str, int]) -> dict[str, Any]:
    named = {_AS_FILED.get(name, name): pico for name, pico in prices.items()}
    return {f"{name}_usd": usd_of(pico) for name, pico in sorted(named.items())}


def _prices(given: Mapping[Any, Any], names: set[str], where: str, wrong: Wrong, others: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for key, value in given.items():
        name = str(key).removesuffix("_usd")
        if name in names and str(key).endswith("_usd"):
            found[name] = _number(value, f"{where}/{key}", wrong, MOST_USD, MICRO, DOLLARS)
        elif key not in others:
            known = ", ".join(sorted(f"{one}_usd" for one in names if one not in _OF_TIERS))
            text = f"there is no such part; the parts are: {known}, those of a tier as batch_input_usd, {', '.join(others)}"
            wrong.append((f"{where}/{str(key)[:64]}", text))
    return found


def _terms(given: object, wrong: Wrong) -> dict[str, int]:
    if not isinstance(given, Mapping) or len(given) > MOST_TERMS or not all(_WORD.fullmatch(str(name)) for name in given):
        wrong.append(("parts/terms", f'write an object of at most {MOST_TERMS} words and factors, such as {{"us": "1.1"}}'))
        return {}
    return {str(name): _number(value, f"parts/terms/{name}", wrong, 100, WHOLE_PERMILLE, _TERM) for name, value in given.items()}


def _long_contexts(given: object, wrong: Wrong) -> Iterator[dict[str, Any]]:
    if not isinstance(given, list) or len(given) > MOST_LONG_CONTEXTS or not all(isinstance(one, Mapping) for one in given):
        wrong.append(("parts/long_context", _LONG))
        return
    seen: set[int] = set()
    for number, one in enumerate(given):
        where, above = f"parts/long_context/{number}", one.get("above_input_tokens")
        if type(above) is not int or not 1 <= above <= MOST_INPUT_TOKENS or above in seen:
            wrong.append((f"{where}/above_input_tokens", _ABOVE))
            continue
        seen.add(above)
        yield {"above_input_tokens": above, "price": _prices(one, _OF_LONG, where, wrong, ("above_input_tokens",))}


def _number(value: object, where: str, wrong: Wrong, most: int, unit: int, remedy: str) -> int:
    found = _scaled(value, most, unit)
    if found is None:
        wrong.append((where, remedy))
        return 0
    return found


def _scaled(value: object, most: int, unit: int) -> int | None:
    """A number from 0 to `most` in whole parts of 1/unit; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal) or len(str(value)) > LONGEST_NUMBER:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if not number.is_finite() or not 0 <= number <= most or number * unit != int(number * unit):
        return None
    return int(number * unit)


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
