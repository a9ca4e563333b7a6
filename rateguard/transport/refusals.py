"""Why a call was not made, as an answer over HTTP: the status, our code, the words. The dialect gives it its client's form."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

from django.db import InterfaceError, OperationalError

from rateguard.engine.errors import (
    ConfigurationError,
    GateError,
    InvalidRequest,
    LimitInTheWay,
    NotAllowed,
    NotSent,
    ProviderError,
    SecretUnreadable,
)
from rateguard.screening.contract import MiddlewareBroke

logger = logging.getLogger(__name__)

AWAY_S = 1
"""When to come again where the gate or the database is away."""
GATE_IS_AWAY = "the gate does not answer, or is being rebuilt: send the same request again in a moment"

_STATUSES = {"budget_exhausted": 402, "unknown_model": 404, "run_stopped": 409, "run_deadline_passed": 409, "body_too_large": 413}
"""Where a refused request is not simply a 400, or 403 and 429 by its class."""
_OUR_FAULT, _INTERNAL = 500, "internal_error"


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """pointer: the JSON pointer of the field to change, or "". retry_after_ms: when to come again; None: not by itself."""

    status: int
    code: str
    message: str
    pointer: str = ""
    retry_after_ms: int | None = None

    def headers(self) -> dict[str, str]:
        """What every dialect's answer carries. The client does not ask again by itself: what can be waited for was waited for."""
        told = {"content-type": "application/json", "x-should-retry": "false", "x-rateguard-code": self.code}
        if self.retry_after_ms is not None:
            told |= {"retry-after": str(max(1, -(-self.retry_after_ms // 1_000))), "retry-after-ms": str(self.retry_after_ms)}
        return told


def refusal_of(error: Exception) -> Refusal:
    """What an error before the sending means to the caller. One that nobody foresaw is logged, and its words are not told."""
    if isinstance(error, LimitInTheWay):
        return Refusal(_STATUSES.get(error.code, 429), error.code, str(error), error.pointer, error.retry_after_ms)
    if isinstance(error, InvalidRequest):
        status = 403 if isinstance(error, NotAllowed) else 400
        return Refusal(_STATUSES.get(error.code, status), error.code, str(error), error.pointer)
    if isinstance(error, GateError):
        logger.warning("a call was refused, the gate gave no answer: %s", error)
        return Refusal(503, "unavailable", GATE_IS_AWAY, retry_after_ms=AWAY_S * 1_000)
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("a call was refused, the database does not answer: %s", type(error).__name__)
        words = "the database does not answer: send the same request again in a moment"
        return Refusal(503, "unavailable", words, retry_after_ms=AWAY_S * 1_000)
    return _of_ours(error)


def _of_ours(error: Exception) -> Refusal:
    """What the caller cannot change."""
    if isinstance(error, NotSent):
        return Refusal(503, error.code, str(error), retry_after_ms=AWAY_S * 1_000)
    if isinstance(error, ProviderError):  # credentials that could not be fetched
        return Refusal(502, error.code, str(error), retry_after_ms=error.retry_after_ms)
    if isinstance(error, SecretUnreadable):
        logger.error("a call was refused: %s", error)
        return Refusal(503, error.code, str(error))
    if isinstance(error, ConfigurationError | MiddlewareBroke):
        logger.error("a call was refused: %s", error)
        return Refusal(_OUR_FAULT, error.code if isinstance(error, MiddlewareBroke) else _INTERNAL, str(error))
    logger.error("a call could not be prepared", exc_info=error)
    return Refusal(_OUR_FAULT, _INTERNAL, "this is no fault of the request and has been logged")


def param_of(refusal: Refusal) -> str | None:
    """The field as OpenAI names it: `messages.0.content` for /messages/0/content."""
    return refusal.pointer.removeprefix("/").replace("/", ".") or None


ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
"""OpenAI's `type` of an error by its status; every other is `server_error`."""
