"""What an error of Anthropic's means: (error code, type, status, message) → ProviderError.

Sources: Anthropic's errors page, the error classes of its Python client (2.12), recorded replies. The code is matched first, then what
messages tell (a spend limit hides in a 400), then the type, which also holds within a stream, where the status says 200; the status last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.anthropic.limits import date_s
from rateguard.engine.providers.retry_after import retry_after_ms
from rateguard.engine.providers.said import Said, in_words, parsed, without_key, word

_BY_CODE = {
    "ramp_limit_exceeded": ErrorKind.RATE_LIMITED,
    "enforced_spend_limit_reached": ErrorKind.QUOTA_EXHAUSTED,
    "contract_spend_limit_reached": ErrorKind.QUOTA_EXHAUSTED,
    "linked_organization_spend_limit_reached": ErrorKind.QUOTA_EXHAUSTED,
    "linked_organization_billing_unavailable": ErrorKind.QUOTA_EXHAUSTED,
    "organization_on_hold": ErrorKind.QUOTA_EXHAUSTED,
    "cmek_key_disabled": ErrorKind.AUTH,
    "cmek_key_network_blocked": ErrorKind.AUTH,
}
_OF_ACCOUNT = frozenset({"cmek_context_unavailable", "cmek_key_unreachable", "registration_pending"})
"""503s that come from the account's own setup: the account waits, and the deployment's breaker is not told."""
_BY_TYPE = {
    "authentication_error": ErrorKind.AUTH,
    "permission_error": ErrorKind.AUTH,
    "billing_error": ErrorKind.QUOTA_EXHAUSTED,
    "not_found_error": ErrorKind.NOT_FOUND,
    "rate_limit_error": ErrorKind.RATE_LIMITED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "api_error": ErrorKind.SERVER,
    "timeout_error": ErrorKind.SERVER,
    "invalid_request_error": ErrorKind.BAD_REQUEST,
    "request_too_large": ErrorKind.BAD_REQUEST,
    "conflict_error": ErrorKind.CONFLICT,
}
_BY_STATUS = {
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA_EXHAUSTED,
    403: ErrorKind.AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.CONFLICT,
    429: ErrorKind.RATE_LIMITED,
    503: ErrorKind.OVERLOADED,
    529: ErrorKind.OVERLOADED,
}
_SAME_WHATEVER_TYPE = frozenset({408, 409})
_GATEWAY_GAVE_UP = frozenset({408, 504, 524})
"""Whoever stands before the model gave up; the model may go on, and be billed."""

_TOO_LONG = re.compile(r"prompt is too long|exceeds? (?:the )?context limit|input is too long|maximum context length", re.IGNORECASE)
_FILTERED = re.compile(r"blocked by content filtering policy", re.IGNORECASE)
_SPENT = re.compile(r"reached your specified (?:workspace )?API usage limits|credit balance is too low", re.IGNORECASE)
_KEY = re.compile(r"\bsk-ant-[\w*.-]{4,}")


def error_from_reply(status: int, headers: Mapping[str, str], body: bytes, api_key: str) -> ProviderError:
    """The error that an answer with a status other than 2xx means."""
    return _build(_read(status, parsed(body)), headers, api_key, may_be_billed=status in _GATEWAY_GAVE_UP)


def error_in_answer(data: Mapping[str, Any], headers: Mapping[str, str], api_key: str) -> ProviderError:
    """The error that came with status 200, as a rule within a stream: the model had begun to work, so it may be billed."""
    return _build(_read(200, data), headers, api_key, may_be_billed=True)


def _read(status: int, data: Any) -> Said:
    error = data.get("error") if isinstance(data, Mapping) else None
    if not isinstance(error, Mapping):
        return Said(status, message=error if isinstance(error, str) else "")
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, Mapping) else None
    return Said(status, word(code), word(error.get("type")), word(error.get("message")))


def _build(said: Said, headers: Mapping[str, str], api_key: str, *, may_be_billed: bool) -> ProviderError:
    kind = _kind(said)
    return ProviderError(
        _describe(said, api_key),
        kind=kind,
        status=said.status,
        retry_after_ms=_wait_ms(kind, said, headers),
        cools=_cools(kind, said),
        may_be_billed=may_be_billed,
    )


def _kind(said: Said) -> ErrorKind:
    if said.code in _OF_ACCOUNT:
        return ErrorKind.RATE_LIMITED
    if kind := _BY_CODE.get(said.code):
        return kind
    if _SPENT.search(said.message):
        return ErrorKind.QUOTA_EXHAUSTED
    if _TOO_LONG.search(said.message):
        return ErrorKind.CONTEXT_TOO_LONG
    if _FILTERED.search(said.message):
        return ErrorKind.CONTENT_FILTER
    kind = None if said.status in _SAME_WHATEVER_TYPE else _BY_TYPE.get(said.type)
    kind = kind or _BY_STATUS.get(said.status)
    return kind or (ErrorKind.SERVER if said.status >= 500 or said.status == 200 else ErrorKind.BAD_REQUEST)


def _wait_ms(kind: ErrorKind, said: Said, headers: Mapping[str, str]) -> int | None:
    """What Anthropic asks for; of a limit else when its bucket is full again."""
    if kind not in {ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED}:
        return None
    date = headers.get("date")
    return retry_after_ms(headers, said.message, date_s(date) if date else None, of_limit=kind is ErrorKind.RATE_LIMITED)


def _cools(kind: ErrorKind, said: Said) -> str:
    """Anthropic's limits hold for a class of models in an organization; spent money and the account's setup stop all of it."""
    if kind is ErrorKind.QUOTA_EXHAUSTED or said.code in _OF_ACCOUNT:
        return "account"
    return "deployment" if kind is ErrorKind.RATE_LIMITED else ""


def _describe(said: Said, api_key: str) -> str:
    return in_words(said.status, said.code or said.type, without_key(said.message, api_key, _KEY))
