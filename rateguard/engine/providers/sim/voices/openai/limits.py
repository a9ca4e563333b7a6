"""What OpenAI tells of limits: x-ratelimit-*, durations as Go writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rateguard.engine.providers.sim.answers import JSON, go_duration, whole_seconds
from rateguard.engine.providers.sim.config import REQUESTS
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.voices.asked import Headers, Refusal
from rateguard.engine.providers.sim.voices.openai.refusals import error

_ABBREVIATIONS = {REQUESTS: "RPM"}
_DAY_MS = 86_400_000


def limit_headers(meters: Iterable[Meter], now_ms: float) -> Headers:
    """x-ratelimit-* for the first limit on each metric."""
    headers: Headers = []
    told: set[str] = set()
    for meter in meters:
        metric = meter.rule.metric
        if metric in told:
            continue
        told.add(metric)
        left = max(0, meter.rule.amount - meter.used(now_ms))
        headers += [
            (f"x-ratelimit-limit-{metric}".encode(), str(meter.rule.amount).encode()),
            (f"x-ratelimit-remaining-{metric}".encode(), str(left).encode()),
            (f"x-ratelimit-reset-{metric}".encode(), go_duration(meter.full_in_ms(now_ms)).encode()),
        ]
    return headers


def limit_refusal(meter: Meter, model: str, need: int, now_ms: float) -> Refusal:
    """A real 429; a limit of the whole account names no model."""
    rule, used = meter.rule, meter.used(now_ms)
    wait_ms = meter.wait_ms(now_ms, need)
    whose = f"for {model} in" if rule.model else "in"
    abbreviation = _ABBREVIATIONS.get(rule.metric, "TPM")
    what = f"{rule.metric} per {rule.window_ms / 1000:g}s ({abbreviation if rule.window_ms < _DAY_MS else abbreviation[:2] + 'D'})"
    if wait_ms is None:
        text = f"Request too large {whose} organization org-sim on {what}: Limit {rule.amount}, Requested {need}."
        return 429, [JSON], error(text, rule.metric, "rate_limit_exceeded")
    text = (
        f"Rate limit reached {whose} organization org-sim on {what}: Limit {rule.amount}, Used {used}, Requested {need}. "
        f"Please try again in {go_duration(wait_ms)}."
    )
    waits = [(b"retry-after", whole_seconds(wait_ms)), (b"retry-after-ms", str(max(1, math.ceil(wait_ms))).encode())]
    return 429, [JSON, *waits], error(text, rule.metric, "rate_limit_exceeded")
