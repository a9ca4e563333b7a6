"""What an error of Google's means: (reason, status word, HTTP status, message, details) → ProviderError.

Sources: google.rpc's error model (ErrorInfo, RetryInfo, QuotaFailure), Google's pages on errors and rate limits, and recorded replies.
The whole may stand in a list of one. An exhausted daily quota and a limit of 0 are told apart from a passing limit by the quota's name.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.retry_after import MAX_WAIT_MS, parse_duration_ms, retry_after_ms
from rateguard.engine.providers.said import in_words, parsed, without_key

SHARED_CAPACITY_MS = 2_000
"""How long a deployment rests where Vertex says that its shared pool is busy and names no quota of ours (not verified)."""

_BY_REASON = dict.fromkeys(
    ("API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED"),
    ErrorKind.AUTH,
)
_BY_WORD = {
    "UNAUTHENTICATED": ErrorKind.AUTH,
    "PERMISSION_DENIED": ErrorKind.AUTH,
    "NOT_FOUND": ErrorKind.NOT_FOUND,
    "UNAVAILABLE": ErrorKind.OVERLOADED,
    "INTERNAL": ErrorKind.SERVER,
    "UNKNOWN": ErrorKind.SERVER,
    "DEADLINE_EXCEEDED": ErrorKind.SERVER,
    "ABORTED": ErrorKind.CONFLICT,
}
_BY_STATUS = {
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA_EXHAUSTED,  # prepaid money is gone
    403: ErrorKind.AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.CONFLICT,
    503: ErrorKind.OVERLOADED,
}
_GATEWAY_GAVE_UP = frozenset({504, 524})  # the model behind may go on, and bill

_TOO_LONG = re.compile(r"token count.{0,80}exceeds the maximum|exceeds the maximum number of (?:input )?tokens", re.IGNORECASE | re.DOTALL)
_SPENT = re.compile(r"spending cap|credits are depleted|monthly spend", re.IGNORECASE)  # not verified
_NOTHING_ALLOWED = re.compile(r"\blimit: 0\b(?!\.\d)")
_KEY = re.compile(r"AIza[\w-]{10,}|ya29\.[\w.-]+")


@dataclasses.dataclass(frozen=True, slots=True)
class _Said:
    """What an error's body says; empty where it says nothing. status: the HTTP status, or what stands in its place in a stream."""

    status: int
    word: str = ""
    message: str = ""
    details: Sequence[Mapping[str, Any]] = ()

    def of_type(self, name: str) -> Mapping[str, Any]:
        """The detail of that google.rpc type."""
        return next((one for one in self.details if str(one.get("@type")).endswith(name)), {})

    @property
    def violations(self) -> list[Mapping[str, Any]]:
        """The quotas that were exceeded."""
        found = self.of_type("QuotaFailure").get("violations")
        return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def error_from_reply(status: int, headers: Mapping[str, str], body: bytes, api_key: str, *, is_shared: bool = False) -> ProviderError:
    """The error that an answer with a status other than 2xx means. is_shared: the model's capacity is that of all customers (Vertex)."""
    said = _read(status, parsed(body))
    return _build(said, headers, api_key, is_shared=is_shared, may_be_billed=status in _GATEWAY_GAVE_UP)


def error_in_answer(error: Any, headers: Mapping[str, str], api_key: str, *, is_shared: bool = False) -> ProviderError:
    """The error that came within a stream, with HTTP status 200: the model had begun to work, so it may bill."""
    said = _read(200, {"error": error})
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, int):
        said = dataclasses.replace(said, status=code)
    return _build(said, headers, api_key, is_shared=is_shared, may_be_billed=True)


def _read(status: int, data: Any) -> _Said:
    if isinstance(data, list) and data:
        data = data[0]
    error = data.get("error") if isinstance(data, Mapping) else None
    if not isinstance(error, Mapping):
        return _Said(status, message=str(error or ""))
    details = error.get("details")
    listed = [one for one in details if isinstance(one, Mapping)] if isinstance(details, list) else []
    return _Said(status, str(error.get("status") or ""), str(error.get("message") or ""), listed)


def _build(said: _Said, headers: Mapping[str, str], api_key: str, *, is_shared: bool, may_be_billed: bool) -> ProviderError:
    kind = _kind(said)
    wait = _wait_ms(said, headers) if kind in {ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED} else None
    if wait is None and kind is ErrorKind.RATE_LIMITED and is_shared and not said.violations:
        wait = SHARED_CAPACITY_MS
    return ProviderError(
        _describe(said, api_key),
        kind=kind,
        status=said.status,
        retry_after_ms=wait,
        cools=_cools(kind, said),
        may_be_billed=may_be_billed,
    )


def _kind(said: _Said) -> ErrorKind:
    if said.word == "RESOURCE_EXHAUSTED" or (not said.word and said.status == 429):
        return ErrorKind.QUOTA_EXHAUSTED if _is_spent(said) else ErrorKind.RATE_LIMITED
    told = _BY_REASON.get(str(said.of_type("ErrorInfo").get("reason"))) or _BY_WORD.get(said.word) or _BY_STATUS.get(said.status)
    if told is not None:
        return told
    if said.status >= 500 or said.status == 200:
        return ErrorKind.SERVER
    return ErrorKind.CONTEXT_TOO_LONG if _TOO_LONG.search(said.message) else ErrorKind.BAD_REQUEST


def _is_spent(said: _Said) -> bool:
    """Whether waiting some minutes does not help: a quota of the day, a model that the account may not use, money that is gone."""
    is_daily = any("PerDay" in str(one.get("quotaId")) for one in said.violations)
    is_none = any(str(one.get("quotaValue")) == "0" for one in said.violations) or _NOTHING_ALLOWED.search(said.message)
    return bool(is_daily or is_none or _SPENT.search(said.message))


def _cools(kind: ErrorKind, said: _Said) -> str:
    """A quota is a model's, unless its name says nothing of a model; money is the account's."""
    if kind not in {ErrorKind.RATE_LIMITED, ErrorKind.QUOTA_EXHAUSTED}:
        return ""
    if not said.violations:
        return "account" if kind is ErrorKind.QUOTA_EXHAUSTED else "deployment"
    is_model = all("PerModel" in str(one.get("quotaId")) or _model_named(one) for one in said.violations)
    return "deployment" if is_model else "account"


def _model_named(violation: Mapping[str, Any]) -> bool:
    dimensions = violation.get("quotaDimensions")
    return isinstance(dimensions, Mapping) and any(name in dimensions for name in ("model", "base_model"))


def _wait_ms(said: _Said, headers: Mapping[str, str]) -> int | None:
    """RetryInfo first, as text ("5.723s") or in its parts; else the headers, or the message ("Please retry in 10h17m5.7s")."""
    delay = said.of_type("RetryInfo").get("retryDelay")
    wait: float | None = None
    if isinstance(delay, str):
        wait = parse_duration_ms(delay)
    elif isinstance(delay, Mapping):
        wait = _number(delay.get("seconds")) * 1_000 + _number(delay.get("nanos")) / 1_000_000
    if wait:
        return min(math.ceil(wait), MAX_WAIT_MS)
    return retry_after_ms(headers, said.message)


def _number(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0.0


def _describe(said: _Said, api_key: str) -> str:
    return in_words(said.status, said.word, without_key(said.message, api_key, _KEY))
