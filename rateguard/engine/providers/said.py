"""What an error's body says, before anybody knows what it means."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import orjson

MESSAGE_CHARS = 300
"""So much of a provider's own words is kept."""


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """In the provider's words; empty where it says nothing. status: of HTTP, or what stands in its place in a stream."""

    status: int
    code: str = ""
    type: str = ""
    message: str = ""


def parsed(body: bytes) -> Any:
    """The body's JSON; None where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def word(value: Any) -> str:
    """A value as text; "" for null."""
    return "" if value is None else str(value)


def in_words(status: int, name: str, message: str) -> str:
    """The error as people read it, of a message that holds no key any more."""
    return f"{status} {name or 'error'}: {message[:MESSAGE_CHARS]}".rstrip(": ")


def without_key(message: str, api_key: str, keys: re.Pattern[str]) -> str:
    """A message that quotes neither the account's key nor what looks like one of its provider's."""
    return keys.sub("[key]", message.replace(api_key, "[key]") if api_key else message)
