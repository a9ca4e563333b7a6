"""What Gemini cannot do, said before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.features import UNSUPPORTED


def unsupported(message: str, pointer: str) -> InvalidRequest:
    """The refusal of something that Gemini has no word for. pointer: the JSON pointer of the field."""
    return InvalidRequest(message, code=UNSUPPORTED, pointer=pointer)


def invalid(message: str, pointer: str) -> InvalidRequest:
    """The refusal of something that no provider could read."""
    return InvalidRequest(message, pointer=pointer)


def refuse_cache_control(value: Mapping[str, Any], pointer: str) -> None:
    """Gemini caches by itself, or by `cachedContents` that are made beforehand: a mark within a request has no meaning there."""
    if value.get("cache_control"):
        raise unsupported("gemini caches prompts by itself and takes no marks: leave cache_control out", f"{pointer}/cache_control")
