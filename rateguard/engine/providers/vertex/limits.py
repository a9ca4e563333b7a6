"""What Vertex's own limits count. Its headers say nothing of them.

Claude's quotas there are taken to count as Anthropic's do: output as it comes, nothing for what was read from the cache (not verified for
Vertex). Gemini has a shared pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.capabilities import Admission


def is_claude(model: str) -> bool:
    """Whether a model is Anthropic's, by what Vertex calls it."""
    return model.rpartition("/")[2].startswith("claude")


def admission_of(model: str, options: Mapping[str, Any]) -> Admission:
    """Of one deployment, by its model's maker."""
    return ADMISSIONS["anthropic" if is_claude(str(options.get("base_model") or model)) else "vertex"]
