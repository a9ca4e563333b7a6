"""An answer with status 200 that is not one."""

from __future__ import annotations

from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind, ProviderError


def malformed_answer(what: str) -> ProviderError:
    """The error of an answer that began well: the provider worked, so it may bill."""
    return ProviderError(f"200, but {what}", kind=ErrorKind.SERVER, status=200, may_be_billed=True)


def parse_object(body: bytes, what: str = "the answer") -> dict[str, Any]:
    """A JSON object. Raises ProviderError (SERVER) for anything else."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise malformed_answer(f"{what} is not JSON") from None
    if not isinstance(parsed, dict):
        raise malformed_answer(f"{what} is not an object")
    return parsed
