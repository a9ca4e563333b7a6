"""What Anthropic tells of limits: anthropic-ratelimit-*, moments of full refill, tokens rounded to thousands."""

from __future__ import annotations

from collections.abc import Iterable

from rateguard.engine.providers.sim.answers import JSON, whole_seconds
from rateguard.engine.providers.sim.config import INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, TOKENS
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.voices.anthropic.refusals import error, rfc3339
from rateguard.engine.providers.sim.voices.asked import Headers, Refusal

_NAMES = {REQUESTS: "requests", TOKENS: "tokens", INPUT_TOKENS: "input-tokens", OUTPUT_TOKENS: "output-tokens"}
_ROUNDED = 1_000


def limit_headers(meters: Iterable[Meter], now_ms: float) -> Headers:
    """For the first limit on each metric; `tokens` is the sum of input and output where no limit of its own is in force."""
    told: dict[str, tuple[int, int, float]] = {}
    for meter in meters:
        name = _NAMES[meter.rule.metric]
        if name not in told:
            left = max(0, meter.rule.amount - meter.used(now_ms))
            told[name] = (meter.rule.amount, left, now_ms + meter.full_in_ms(now_ms))
    if "tokens" not in told and "input-tokens" in told and "output-tokens" in told:
        first, second = told["input-tokens"], told["output-tokens"]
        told["tokens"] = (first[0] + second[0], first[1] + second[1], max(first[2], second[2]))
    return [header for name, one in told.items() for header in _told(name, *one)]


def _told(name: str, limit: int, left: int, full_at_ms: float) -> Headers:
    if name != "requests" and limit >= _ROUNDED:
        left = round(left / _ROUNDED) * _ROUNDED
    return [
        (f"anthropic-ratelimit-{name}-limit".encode(), str(limit).encode()),
        (f"anthropic-ratelimit-{name}-remaining".encode(), str(left).encode()),
        (f"anthropic-ratelimit-{name}-reset".encode(), rfc3339(full_at_ms)),
    ]


def limit_refusal(meter: Meter, request_id: str, need: int, now_ms: float) -> Refusal:
    """A real 429; what can never pass names no wait."""
    rule = meter.rule
    what = f"{rule.amount:,} {rule.metric.replace('_', ' ')} per {rule.window_ms / 1_000:g}s"
    text = f"This request would exceed your organization's rate limit of {what} (org: org-sim)."
    wait_ms = meter.wait_ms(now_ms, need)
    waits = [] if wait_ms is None else [(b"retry-after", whole_seconds(wait_ms))]
    return 429, [JSON, *waits], error("rate_limit_error", text, request_id)
