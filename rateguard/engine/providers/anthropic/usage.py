"""Anthropic's `usage` object in the ledger's buckets.

`input_tokens` is only what was neither read from the cache nor written into it; `output_tokens` includes thinking.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage
from rateguard.engine.providers.counted import count, inner

_TIERS = {"priority": "priority", "batch": "batch", "flex": "flex"}


def parse_usage(usage: Mapping[str, Any]) -> Usage:
    """The billed tokens of one message.

    Writes that stay for an hour are a part of all writes. terms: `inference_geo` "us" and `speed` "fast" change the whole price. Of the
    hosted tools only searches are billed by the call.
    """
    by_ttl = inner(usage, "cache_creation")
    short, long = count(by_ttl, "ephemeral_5m_input_tokens"), count(by_ttl, "ephemeral_1h_input_tokens")
    written = max(count(usage, "cache_creation_input_tokens"), short + long)
    output = count(usage, "output_tokens")
    return Usage(
        input_tokens=count(usage, "input_tokens"),
        cached_tokens=count(usage, "cache_read_input_tokens"),
        cache_write_tokens=written,
        cache_write_long_tokens=long,
        output_tokens=output,
        reasoning_tokens=min(output, count(inner(usage, "output_tokens_details"), "thinking_tokens")),
        tier=_TIERS.get(str(usage.get("service_tier")), ""),
        terms=_terms(usage),
        searches=count(inner(usage, "server_tool_use"), "web_search_requests"),
    )


def tier_in_openais_words(usage: Mapping[str, Any]) -> str | None:
    """`service_tier` of a chat completion; None where Anthropic told none."""
    told = usage.get("service_tier")
    return "default" if told == "standard" else told


def _terms(usage: Mapping[str, Any]) -> tuple[str, ...]:
    terms = (("us", usage.get("inference_geo") == "us"), ("fast", usage.get("speed") == "fast"))
    return tuple(term for term, holds in terms if holds)
