"""Converse's `usage` in the ledger's buckets, and as OpenAI's shape tells it.

`inputTokens` leaves out what was read from the cache and what was written into it. Source: Bedrock's user guide, prompt caching; the
service model. Reasoning is within `outputTokens`, and Converse does not say how much of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage

_TIERS = {"priority": "priority", "flex": "flex"}
"""The tiers that have a price of their own. `reserved` is paid for beforehand; `default` is the standard."""


def parse_usage(usage: Mapping[str, Any], tier: str = "") -> Usage:
    """The billed tokens. tier: the one that the answer says was used."""
    written = _count(usage, "cacheWriteInputTokens")
    details = [one for one in usage.get("cacheDetails") or () if isinstance(one, Mapping)]
    written_long = sum(_count(one, "inputTokens") for one in details if one.get("ttl") == "1h")
    return Usage(
        input_tokens=_count(usage, "inputTokens"),
        cached_tokens=_count(usage, "cacheReadInputTokens"),
        cache_write_tokens=max(written, sum(_count(one, "inputTokens") for one in details)),
        cache_write_long_tokens=written_long,
        output_tokens=_count(usage, "outputTokens"),
        tier=_TIERS.get(tier, ""),
    )


def tier_of(answer: Mapping[str, Any]) -> str:
    """The tier that an answer, or a stream's metadata, says was used; "" where it says none."""
    tier = answer.get("serviceTier")
    return str(tier.get("type") or "") if isinstance(tier, Mapping) else ""


def as_openai(usage: Usage) -> dict[str, Any]:
    """The usage object of a chat completion."""
    return {
        "prompt_tokens": usage.all_input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.all_input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _count(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return max(0, int(value)) if isinstance(value, int | float) else 0
