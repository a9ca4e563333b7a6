"""Every error that rateguard raises, as one tree. Catch a branch by what you can do about it.

RateguardError
├── InvalidRequest            the caller must change the request           (code, pointer)
│   ├── NotAllowed            the key may not ask for this                 (code, pointer)
│   └── LimitInTheWay         it was not accepted now: come again later    (code, what is in the way, retry_after_ms)
├── ConfigurationError        an operator must change a setting or a row   (names it and the remedy)
├── SecretUnreadable          an operator must bring back an encryption key
├── JobFailed                 a job that was waited for ended without an answer    (code)
├── JobNotCommitted           a job was waited for inside the transaction that submits it
├── JobDoesNotExist           no job has this id
├── GateError                 the gate gave no decision
│   ├── GateUnavailable       wait and send the very same call again: it may have run
│   └── GateEpochLost         the gate was emptied or is foreign: rebuild, then go on
└── ProviderError             one call at a provider failed                (kind, retry_after_ms, billed)
    └── NotSent               it was held back: nothing of it left this process

`code` is stable: the API, the metrics and the docs use the same word.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the simulated provider knows our errors, and must share no code with our money
    from rateguard.engine.money import Usage
    from rateguard.engine.readings import Reading


class RateguardError(Exception):
    """The root. `code` is the stable name of what happened."""

    code = "error"


class InvalidRequest(RateguardError):
    """The request cannot be accepted as it is.

    `code` says why (`unknown_model`, `exceeds_limit`, `idempotency_mismatch`, …);
    `pointer` is the JSON pointer (RFC 6901) of the field to change, or "".
    `errors` has the pointer of each field to change and what is wrong with it, also where it is one.
    """

    def __init__(self, message: str, *, code: str = "invalid_request", pointer: str = "", errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.pointer = pointer
        self.errors = tuple(errors) or ((pointer, message),)


def together(refusals: Sequence[InvalidRequest]) -> InvalidRequest:
    """Refusals of several fields as one. The code is theirs where all say the same, else `invalid_field`."""
    first = refusals[0]
    if len(refusals) == 1:
        return first
    errors = [one for refusal in refusals for one in refusal.errors]
    codes = {refusal.code for refusal in refusals}
    message = "; ".join(f"{pointer or 'the request'}: {detail}" for pointer, detail in errors)
    return InvalidRequest(message, code=first.code if len(codes) == 1 else "invalid_field", pointer=first.pointer, errors=errors)


class NotAllowed(InvalidRequest):
    """Whoever asks may not ask for this: the model, the lane or the name is kept from the key."""


class LimitInTheWay(InvalidRequest):
    """A request was not accepted now, although it is a good one: `queue_full`, `no_room_in_time`, `budget_exhausted`.

    scope_kind, scope: the node whose limit is in the way. limit: in words, like `team ml: 600 requests per minute`. amount, left: of that
    limit in its unit (`jobs`, `requests`, `tokens`, `nano_usd`), None where the caller may not see them. window_ms: 0 where it has none.
    retry_after_ms: when there is room, None: not by itself, or nobody knows.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        scope_kind: str,
        scope: str,
        limit: str,
        amount: int | None = None,
        left: int | None = None,
        unit: str = "requests",
        window_ms: int = 0,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.errors = ()
        self.scope_kind = scope_kind
        self.scope = scope
        self.limit = limit
        self.amount = amount
        self.left = left
        self.unit = unit
        self.window_ms = window_ms
        self.retry_after_ms = retry_after_ms


class ConfigurationError(RateguardError):
    """A setting or a configured row is wrong; the message names it and says what to write instead."""

    code = "configuration"


class SecretUnreadable(RateguardError):
    """A stored secret was encrypted with a key that RATEGUARD["ENCRYPTION_KEYS"] does not hold; put that key back."""

    code = "secret_unreadable"


class JobFailed(RateguardError):
    """A job that was waited for ended without an answer; `code` is the job's own (`exceeds_limit`, `bad_request`, `expired`, …)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class JobNotCommitted(RateguardError):
    """A job was waited for inside the transaction that submits it: it would wait for ever. Ask after the commit."""

    code = "job_not_committed"


class JobDoesNotExist(RateguardError):
    """No job has this id; or it was deleted, or its transaction was rolled back."""

    code = "job_does_not_exist"


class GateError(RateguardError):
    """The gate gave no decision. Nothing was granted by this call as far as the caller may assume."""

    code = "gate_error"


class GateUnavailable(GateError):
    """The gate did not answer in time. The call may have run: repeat the very same call."""

    code = "gate_unavailable"


class GateEpochLost(GateError):
    """The gate holds no epoch, or one of another data layout: it must be rebuilt before it decides again."""

    code = "gate_epoch_lost"


class ErrorKind(enum.StrEnum):
    """What a failed provider call means, for the retry policy, the breaker and the cooldown. Source: providers' error tables."""

    RATE_LIMITED = "rate_limited"  # a passing limit: cool what it names, costs no try
    QUOTA_EXHAUSTED = "quota_exhausted"  # spend or daily quota gone: no retry here, never the breaker
    OVERLOADED = "overloaded"  # 503, 529: back off, counts for the breaker
    SERVER = "server"  # other 5xx, malformed or cut-off answers
    CONNECT = "connect"  # died before the first byte left or came: nothing was billed
    NETWORK = "network"  # died after the request was sent: may have been billed
    TIMEOUT = "timeout"  # no answer in time: may have been billed
    BAD_REQUEST = "bad_request"  # the caller's request is wrong for this provider
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_FILTER = "content_filter"
    AUTH = "auth"  # credentials or permission of the account
    NOT_FOUND = "not_found"  # the deployment's model does not exist there
    ANSWER_TOO_LARGE = "answer_too_large"  # more than a process may hold: the same call would bring the same
    CONFLICT = "conflict"  # 409: somebody else was at it; once more
    NEVER_SENT = "never_sent"  # granted, but its time was over before it could be sent: nobody saw it
    CANCELLED = "cancelled"  # we gave the call up


class ProviderError(RateguardError):
    """One call at a provider failed.

    kind: what it means. status: the HTTP status, 0 where there was none. retry_after_ms: the wait that it asked for, or None.
    cools: "account", "deployment" or "" — what a passing limit applies to. may_be_billed: the provider may charge for it all the same.
    usage: what came before it failed, by the provider's count and ours; None: nobody knows. readings: what the answer's headers say of the
    provider's limits.
    """

    usage: Usage | None = None
    readings: tuple[Reading, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind,
        status: int = 0,
        retry_after_ms: int | None = None,
        cools: str = "",
        may_be_billed: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = kind.value
        self.status = status
        self.retry_after_ms = retry_after_ms
        self.cools = cools
        self.may_be_billed = may_be_billed


class NotSent(ProviderError):
    """A granted request was not handed to the socket, because its grant was over; the message says why. Nothing of it left."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind=ErrorKind.NEVER_SENT)
