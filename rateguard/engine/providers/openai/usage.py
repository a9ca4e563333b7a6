"""OpenAI's `usage` object in the ledger's buckets, which never overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage


def parse_usage(usage: Mapping[str, Any]) -> Usage:
    """The billed tokens of a chat or an embedding.

    `prompt_tokens` includes what was read from and written into the cache; `completion_tokens` includes reasoning. Two dialects differ:
    DeepSeek names its cached input `prompt_cache_hit_tokens`; xAI leaves reasoning out of `completion_tokens`, which its total shows.
    """
    prompt = _count(usage, "prompt_tokens")
    completion = _count(usage, "completion_tokens")
    inputs = _details(usage, "prompt_tokens_details")
    cached = _count(inputs, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens")
    written = _count(inputs, "cache_write_tokens")
    reasoning = _count(_details(usage, "completion_tokens_details"), "reasoning_tokens")
    if reasoning and _count(usage, "total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    return Usage(
        input_tokens=max(0, prompt - cached - written),
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=completion,
        reasoning_tokens=reasoning,
    )


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = usage.get(name)
    return value if isinstance(value, Mapping) else {}


def _count(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return max(0, int(value)) if isinstance(value, int | float) else 0
