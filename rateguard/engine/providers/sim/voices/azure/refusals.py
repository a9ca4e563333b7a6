"""Azure's errors: its gateway's have a number as text for a code, the model's are OpenAI's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import orjson

from rateguard.engine.providers.sim.answers import BAD_GATEWAY, JSON, waits
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.engine.providers.sim.voices.asked import Refusal, Wrong
from rateguard.engine.providers.sim.voices.azure.answer import filtered
from rateguard.engine.providers.sim.voices.openai import refusals


def gateway_error(code: str, message: str) -> bytes:
    """An error of the gateway in front of the model."""
    return orjson.dumps({"error": {"code": code, "message": message}})


_DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription."
)
_NO_DEPLOYMENT = "The API deployment for this resource does not exist. If you created it within the last 5 minutes, please wait a moment."
_WRONG: Mapping[Wrong, tuple[int, str, str]] = {
    Wrong.KEY: (401, "401", _DENIED),
    Wrong.ADDRESS: (404, "404", "Resource not found"),
    Wrong.VERSION: (404, "404", "Resource not found"),
    Wrong.MODEL: (404, "DeploymentNotFound", _NO_DEPLOYMENT),
}
_FAULTS: Mapping[FaultKind, tuple[int, str, str]] = {
    FaultKind.SLOW_DOWN: (429, "429", "The service is experiencing high demand: your rate limit was adjusted for a time. Please retry."),
    FaultKind.SERVER_ERROR: (500, "500", "The server had an error while processing your request."),
    FaultKind.OVERLOADED: (503, "503", "The service is temporarily unable to process your request. Please try again later."),
    FaultKind.UNAUTHORIZED: (401, "401", _DENIED),
    FaultKind.TIMEOUT: (408, "Timeout", "The operation was timeout."),
}


def wrong(what: Wrong, detail: str) -> Refusal:
    """A request that makes no sense."""
    if what not in _WRONG:
        return refusals.wrong(what, detail)
    status, code, text = _WRONG[what]
    return status, [JSON], gateway_error(code, text)


def fault_refusal(fault: Fault, model: str) -> Refusal | None:
    """What this fault answers instead of working; None for a fault that lets the request in."""
    if fault.kind is FaultKind.RATE_LIMITED:
        return _rate_limited(fault)
    if fault.kind is FaultKind.CONTENT_FILTER:
        return _filtered()
    if fault.kind is FaultKind.HTML:
        return BAD_GATEWAY
    if fault.kind not in _FAULTS:
        return None if fault.kind in {FaultKind.DAILY_QUOTA, FaultKind.SPEND_CAP} else refusals.fault_refusal(fault, model)
    status, code, text = _FAULTS[fault.kind]
    return status, [JSON], gateway_error(code, text)


def _rate_limited(fault: Fault) -> Refusal:
    text = "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded call rate limit."
    if fault.retry_after is RetryAfterForm.BODY:
        text += f" Please retry after {math.ceil(fault.wait_ms / 1_000)} seconds."
    reset = [
        (b"x-ratelimit-limit-requests", b"50"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", str(math.ceil(fault.wait_ms / 1_000)).encode()),
        (b"x-ratelimit-renewalperiod-requests", b"10"),
    ]
    return 429, [JSON, (b"x-ratelimit-type", b"Requests"), *waits(fault, reset)], gateway_error("429", text)


def _filtered() -> Refusal:
    """A prompt that the filter blocked."""
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {**filtered("violence"), "jailbreak": _NO_JAILBREAK}}
    text = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    error = {"message": text, "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": inner}
    return 400, [JSON], orjson.dumps({"error": error})


_NO_JAILBREAK = {"filtered": False, "detected": False}
