"""Converse's `usage` in the ledger's buckets.

`inputTokens` leaves out what was read from the cache and what was written into it. Source: Bedrock's user guide, prompt caching; the
service model. Reasoning is within `outputTokens`, and Converse does not say how much of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage
from rateguard.engine.providers.counted import count

_TIERS = {"priority": "priority", "flex": "flex"}
"""The tiers that have a price of their own. `reserved` is paid for beforehand; `default` is the standard."""


def parse_usage(usage: Mapping[str, Any], tier: str = "") -> Usage:
    """The billed tokens. tier: the one that the answer says was used."""
    written = count(usage, "cacheWriteInputTokens")
    details = [one for one in usage.get("cacheDetails") or () if isinstance(one, Mapping)]
    written_long = sum(count(one, "inputTokens") for one in details if one.get("ttl") == "1h")
    return Usage(
        input_tokens=count(usage, "inputTokens"),
        cached_tokens=count(usage, "cacheReadInputTokens"),
        cache_write_tokens=max(written, sum(count(one, "inputTokens") for one in details)),
        cache_write_long_tokens=written_long,
        output_tokens=count(usage, "outputTokens"),
        tier=_TIERS.get(tier, ""),
    )


def tier_of(answer: Mapping[str, Any]) -> str:
    """The tier that an answer, or a stream's metadata, says was used; "" where it says none."""
    tier = answer.get("serviceTier")
    return str(tier.get("type") or "") if isinstance(tier, Mapping) else ""
