"""Bedrock's errors: a message in the body, the kind in a header."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from rateguard.engine.providers.sim.answers import BAD_GATEWAY, JSON, waits
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.voices.asked import Refusal, Wrong
from rateguard.engine.providers.sim.voices.bedrock import frames

_ADDRESS = "http://internal.amazon.com/coral/com.amazon.bedrock/"


def refusal(status: int, kind: str, message: str) -> Refusal:
    """An error before the stream; the header's value goes on behind a colon, as AWS's often do."""
    return status, [JSON, (b"x-amzn-errortype", f"{kind}:{_ADDRESS}".encode())], orjson.dumps({"message": message})


_WRONG: Mapping[Wrong, tuple[int, str, str]] = {
    Wrong.KEY: (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    Wrong.ADDRESS: (404, "UnknownOperationException", "{}"),
    Wrong.MODEL: (404, "ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."),
}
_FAULTS: Mapping[FaultKind, tuple[int, str, str]] = {
    FaultKind.RATE_LIMITED: (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    FaultKind.SLOW_DOWN: (429, "ThrottlingException", "Too many tokens, please wait before trying again."),
    FaultKind.DAILY_QUOTA: (429, "ThrottlingException", "Too many tokens per day, please wait before trying again."),
    FaultKind.MODEL_NOT_READY: (429, "ModelNotReadyException", "Model is not ready for inference. Please try again."),
    FaultKind.INSUFFICIENT_QUOTA: (400, "ServiceQuotaExceededException", "Your request exceeds the service quota for your account."),
    FaultKind.CONTEXT_LENGTH: (400, "ValidationException", "Input is too long for requested model."),
    FaultKind.CONTENT_FILTER: (400, "ValidationException", "Output blocked by content filtering policy"),
    FaultKind.SERVER_ERROR: (500, "InternalServerException", "The server encountered an internal error."),
    FaultKind.OVERLOADED: (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    FaultKind.UNAUTHORIZED: (403, "ExpiredTokenException", "The security token included in the request is expired"),
    FaultKind.TIMEOUT: (408, "ModelTimeoutException", "The model took too long to answer."),
    FaultKind.ERROR_IN_200: (200, "ModelErrorException", "The model failed."),
}


def wrong(what: Wrong, detail: str) -> Refusal:
    """A request that makes no sense."""
    status, kind, text = _WRONG.get(what, (400, "ValidationException", detail or "The request body is not valid."))
    return refusal(status, kind, text.format(detail) if what in _WRONG else text)


def fault_refusal(fault: Fault) -> Refusal | None:
    """What this fault answers instead of working; None for a fault that lets the request in."""
    if fault.kind is FaultKind.HTML:
        return BAD_GATEWAY
    if fault.kind not in _FAULTS:
        return None
    status, headers, body = refusal(*_FAULTS[fault.kind])
    return status, [*headers, *(waits(fault, []) if fault.kind is FaultKind.RATE_LIMITED else [])], body


def broken(kind: FaultKind) -> bytes:
    """What a broken stream ends with: a frame of an exception, or one whose sum is wrong."""
    if kind is FaultKind.STREAM_ERROR:
        text = {"message": "The model failed while it answered.", "originalStatusCode": 500, "originalMessage": "internal"}
        return frames.exception("modelStreamErrorException", orjson.dumps(text))
    if kind is FaultKind.MALFORMED:
        whole = frames.event("contentBlockDelta", b'{"contentBlockIndex":0,"del')
        return whole[:-1] + bytes([whole[-1] ^ 1])
    return b""
