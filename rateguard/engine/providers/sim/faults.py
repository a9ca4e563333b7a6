"""A script of faults: which request gets which one."""

from __future__ import annotations

import dataclasses
import enum
import math
import time
from collections.abc import Mapping
from typing import Any


class FaultKind(enum.StrEnum):
    """What goes wrong."""

    RATE_LIMITED = "rate_limited"  # 429 with the chosen form of Retry-After
    SLOW_DOWN = "slow_down"  # 429, a ramp limit
    INSUFFICIENT_QUOTA = "insufficient_quota"
    CONTEXT_LENGTH = "context_length_exceeded"
    CONTENT_FILTER = "content_filter"  # 400
    FINISH_CONTENT_FILTER = "finish_content_filter"  # 200 whose finish_reason it is: a result, billed
    SERVER_ERROR = "server_error"  # 500
    OVERLOADED = "overloaded"  # 503
    HTML = "html"  # 502 of a proxy
    SLOW_HEADERS = "slow_headers"  # accepted and billed, but the headers come after wait_ms
    RESET = "reset"  # the connection is reset before the headers; nothing is billed
    RESET_STREAM = "reset_stream"  # … after `events` events of a stream
    CUT_STREAM = "cut_stream"  # ends properly, but without finish_reason and [DONE], after `events` events
    SILENCE = "silence"  # says nothing for wait_ms after `events` events of a stream (0: it thinks before its first token), then goes on
    STREAM_ERROR = "stream_error"  # an error event after `events` events
    MALFORMED = "malformed"  # half a JSON body with 200; billed
    ERROR_IN_200 = "error_in_200"
    DAILY_QUOTA = "daily_quota"  # 429: nothing more today
    SPEND_CAP = "spend_cap"  # 429 that waiting does not help
    MODEL_NOT_READY = "model_not_ready"  # a cold model: 429 that is no limit
    SHARED_CAPACITY = "shared_capacity"  # 429 of a pool that is not the account's
    UNAUTHORIZED = "unauthorized"  # the key has just been taken back
    TIMEOUT = "timeout"  # the provider gave up by itself


DIALECTS_OWN = frozenset(
    {
        FaultKind.DAILY_QUOTA,
        FaultKind.SPEND_CAP,
        FaultKind.MODEL_NOT_READY,
        FaultKind.SHARED_CAPACITY,
        FaultKind.UNAUTHORIZED,
        FaultKind.TIMEOUT,
    }
)
"""Kinds that not every dialect has words for: where it has none, the request is let in."""


class RetryAfterForm(enum.StrEnum):
    """How a 429 says when to come back."""

    SECONDS = "seconds"
    FLOAT = "float"
    HTTP_DATE = "http_date"
    MILLISECONDS = "milliseconds"
    BODY = "body"
    RESET = "reset"
    ZERO = "zero"
    NONE = "none"


@dataclasses.dataclass(slots=True)
class Fault:
    """One line of the script: it skips `skip` matching requests, then meets `count` of them.

    attempt_id, key and model choose requests; empty matches all. wait_ms: what Retry-After says, how late slow headers are, or the silence.
    for_ms: an episode, which meets every matching request until so long after it was added; 0: `count` decides.
    """

    kind: FaultKind
    count: int = 1
    skip: int = 0
    attempt_id: str = ""
    key: str = ""
    model: str = ""
    wait_ms: int = 1_000
    retry_after: RetryAfterForm = RetryAfterForm.SECONDS
    events: int = 2
    for_ms: int = 0

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Fault:
        """From JSON. Raises ValueError or TypeError for what it does not know."""
        fault = cls(**value)
        fault.kind = FaultKind(fault.kind)
        fault.retry_after = RetryAfterForm(fault.retry_after)
        return fault

    def matches(self, attempt_id: str, key: str, model: str) -> bool:
        """Whether this line is meant for that request."""
        return self.attempt_id in {"", attempt_id} and self.key in {"", key} and self.model in {"", model}


class FaultScript:
    """The lines that have not been used up."""

    def __init__(self) -> None:
        self._faults: list[tuple[Fault, float]] = []

    def add(self, fault: Fault) -> None:
        """Put a line at the end of the script."""
        self._faults.append((fault, time.monotonic() + fault.for_ms / 1000 if fault.for_ms else math.inf))

    def clear(self) -> None:
        """Forget the script."""
        self._faults.clear()

    def take(self, attempt_id: str, key: str, model: str) -> Fault | None:
        """The fault that this request meets, if any. The first line that matches decides, and counts it."""
        now = time.monotonic()
        self._faults = [(fault, ends_at) for fault, ends_at in self._faults if now < ends_at]
        for place, (fault, _) in enumerate(self._faults):
            if not fault.matches(attempt_id, key, model):
                continue
            if fault.for_ms:
                return fault
            if fault.skip > 0:
                fault.skip -= 1
                return None
            fault.count -= 1
            if fault.count <= 0:
                del self._faults[place]
            return fault
        return None
