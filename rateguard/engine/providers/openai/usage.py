"""`usage` as OpenAI's dialect tells it, in the ledger's buckets, which never overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage
from rateguard.engine.providers.counted import count, inner


def parse_usage(usage: Mapping[str, Any], tier: str = "") -> Usage:
    """The billed tokens of a chat or an embedding. tier: the price list's word for the tier that was used.

    `prompt_tokens` includes what was read from and written into the cache; `completion_tokens` includes reasoning. Two dialects differ:
    DeepSeek names its cached input `prompt_cache_hit_tokens`; xAI leaves reasoning out of `completion_tokens`, which its total shows.
    """
    prompt = count(usage, "prompt_tokens")
    completion = count(usage, "completion_tokens")
    inputs, outputs = inner(usage, "prompt_tokens_details"), inner(usage, "completion_tokens_details")
    cached = count(inputs, "cached_tokens") or count(usage, "prompt_cache_hit_tokens")
    written = count(inputs, "cache_write_tokens")
    reasoning = count(outputs, "reasoning_tokens")
    if reasoning and count(usage, "total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    uncached = max(0, prompt - cached - written)
    return Usage(
        input_tokens=uncached,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=completion,
        reasoning_tokens=reasoning,
        audio_input_tokens=min(uncached, count(inputs, "audio_tokens")),
        audio_output_tokens=min(completion, count(outputs, "audio_tokens")),
        tier=tier,
    )


def parse_response_usage(response: Mapping[str, Any], tier: str = "") -> Usage | None:
    """The billed tokens of a whole answer of the endpoint Responses; None where it tells none.

    Written into the cache for 12 hours (`ttl_12h_tokens`) is the long kind. Searches are billed by the call:
    `tool_usage.web_search.num_requests`.
    """
    usage = response.get("usage")
    if not isinstance(usage, Mapping):
        return None
    total = count(usage, "input_tokens")
    inputs, outputs = inner(usage, "input_tokens_details"), inner(usage, "output_tokens_details")
    cached, written = count(inputs, "cached_tokens"), count(inputs, "cache_write_tokens")
    return Usage(
        input_tokens=max(0, total - cached - written),
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_long_tokens=min(written, count(inner(inputs, "cache_write_tokens_details"), "ttl_12h_tokens")),
        output_tokens=count(usage, "output_tokens"),
        reasoning_tokens=count(outputs, "reasoning_tokens"),
        tier=tier,
        searches=count(inner(inner(response, "tool_usage"), "web_search"), "num_requests"),
    )


def in_openais_words(usage: Mapping[str, Any]) -> dict[str, Any]:
    """A `usage` object whose figures mean what OpenAI's mean; what else it says stays in it."""
    billed = parse_usage(usage)
    inputs = {**inner(usage, "prompt_tokens_details"), "cached_tokens": billed.cached_tokens}
    outputs = {**inner(usage, "completion_tokens_details"), "reasoning_tokens": billed.reasoning_tokens}
    total = {"completion_tokens": billed.output_tokens, "total_tokens": billed.all_input_tokens + billed.output_tokens}
    return {**usage, **total, "prompt_tokens_details": inputs, "completion_tokens_details": outputs}
