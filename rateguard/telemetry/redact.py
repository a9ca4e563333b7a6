"""What never enters a log: secrets and prompts. One processor, run last, over every value of a line, tracebacks too."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

REDACTED = "[redacted]"

SECRET_NAMES = frozenset({"api_key", "apikey", "authorization", "credentials", "password", "secret", "token", "x-api-key", "cookie"})
PROMPT_NAMES = frozenset({"body", "messages", "prompt", "input"})
_SECRET_SUFFIXES = ("_api_key", "_password", "_secret", "_token", "_credentials")

_JSON_WHOLE = 2**63

# Our keys and the providers'; what signs webhooks; anything after "Bearer"; a password inside a URL.
_SECRET_VALUES = re.compile(
    r"\b(?:rg_|sk-)[A-Za-z0-9_-]{6,}|\bwhsec_[A-Za-z0-9+/=_-]{6,}|(?<=Bearer )[^\s'\",]+|(?<=://)[^\s/@'\"]*:[^\s/@'\"]+(?=@)",
    re.IGNORECASE,
)


def is_hidden(name: str) -> bool:
    """Whether values of this name are never written."""
    lowered = name.lower()
    return lowered in SECRET_NAMES or lowered in PROMPT_NAMES or lowered.endswith(_SECRET_SUFFIXES)


def redact_text(text: str) -> str:
    """The text without anything that looks like a secret."""
    return _SECRET_VALUES.sub(REDACTED, text)


def redact(value: Any) -> Any:
    """The value without secrets and prompts, as plain JSON values; what JSON does not know becomes its redacted repr."""
    match value:
        case int() if abs(value) >= _JSON_WHOLE:
            return str(value)
        case None | bool() | int() | float():
            return value
        case str():
            return redact_text(value)
        case Mapping():
            return {str(name): REDACTED if is_hidden(str(name)) else redact(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact(item) for item in value]
        case _:
            return redact_text(str(value) if hasattr(value, "hex") else repr(value))


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor."""
    return {name: item if name.startswith("_") else REDACTED if is_hidden(name) else redact(item) for name, item in event.items()}
