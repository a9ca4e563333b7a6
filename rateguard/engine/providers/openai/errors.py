"""What an error of OpenAI's dialect means: (status, code, type, message) → ProviderError.

Sources: OpenAI's error codes page and OpenAPI specification, and recorded replies of Azure, Groq, OpenRouter, vLLM, Ollama and CDNs.
Codes are matched first, then the status, then the message: proxies rewrite statuses and translate codes, texts last.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.openai.quirks import OPENAI, Quirks
from rateguard.engine.providers.retry_after import retry_after_ms
from rateguard.engine.providers.said import Said, in_words, parsed, without_key, word

_QUOTA = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    },
)
_IMAGES = (
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
    "image_file_too_large",
    "image_parse_error",
    "image_too_large",
    "image_too_small",
    "invalid_base64_image",
    "invalid_image",
    "invalid_image_format",
    "invalid_image_mode",
    "invalid_image_url",
    "unsupported_image_media_type",
)
_BY_WORD = {
    **dict.fromkeys(_QUOTA, ErrorKind.QUOTA_EXHAUSTED),
    "context_length_exceeded": ErrorKind.CONTEXT_TOO_LONG,
    "content_filter": ErrorKind.CONTENT_FILTER,
    "content_policy_violation": ErrorKind.CONTENT_FILTER,
    "model_not_found": ErrorKind.NOT_FOUND,
    "DeploymentNotFound": ErrorKind.NOT_FOUND,
    "invalid_api_key": ErrorKind.AUTH,
    "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
    "slow_down": ErrorKind.RATE_LIMITED,
    "rate_limit_error": ErrorKind.RATE_LIMITED,
    "resource_unavailable": ErrorKind.RATE_LIMITED,  # OpenAI flex: no capacity now, not charged
    "server_is_overloaded": ErrorKind.OVERLOADED,
    "service_unavailable_error": ErrorKind.OVERLOADED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "invalid_prompt": ErrorKind.BAD_REQUEST,  # the last ones come within answers of Responses, with status 200
    "data_residency_mismatch": ErrorKind.BAD_REQUEST,
    "bio_policy": ErrorKind.CONTENT_FILTER,
    "misalignment_policy_violation": ErrorKind.CONTENT_FILTER,
    "image_content_policy_violation": ErrorKind.CONTENT_FILTER,
    **dict.fromkeys(_IMAGES, ErrorKind.BAD_REQUEST),
}
_BY_STATUS = {
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA_EXHAUSTED,
    403: ErrorKind.AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.CONFLICT,
    424: ErrorKind.SERVER,  # Azure, Bedrock: the model itself failed
    429: ErrorKind.RATE_LIMITED,
    498: ErrorKind.OVERLOADED,  # Groq: no flex capacity
    503: ErrorKind.OVERLOADED,
    529: ErrorKind.OVERLOADED,
}
_GATEWAY_GAVE_UP = frozenset({504, 524})  # the provider behind the gateway may go on, and bill

_TOO_LONG = re.compile(
    r"maximum context length|exceeds the available context size|prompt is too long|input is too long"
    r"|exceed context limit|exceeds the maximum number of tokens allowed",
    re.IGNORECASE,
)
_WRONG_KEY = re.compile(r"(?:incorrect|invalid) api key", re.IGNORECASE)
"""xAI says so with 400 (not verified)."""
_TOO_LARGE = re.compile(r"Limit:? ([\d,]+).*?Requested:? ([\d,]+)", re.DOTALL)
_WHOLE_ACCOUNT = re.compile(r"limit reached (?:in|for) (?:organization|project)", re.IGNORECASE)
_KEY = re.compile(r"\b(?:sk|gsk|xai|nvapi)-[\w*.-]{4,}")


def error_from_reply(status: int, headers: Mapping[str, str], body: bytes, api_key: str, quirks: Quirks = OPENAI) -> ProviderError:
    """The error that an answer with a status other than 2xx means."""
    said = _read(status, parsed(body))
    return _build(said, headers, api_key, quirks, may_be_billed=status in _GATEWAY_GAVE_UP)


def error_in_answer(error: Any, headers: Mapping[str, str], api_key: str, quirks: Quirks = OPENAI) -> ProviderError:
    """The error that came with status 200, in the body or within a stream: the provider had begun to work, so it may bill."""
    said = _read(200, {"error": error})
    if said.code.isdigit():  # OpenRouter puts the status there
        said = dataclasses.replace(said, status=int(said.code))
    return _build(said, headers, api_key, quirks, may_be_billed=True)


def _read(status: int, data: Any) -> Said:
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, Mapping):
        return Said(status)
    error = data.get("error") or data.get("detail") or data
    if isinstance(error, list):  # Mistral's 422: what is wrong with each field (not verified)
        return Said(status, message="; ".join(word(one.get("msg")) for one in error if isinstance(one, Mapping)))
    if not isinstance(error, Mapping):
        return Said(status, word(data.get("code")), message=str(error))
    metadata = error.get("metadata")
    if status == 403 and isinstance(metadata, Mapping) and metadata.get("reasons"):  # OpenRouter's moderation, not the key
        return Said(status, "content_filter", message=word(error.get("message")))
    return Said(status, word(error.get("code")), word(error.get("type")), word(error.get("message")))


def _build(said: Said, headers: Mapping[str, str], api_key: str, quirks: Quirks, *, may_be_billed: bool) -> ProviderError:
    kind = _kind(said, headers, quirks)
    waits = kind in {ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED}
    return ProviderError(
        _describe(said, api_key),
        kind=kind,
        status=said.status,
        retry_after_ms=retry_after_ms(headers, said.message, of_limit=kind is ErrorKind.RATE_LIMITED) if waits else None,
        cools=_cools(kind, said),
        may_be_billed=may_be_billed,
    )


def _kind(said: Said, headers: Mapping[str, str], quirks: Quirks) -> ErrorKind:
    own = quirks.kinds_by_word
    by_word = own.get(said.code) or own.get(said.type) or _BY_WORD.get(said.code) or _BY_WORD.get(said.type)
    if by_word is ErrorKind.RATE_LIMITED or (by_word is None and said.status == 429):
        return ErrorKind.BAD_REQUEST if _never_fits(said.message) else ErrorKind.RATE_LIMITED
    if by_word is not None:
        return by_word
    by_status = quirks.kinds_by_status.get(said.status) or _BY_STATUS.get(said.status)
    if said.status == 402 and "retry-after" in headers:  # OpenRouter: too much money in flight, a passing limit
        by_status = ErrorKind.RATE_LIMITED
    if by_status is not None:
        return by_status
    if said.status >= 500 or said.status == 200:
        return ErrorKind.SERVER
    return _kind_of_refusal(said.message)


def _kind_of_refusal(message: str) -> ErrorKind:
    """What a 400 without a code that we know means."""
    if _TOO_LONG.search(message):
        return ErrorKind.CONTEXT_TOO_LONG
    return ErrorKind.AUTH if _WRONG_KEY.search(message) else ErrorKind.BAD_REQUEST


def _never_fits(message: str) -> bool:
    """Whether a 429 is for a request that is larger than the limit itself: waiting does not help."""
    found = _TOO_LARGE.search(message)
    if not found:
        return False
    limit, requested = (int(number.replace(",", "") or 0) for number in found.groups())
    return requested > limit


def _cools(kind: ErrorKind, said: Said) -> str:
    if kind is ErrorKind.QUOTA_EXHAUSTED:
        return "account"
    if kind is not ErrorKind.RATE_LIMITED:
        return ""
    return "account" if _WHOLE_ACCOUNT.search(said.message) else "deployment"


def _describe(said: Said, api_key: str) -> str:
    return in_words(said.status, said.code or said.type, without_key(said.message, api_key, _KEY))
