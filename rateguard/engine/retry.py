"""The retry policy: what happens to a job after a failed call. A pure function; time, chance and settings are arguments.

    wait = random × min(longest, base × 2^(tries − 1))        full jitter; a provider's Retry-After replaces it where it is longer

With base 500 ms and longest 60 s the n-th failure waits up to 0.5, 1, 2, 4, 8, 16, 32, 60, 60 … s.
Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).
"""

from __future__ import annotations

import dataclasses
import enum

from rateguard.engine.errors import ErrorKind


class Action(enum.StrEnum):
    """RETRY: again after a wait, counts as a try. HOLD_BACK: back to the waiting room, costs no try. GIVE_UP: the job fails."""

    RETRY = "retry"
    HOLD_BACK = "hold_back"
    GIVE_UP = "give_up"


class Reason(enum.StrEnum):
    """Why."""

    RETRYABLE = "retryable"
    LIMITED = "limited"
    NEVER_SENT = "never_sent"
    NOT_RETRYABLE = "not_retryable"
    EXHAUSTED = "exhausted"
    DEADLINE = "deadline"
    AT_MOST_ONCE = "at_most_once"
    ELSEWHERE = "elsewhere"


@dataclasses.dataclass(frozen=True, slots=True)
class RetrySettings:
    """base_ms, longest_ms: of the wait. max_tries: failures that are counted before the job fails."""

    base_ms: int = 500
    longest_ms: int = 60_000
    max_tries: int = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A failed call. tries: failures counted before this one. has_left: the request was handed to the network, wherever it got to.

    retry_after_ms: the provider's wait. deadline_in_ms: what is left of its time, None without one. is_at_most_once: never send twice.
    has_other: the model has a deployment besides what this failure closes for long.
    """

    kind: ErrorKind
    tries: int
    has_left: bool
    retry_after_ms: int | None = None
    deadline_in_ms: int | None = None
    is_at_most_once: bool = False
    has_other: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, after how long, and why."""

    action: Action
    reason: Reason
    wait_ms: int = 0


RETRYABLE = frozenset({ErrorKind.OVERLOADED, ErrorKind.SERVER, ErrorKind.CONNECT, ErrorKind.NETWORK, ErrorKind.TIMEOUT})
RETRYABLE_ONCE = frozenset({ErrorKind.CONFLICT})
ELSEWHERE = frozenset({ErrorKind.QUOTA_EXHAUSTED, ErrorKind.AUTH, ErrorKind.NOT_FOUND})
"""What says nothing of the job and is over for long there: only another deployment may do it."""
_UNSENT = {
    ErrorKind.NEVER_SENT: Reason.NEVER_SENT,
    ErrorKind.RATE_LIMITED: Reason.LIMITED,
    **dict.fromkeys(ELSEWHERE, Reason.ELSEWHERE),
}
"""What costs no try: it was ours not to send it, a limit's, or the account's."""


def decide(failure: Failure, settings: RetrySettings, chance: float) -> Verdict:
    """The verdict on a failed call. chance: a random number in [0, 1)."""
    if not is_retryable(failure):
        return Verdict(Action.GIVE_UP, Reason.NOT_RETRYABLE)
    if failure.is_at_most_once and failure.has_left:
        return Verdict(Action.GIVE_UP, Reason.AT_MOST_ONCE)
    if failure.kind in _UNSENT:
        return Verdict(Action.HOLD_BACK, _UNSENT[failure.kind])
    if failure.tries + 1 >= settings.max_tries:
        return Verdict(Action.GIVE_UP, Reason.EXHAUSTED)
    wait_ms = max(backoff_ms(failure.tries + 1, settings, chance), failure.retry_after_ms or 0)
    if failure.deadline_in_ms is not None and wait_ms >= failure.deadline_in_ms:
        return Verdict(Action.GIVE_UP, Reason.DEADLINE)
    return Verdict(Action.RETRY, Reason.RETRYABLE, wait_ms)


def is_retryable(failure: Failure) -> bool:
    """Whether the same call may succeed later, or elsewhere."""
    if failure.kind in ELSEWHERE:
        return failure.has_other
    if failure.kind in RETRYABLE_ONCE:
        return failure.tries == 0
    return failure.kind in RETRYABLE or failure.kind in _UNSENT


def backoff_ms(tries: int, settings: RetrySettings, chance: float) -> int:
    """The wait after the `tries`-th failure, with full jitter."""
    ceiling = min(settings.longest_ms, settings.base_ms * 2 ** min(tries - 1, 30))
    return int(chance * ceiling)
