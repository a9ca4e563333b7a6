"""What Bedrock counts: all input and the most output at first; what stays is the output times the model's burndown.

Source: AWS's page on token burndown, by quotation (not verified).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rateguard.engine.providers.sim.config import REQUESTS
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.voices.asked import Refusal
from rateguard.engine.providers.sim.voices.bedrock.refusals import refusal

_DAY_MS = 86_400_000
_BURNDOWN: Mapping[str, int] = {
    r"claude-(opus|sonnet|haiku)-4-8": 15,
    r"claude-(opus|sonnet|fable)-5|gpt-5\.6": 10,
    r"claude-3-7|claude-(opus|sonnet|haiku)-4": 5,
}


def burndown(model: str) -> int:
    """How often a token of output counts.

    >>> [burndown(name) for name in ("us.anthropic.claude-opus-4-8", "anthropic.claude-sonnet-5", "amazon.nova-pro-v1:0")]
    [15, 10, 1]
    """
    return next((times for names, times in _BURNDOWN.items() if re.search(names, model)), 1)


def limit_refusal(meter: Meter) -> Refusal:
    """A real 429: nothing but its message tells which limit it was, and nothing tells the wait."""
    what = "requests" if meter.rule.metric == REQUESTS else "tokens"
    day = " per day" if meter.rule.window_ms >= _DAY_MS else ""
    return refusal(429, "ThrottlingException", f"Too many {what}{day}, please wait before trying again.")
