"""Gemini's `usageMetadata` in the ledger's buckets, which never overlap. A field that is 0 is left out there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage
from rateguard.engine.providers.counted import count

_TIERS = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex", "priority": "priority", "flex": "flex"}
"""By `trafficType` (Vertex) or `serviceTier` (Gemini API). ON_DEMAND_OFFPEAK and PROVISIONED_THROUGHPUT have no price of their own here."""


def parse_usage(told: Mapping[str, Any], tier: str = "", searches: int = 0) -> Usage:
    """The billed tokens. tier: what the answer's headers or the request say of it, where the usage says nothing.

    `promptTokenCount` includes what was read from the cache. `candidatesTokenCount` is without thoughts, but some endpoints sent it with
    them: so the output is what the total leaves. What Google Search fed to the model is not billed by the token, but by the search
    (litellm; not verified).
    """
    prompt, cached = count(told, "promptTokenCount"), count(told, "cachedContentTokenCount")
    fed, thoughts = count(told, "toolUsePromptTokenCount"), count(told, "thoughtsTokenCount")
    total = count(told, "totalTokenCount")
    output = max(0, total - prompt - fed) if total else count(told, "candidatesTokenCount") + thoughts
    heard = _modality(told.get("promptTokensDetails"), "AUDIO") - _modality(told.get("cacheTokensDetails"), "AUDIO")
    uncached = max(0, prompt - cached)
    return Usage(
        input_tokens=uncached + (0 if searches else fed),
        cached_tokens=min(cached, prompt),
        output_tokens=output,
        reasoning_tokens=min(thoughts, output),
        audio_input_tokens=min(max(0, heard), uncached),
        audio_output_tokens=min(_modality(told.get("candidatesTokensDetails"), "AUDIO"), output),
        tier=tier_used(told, tier),
        searches=searches,
    )


def tier_used(told: Mapping[str, Any], otherwise: str = "") -> str:
    """The tier that was really used, as the ledger says it; "" is the standard one."""
    word = told.get("trafficType") or told.get("serviceTier") or otherwise
    return _TIERS.get(str(word), "")


def shown(usage: Usage) -> dict[str, Any]:
    """A usage in OpenAI's words."""
    prompt = usage.all_input_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": usage.audio_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.audio_output_tokens},
    }


def _modality(details: Any, modality: str) -> int:
    entries = details if isinstance(details, list) else ()
    return sum(count(one, "tokenCount") for one in entries if isinstance(one, Mapping) and one.get("modality") == modality)
