"""How long a call may take, as people write it: `30`, or `{"connect": 5, "first_token": 30, "total": 600}`, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import InvalidRequest

PARTS = {"connect": "connect_timeout_s", "first_token": "first_token_timeout_s", "total": "timeout_s"}


def timeouts_of(given: object, pointer: str = "/job/timeout") -> dict[str, Any]:
    """A submission's fields. A number is the total. What a part may be is judged by `checking`. Raises InvalidRequest."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        return {"timeout_s": given}  # what is no whole number is told by `checking`
    unknown = [name for name in given if name not in PARTS]
    if unknown:
        raise InvalidRequest(
            f"a timeout has the parts {', '.join(PARTS)}", code="unknown_field", pointer=f"{pointer}/{str(unknown[0])[:100]}"
        )
    return {PARTS[name]: seconds for name, seconds in given.items() if seconds is not None}
