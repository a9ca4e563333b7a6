"""What Google tells of limits: nothing, until a 429 says which quota it was."""

from __future__ import annotations

from rateguard.engine.providers.sim.config import REQUESTS
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.voices.asked import Refusal
from rateguard.engine.providers.sim.voices.gemini.refusals import JSON, quota, seconds

_DAY_MS = 86_400_000


def limit_refusal(meter: Meter, model: str, need: int, now_ms: float) -> Refusal:
    """A real 429: the quota's id tells a day from a minute."""
    rule = meter.rule
    span = "PerDay" if rule.window_ms >= _DAY_MS else "PerMinute"
    metric, what = ("requests", "Requests") if rule.metric == REQUESTS else ("input_token_count", "ContentInputTokens")
    wait_ms = meter.wait_ms(now_ms, need)
    retry = "" if wait_ms is None else seconds(wait_ms)
    return 429, [JSON], quota(f"paid_tier_{metric}", f"Generate{what}{span}PerProjectPerModel", rule.amount, model, retry)
