"""What a request asks for that changes its price: a dearer tier, a faster or a nearer answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import PRIORITY

_DEAR_TIERS = {PRIORITY, "fast"}
"""OpenAI's `fast` comes back as `priority`."""
_WORD = re.compile(r"[a-z][a-z0-9_]{0,15}")


def price_words(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of the price list that a request asks for, in their order: `priority`, and terms.

    service_tier, and Anthropic's `speed` and `inference_geo`. What a project's own settings choose is not seen here.

    >>> price_words({"service_tier": "fast", "inference_geo": "us"}), price_words({"service_tier": "flex"}), price_words({})
    (('priority', 'us'), (), ())
    """
    found = {PRIORITY} if body.get("service_tier") in _DEAR_TIERS else set()
    for value in (body.get("speed"), body.get("inference_geo")):
        if isinstance(value, str) and _WORD.fullmatch(value):
            found.add(value)
    return tuple(sorted(found))
