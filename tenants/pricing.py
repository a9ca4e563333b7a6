"""What stands in a price's columns and details, as the engine's value: tiers, long contexts, terms, searches. Pure functions.

Names of prices are those of the price list: `input`, `cached_input`, `cache_write`, `cache_write_long`, `output`, `audio_input`,
`audio_output`; with `batch_`, `flex_` or `priority_` before them those of a tier. What a list leaves out is filled in as the providers'
pages and the price lists say:

- a missing price of a tier or of a long context is as far from the standard one as that tier's or context's input is;
- flex costs what batch costs, and the other way round; without either, and for priority, FACTORS, where a provider has one;
- writing into the cache for an hour or longer costs twice the input, where writing costs more than input at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import WHOLE_PERMILLE, LongContext, Price, Rates

KINDS = {
    "input": "input_pico",
    "cached_input": "cached_input_pico",
    "cache_write": "cache_write_pico",
    "cache_write_long": "cache_write_long_pico",
    "output": "output_pico",
    "audio_input": "audio_input_pico",
    "audio_output": "audio_output_pico",
}
"""What has a price of its own, and the engine's name for it."""
TIERS = ("batch", "flex", "priority")

_CALLED_TOO = {"cache_write_1h": "cache_write_long", "cache_write_12h": "cache_write_long"}
"""Anthropic's and OpenAI's long writes, as the price list calls them."""
LONG_WRITE_PERMILLE = 2_000

_HALF = {"batch": 500, "flex": 500}
FACTORS: Mapping[str, Mapping[str, int]] = {
    "openai": {**_HALF, "priority": 2_500},
    "azure": {**_HALF, "priority": 2_500},
    "anthropic": {"batch": 500},
    "gemini": {**_HALF, "priority": 1_800},
    "vertex": {**_HALF, "priority": 1_800},
    "bedrock": {**_HALF, "priority": 1_750},
    "xai": {"batch": 800},
}
"""Permille of the standard price where a list names none for a tier: batches as documented (half, at xAI four fifths); priority by the
dearest in the list. Azure, Bedrock and Vertex beyond what the list names: not verified. Elsewhere a tier costs what standard does."""

TERMS: Mapping[str, Mapping[str, int]] = {"anthropic": {"us": 1_100, "fast": 2_000}}
"""Permille of the whole price: `inference_geo: us`, `speed: fast` (second-hand; of Opus 5.5)."""

SEARCHES: Mapping[str, int] = {"openai": 10_000_000, "anthropic": 10_000_000}
"""Nano-dollars a call of a hosted web search (second-hand)."""


def price_of(provider: str, standard: Rates, details: Mapping[str, Any]) -> Price:
    """The engine's value of a price. standard: its columns."""
    listed = _listed(details.get("prices"))
    rates = _with_parts(standard, listed)
    permille = details.get("terms", TERMS.get(provider, {}))
    tiers = _tiers(rates, listed, FACTORS.get(provider, {}))
    return Price(
        **_as_fields(rates),
        tiers=tiers,
        long_contexts=_long_contexts(rates, dict(tiers), details.get("long_context") or ()),
        terms=tuple(sorted(permille.items())),
        search_nano_usd=details.get("search_nano_usd", SEARCHES.get(provider, 0)),
    )


def scaled(price: Price, permille: int) -> Price:
    """The same list at another level: a region's."""
    fields: dict[str, Any] = {
        "tiers": tuple((name, _scaled_rates(rates, permille)) for name, rates in price.tiers),
        "long_contexts": tuple(_scaled_long(one, permille) for one in price.long_contexts),
    }
    return dataclasses.replace(price, **_as_fields(_scaled_rates(price, permille)), **fields)


def _scaled_long(one: LongContext, permille: int) -> LongContext:
    tiers = tuple((name, _scaled_rates(rates, permille)) for name, rates in one.tiers)
    return dataclasses.replace(one, **_as_fields(_scaled_rates(one, permille)), tiers=tiers)


def _scaled_rates(rates: Rates, permille: int) -> Rates:
    return _rates({name: _part(value, permille, WHOLE_PERMILLE) for name, value in _as_fields(rates).items()})


def _listed(prices: Mapping[str, int] | None) -> dict[str, int]:
    found = dict(prices or {})
    for name, own in _CALLED_TOO.items():
        if name in found:
            found.setdefault(own, found.pop(name))
    return found


def _rates(fields: dict[str, Any]) -> Rates:
    return Rates(**fields)


def _as_fields(rates: Rates) -> dict[str, Any]:
    return {column: getattr(rates, column) for column in KINDS.values()}


def _with_parts(standard: Rates, listed: Mapping[str, int]) -> Rates:
    """The columns, with the prices of parts."""
    long = listed.get("cache_write_long")
    if long is None and standard.cache_write_pico > standard.input_pico:
        long = _part(standard.input_pico, LONG_WRITE_PERMILLE, WHOLE_PERMILLE)
    audio: dict[str, Any] = {column: listed.get(name) for name, column in KINDS.items() if name.startswith("audio_")}
    return dataclasses.replace(standard, cache_write_long_pico=long, **audio)


def _tiers(standard: Rates, listed: Mapping[str, int], factors: Mapping[str, int]) -> tuple[tuple[str, Rates], ...]:
    found = {tier: own for tier in TIERS if (own := {name: listed[f"{tier}_{name}"] for name in KINDS if f"{tier}_{name}" in listed})}
    for tier, alike in (("flex", "batch"), ("batch", "flex")):
        if tier not in found and alike in found:
            found[tier] = found[alike]
    rates = {tier: _filled(own, standard) for tier, own in found.items()}
    for tier, permille in factors.items():
        rates.setdefault(tier, _scaled_rates(standard, permille))
    return tuple(sorted(rates.items()))


def _filled(own: Mapping[str, int], standard: Rates) -> Rates:
    """Listed prices, and those that they leave out, as far from the standard ones as the input is."""
    to, of = (own["input"], standard.input_pico) if "input" in own and standard.input_pico else (1, 1)
    values = _as_fields(standard)
    return _rates({column: own[name] if name in own else _part(values[column], to, of) for name, column in KINDS.items()})


def _long_contexts(standard: Rates, tiers: Mapping[str, Rates], listed: Any) -> tuple[LongContext, ...]:
    found = []
    for one in listed:
        own = _listed(one["price"])
        rates = _filled({name: own[name] for name in KINDS if name in own}, standard)
        by_tier = {name: _as_far(rates, tier, standard) for name, tier in tiers.items()}
        by_tier |= {name: rates for name, rates in _tiers(rates, own, {}) if name in by_tier}
        found.append(LongContext(**_as_fields(rates), tiers=tuple(sorted(by_tier.items())), above_input_tokens=one["above_input_tokens"]))
    return tuple(sorted(found, key=lambda one: -one.above_input_tokens))


def _as_far(rates: Rates, tier: Rates, standard: Rates) -> Rates:
    """A tier of a long context that no list names: as far from its standard as the tier is in a short one."""
    values, mine, usual = _as_fields(rates), _as_fields(tier), _as_fields(standard)
    return _rates({name: _part(value, mine[name], usual[name]) if usual[name] else value for name, value in values.items()})


def _part(value: int | None, to: int, of: int) -> int | None:
    """So many times of `to` in `of`, rounded half up."""
    return None if value is None else (2 * value * to + of) // (2 * of)
