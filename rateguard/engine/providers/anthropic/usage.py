"""Anthropic's `usage` object in the ledger's buckets, and in OpenAI's shape.

`input_tokens` is only what was neither read from the cache nor written into it; `output_tokens` includes thinking.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage

_TIERS = {"priority": "priority", "batch": "batch", "flex": "flex"}


def parse_usage(usage: Mapping[str, Any]) -> Usage:
    """The billed tokens of one message.

    Writes that stay for an hour are a part of all writes. terms: `inference_geo` "us" and `speed` "fast" change the whole price. Of the
    hosted tools only searches are billed by the call.
    """
    by_ttl = _inner(usage, "cache_creation")
    short, long = _count(by_ttl, "ephemeral_5m_input_tokens"), _count(by_ttl, "ephemeral_1h_input_tokens")
    written = max(_count(usage, "cache_creation_input_tokens"), short + long)
    output = _count(usage, "output_tokens")
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        cached_tokens=_count(usage, "cache_read_input_tokens"),
        cache_write_tokens=written,
        cache_write_long_tokens=long,
        output_tokens=output,
        reasoning_tokens=min(output, _count(_inner(usage, "output_tokens_details"), "thinking_tokens")),
        tier=_TIERS.get(str(usage.get("service_tier")), ""),
        terms=_terms(usage),
        searches=_count(_inner(usage, "server_tool_use"), "web_search_requests"),
    )


def in_openais_words(usage: Usage) -> dict[str, Any]:
    """The `usage` of a chat completion."""
    prompt = usage.all_input_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def tier_in_openais_words(usage: Mapping[str, Any]) -> str | None:
    """`service_tier` of a chat completion; None where Anthropic told none."""
    told = usage.get("service_tier")
    return "default" if told == "standard" else told


def _terms(usage: Mapping[str, Any]) -> tuple[str, ...]:
    terms = (("us", usage.get("inference_geo") == "us"), ("fast", usage.get("speed") == "fast"))
    return tuple(term for term, holds in terms if holds)


def _inner(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = usage.get(name)
    return value if isinstance(value, Mapping) else {}


def _count(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return max(0, int(value)) if isinstance(value, int | float) else 0
