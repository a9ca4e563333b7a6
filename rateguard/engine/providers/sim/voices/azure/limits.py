"""What Azure counts and tells: requests in short renewal periods, seconds that are plain numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from rateguard.engine.providers.sim.answers import JSON, whole_seconds
from rateguard.engine.providers.sim.config import REQUESTS, LimitRule
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.voices.asked import Headers, Refusal
from rateguard.engine.providers.sim.voices.azure.refusals import gateway_error

_MINUTE_MS, _PERIOD_MS = 60_000, 10_000


def sliced(rules: Sequence[LimitRule]) -> list[LimitRule]:
    """Requests a minute are held as a sixth of them in each ten seconds, where that is a whole number."""
    return [
        dataclasses.replace(rule, amount=rule.amount // 6, window_ms=_PERIOD_MS)
        if rule.metric == REQUESTS and rule.window_ms == _MINUTE_MS and rule.amount % 6 == 0
        else rule
        for rule in rules
    ]


def limit_headers(meters: Iterable[Meter], now_ms: float) -> Headers:
    """x-ratelimit-* for the first limit on each metric; `limit-requests` is for one renewal period."""
    headers: Headers = []
    told: set[str] = set()
    for meter in meters:
        rule = meter.rule
        if rule.metric in told:
            continue
        told.add(rule.metric)
        figures = {
            "limit": rule.amount,
            "remaining": max(0, rule.amount - meter.used(now_ms)),
            "reset": math.ceil(meter.full_in_ms(now_ms) / 1_000),
            "renewalperiod": rule.window_ms // 1_000,
        }
        headers += [(f"x-ratelimit-{name}-{rule.metric}".encode(), str(figure).encode()) for name, figure in figures.items()]
    return headers


def limit_refusal(meter: Meter, need: int, now_ms: float) -> Refusal:
    """A real 429."""
    what = "call" if meter.rule.metric == REQUESTS else "token"
    wait_ms = meter.wait_ms(now_ms, need)
    kind = (b"x-ratelimit-type", b"Requests" if what == "call" else b"Tokens")
    if wait_ms is None:
        return 429, [JSON, kind], gateway_error("429", f"The request is larger than the {what} rate limit of your current pricing tier.")
    waits = [(b"retry-after", whole_seconds(wait_ms)), (b"retry-after-ms", str(max(1, math.ceil(wait_ms))).encode())]
    text = (
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded "
        f"{what} rate limit of your current pricing tier. Please retry after {math.ceil(wait_ms / 1_000)} seconds."
    )
    return 429, [JSON, kind, *waits], gateway_error("429", text)
