"""What rate-limit headers say, in every form that speakers of OpenAI's dialect have: the names are data, the values are read alike.

A value that is -1, 0 or nonsense is no limit: some answers have them (seen at OpenAI and Azure). What a header counts and per what time is
the provider's; where no one documents it, presets.toml says so.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from rateguard.engine.providers.retry_after import number, wait_until_ms
from rateguard.engine.readings import Axis, Reading

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000


@dataclasses.dataclass(frozen=True, slots=True)
class LimitHeader:
    """The headers of one limit. window_ms: what it is an amount per, unless the header `renewal` says so in seconds.

    reset: a Go duration, seconds, a date, or a moment since the epoch, until the limit is full again.
    """

    axis: Axis
    window_ms: int
    limit: str
    remaining: str
    reset: str = ""
    renewal: str = ""


LimitHeaders = tuple[LimitHeader, ...]


def _openai_like(axis: Axis, name: str, window_ms: int, renewal: str = "") -> LimitHeader:
    limit, remaining, reset = (f"x-ratelimit-{part}-{name}" for part in ("limit", "remaining", "reset"))
    return LimitHeader(axis, window_ms, limit, remaining, reset, renewal)


OPENAI_LIMITS: LimitHeaders = (
    _openai_like(Axis.REQUESTS, "requests", MINUTE),
    _openai_like(Axis.TOKENS, "tokens", MINUTE),
    _openai_like(Axis.TOKENS, "project-tokens", MINUTE),  # since June 2026; of the project's share of the model
)
"""Requests and tokens per minute. The project's tokens bind the same model: whichever has less left is in the way."""

AZURE_LIMITS: LimitHeaders = (
    _openai_like(Axis.REQUESTS, "requests", MINUTE, "x-ratelimit-renewalperiod-requests"),
    _openai_like(Axis.TOKENS, "tokens", MINUTE, "x-ratelimit-renewalperiod-tokens"),
)
"""Per renewal period, of 1, 10 or 60 seconds; both in plain seconds."""

LIMIT_DIALECTS: Mapping[str, LimitHeaders] = {
    "none": (),
    "openai": OPENAI_LIMITS,
    "azure": AZURE_LIMITS,
    "groq": (_openai_like(Axis.REQUESTS, "requests", DAY), _openai_like(Axis.TOKENS, "tokens", MINUTE)),
    "mistral": (
        LimitHeader(Axis.REQUESTS, MINUTE, "x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute"),
        LimitHeader(Axis.TOKENS, MINUTE, "x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"),
    ),
    "together": (
        LimitHeader(Axis.REQUESTS, SECOND, "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
        LimitHeader(Axis.TOKENS, SECOND, "x-tokenlimit-limit", "x-tokenlimit-remaining"),
    ),
    "fireworks": (
        _openai_like(Axis.INPUT_TOKENS, "tokens-prompt", SECOND),
        _openai_like(Axis.OUTPUT_TOKENS, "tokens-generated", SECOND),
    ),
    "openrouter": (LimitHeader(Axis.REQUESTS, DAY, "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),),
}
"""By the name that a preset gives."""


def read_limits(known: LimitHeaders, headers: Mapping[str, str], now_s: float | None = None) -> tuple[Reading, ...]:
    """What an answer's headers say. `headers` must find names regardless of case. now_s: the wall clock, for moments since the epoch."""
    return tuple(reading for one in known if (reading := _read(one, headers, now_s)) is not None)


def _read(one: LimitHeader, headers: Mapping[str, str], now_s: float | None) -> Reading | None:
    told_limit, told_left = headers.get(one.limit), headers.get(one.remaining)
    if told_limit is None and told_left is None:
        return None
    limit, left = number(told_limit), number(told_left)
    if (limit is not None and limit <= 0) or (left is not None and left < 0) or (limit is None and left is None):
        return None
    reset = wait_until_ms(headers.get(one.reset, ""), time.time() if now_s is None else now_s) if one.reset else None
    period = number(headers.get(one.renewal)) if one.renewal else None
    return Reading(
        one.axis,
        int(period * SECOND) if period and period > 0 else one.window_ms,
        None if limit is None else int(limit),
        None if left is None else int(left),
        None if reset is None else int(reset),
    )
