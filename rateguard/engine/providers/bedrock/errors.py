"""What an error of Bedrock's means: its name, else its status, then its message → ProviderError.

The name stands in the header x-amzn-errortype (cut at ':'), in `__type` of the body, or in an exception frame's own header. Sources:
botocore's service model; recorded messages of other projects. Not verified: the messages by which a day's quota, a model without access and
a text that is too long are known, and until when a day's quota is gone (midnight UTC).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.bedrock.eventstream import Head
from rateguard.engine.providers.bedrock.secret import redacted
from rateguard.engine.providers.retry_after import retry_after_ms
from rateguard.engine.providers.said import in_words, parsed

STALE = frozenset({"ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidSignatureException"})
"""Credentials that newer ones may help: where this machine can fetch them."""

_BY_NAME = {
    **dict.fromkeys(STALE, ErrorKind.AUTH),
    "AccessDeniedException": ErrorKind.AUTH,
    "IncompleteSignatureException": ErrorKind.AUTH,
    "MissingAuthenticationTokenException": ErrorKind.AUTH,
    "NotAuthorizedException": ErrorKind.AUTH,
    "OptInRequired": ErrorKind.AUTH,
    "ThrottlingException": ErrorKind.RATE_LIMITED,
    "TooManyRequestsException": ErrorKind.RATE_LIMITED,
    "ServiceQuotaExceededException": ErrorKind.QUOTA_EXHAUSTED,
    "ModelNotReadyException": ErrorKind.SERVER,  # a cold model: again, but no limit, and as a 429 nothing for the breaker
    "ResourceNotFoundException": ErrorKind.NOT_FOUND,
    "ModelTimeoutException": ErrorKind.TIMEOUT,
    "ModelErrorException": ErrorKind.SERVER,
    "ModelStreamErrorException": ErrorKind.SERVER,
    "InternalServerException": ErrorKind.SERVER,
    "InternalFailure": ErrorKind.SERVER,
    "ServiceUnavailableException": ErrorKind.OVERLOADED,
    "ServiceUnavailable": ErrorKind.OVERLOADED,
    "ConflictException": ErrorKind.CONFLICT,
    "ValidationException": ErrorKind.BAD_REQUEST,
}
_STATUS_OF = {
    "ThrottlingException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ServiceUnavailableException": 503,
    "ValidationException": 400,
    "InternalServerException": 500,
}
"""Of the exceptions that come within a stream, whose own status is 200."""
_BY_STATUS = {
    401: ErrorKind.AUTH,
    403: ErrorKind.AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.CONFLICT,
    424: ErrorKind.SERVER,
    429: ErrorKind.RATE_LIMITED,
    503: ErrorKind.OVERLOADED,
    529: ErrorKind.OVERLOADED,
}
_GATEWAY_GAVE_UP = 504  # the model behind it may go on, and be billed

_PER_DAY = re.compile(r"(?:tokens|requests) per day|daily", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"input is too long|prompt is too long|too many input tokens|exceed context limit|maximum context length|context window"
    r"|exceeds the maximum number of (?:input )?tokens",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"model identifier is invalid|on-demand throughput isn.t supported|reached the end of its life", re.IGNORECASE)
_FILTERED = re.compile(r"content filter|content policy", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class _Said:
    status: int
    name: str
    message: str


def error_from_reply(status: int, headers: Mapping[str, str], body: bytes, secret: str) -> ProviderError:
    """The error that an answer with a status other than 2xx means."""
    return _build(_read(status, headers.get("x-amzn-errortype", ""), body), headers, secret, may_be_billed=status == _GATEWAY_GAVE_UP)


def error_in_stream(head: Head, payload: bytes, headers: Mapping[str, str], secret: str) -> ProviderError:
    """The error of an exception frame: the model had begun to work, so it may be billed."""
    name = head.name[:1].upper() + head.name[1:]
    said = _read(_STATUS_OF.get(name, 200), name, payload)
    return _build(dataclasses.replace(said, message=said.message or head.message), headers, secret, may_be_billed=True)


def name_of(headers: Mapping[str, str], body: bytes) -> str:
    """The error's name."""
    return _read(0, headers.get("x-amzn-errortype", ""), body).name


def _read(status: int, name: str, body: bytes) -> _Said:
    data = parsed(body)
    data = data if isinstance(data, Mapping) else {}
    name = name or str(data.get("__type") or data.get("code") or "")
    message = data.get("message") or data.get("Message") or ""
    return _Said(status, name.partition(":")[0].rpartition("#")[2], str(message))


def _build(said: _Said, headers: Mapping[str, str], secret: str, *, may_be_billed: bool) -> ProviderError:
    kind = _kind(said)
    waits = kind in {ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED}
    return ProviderError(
        in_words(said.status, said.name, redacted(said.message, secret)),
        kind=kind,
        status=said.status,
        retry_after_ms=retry_after_ms(headers, said.message) if waits else None,
        cools=_cools(kind, said),
        may_be_billed=may_be_billed,
    )


def _kind(said: _Said) -> ErrorKind:
    kind = _BY_NAME.get(said.name) or _BY_STATUS.get(said.status)
    if kind is ErrorKind.RATE_LIMITED and _PER_DAY.search(said.message):
        return ErrorKind.QUOTA_EXHAUSTED
    if kind is None and (said.status >= 500 or said.status == 200):
        return ErrorKind.SERVER
    if kind not in {None, ErrorKind.BAD_REQUEST}:
        return kind or ErrorKind.SERVER
    if _TOO_LONG.search(said.message):
        return ErrorKind.CONTEXT_TOO_LONG
    if _NO_MODEL.search(said.message):
        return ErrorKind.NOT_FOUND
    return ErrorKind.CONTENT_FILTER if _FILTERED.search(said.message) else ErrorKind.BAD_REQUEST


def _cools(kind: ErrorKind, said: _Said) -> str:
    """Bedrock's token quotas are of a model in a region, by the day too; a service quota is the account's."""
    if kind is ErrorKind.QUOTA_EXHAUSTED:
        return "account" if said.name == "ServiceQuotaExceededException" else "deployment"
    return "deployment" if kind is ErrorKind.RATE_LIMITED else ""
