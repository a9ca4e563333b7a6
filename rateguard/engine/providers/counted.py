"""Figures of a provider's usage as it tells them, and a usage as OpenAI tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage


def count(values: Mapping[str, Any], name: str) -> int:
    """A number of tokens; 0 where it is missing or none."""
    value = values.get(name)
    return max(0, int(value)) if isinstance(value, int | float) else 0


def inner(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within; an empty one where it is missing or none."""
    value = values.get(name)
    return value if isinstance(value, Mapping) else {}


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
