"""What an exception of litellm means: by its class where that says more than its status, which is an OpenAI error's. Source: its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.openai.errors import error_from_reply

_BY_CLASS = {
    "ContextWindowExceededError": ErrorKind.CONTEXT_TOO_LONG,
    "ContentPolicyViolationError": ErrorKind.CONTENT_FILTER,
    "BudgetExceededError": ErrorKind.QUOTA_EXHAUSTED,
    "Timeout": ErrorKind.TIMEOUT,
    "TimeoutError": ErrorKind.TIMEOUT,
    "APIConnectionError": ErrorKind.NETWORK,  # its status is a 500 that nobody sent
}
_MAY_BE_BILLED = frozenset({ErrorKind.TIMEOUT, ErrorKind.NETWORK})
_WHEN_UNKNOWN = 500


def error_from_exception(error: Exception, api_key: str) -> ProviderError:
    """Nothing of the key is in it."""
    status = getattr(error, "status_code", None)
    told = error_from_reply(status if isinstance(status, int) and status >= 300 else _WHEN_UNKNOWN, _headers(error), _body(error), api_key)
    kind = next((_BY_CLASS[one.__name__] for one in type(error).__mro__ if one.__name__ in _BY_CLASS), told.kind)
    return ProviderError(
        f"litellm's {type(error).__name__}: {told}",
        kind=kind,
        status=told.status,
        retry_after_ms=told.retry_after_ms,
        cools="account" if kind is ErrorKind.QUOTA_EXHAUSTED else told.cools,
        may_be_billed=told.may_be_billed or kind in _MAY_BE_BILLED,
    )


def _headers(error: Exception) -> Mapping[str, str]:
    headers: Any = getattr(getattr(error, "response", None), "headers", None)
    return {str(name).lower(): str(value) for name, value in headers.items()} if headers else {}


def _body(error: Exception) -> bytes:
    told = {"message": getattr(error, "message", None) or str(error), "code": getattr(error, "code", None)}
    return orjson.dumps({"error": {name: str(value) for name, value in told.items() if value}})
