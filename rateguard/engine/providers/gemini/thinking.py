"""How long a model thinks: OpenAI's `reasoning_effort` as Gemini's thinkingConfig.

Gemini 3 and later take a level, 2.5 a budget in tokens; a request with both is refused there. Sources: google-genai 3.4 (ThinkingLevel,
ThinkingConfig) and Google's page on OpenAI compatibility, whose budgets these are. Which levels one model has is not known here: Gemini
says so itself (3 Pro has no MEDIUM).
"""

from __future__ import annotations

import re
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.gemini.refusals import unsupported

_POINTER = "/reasoning_effort"
_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}
_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576}
_NUMBER = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NEWEST = 30


def generation(target: Target) -> int:
    """The generation of the deployment's model times ten: 25 is Gemini 2.5; 0 where the name says none (Gemma, a tuned model).

    The option `generation` says it for a name that does not. `gemini-flash-latest` and its like are the newest.
    Raises ConfigurationError for another option than a number.
    """
    told = target.options.get("generation")
    if told is not None:
        if isinstance(told, bool) or not isinstance(told, int | float) or not 1 <= told < 1_000:
            raise ConfigurationError("the option generation is a number such as 2.5 or 3")
        return round(told * 10)
    found = _NUMBER.search(target.upstream_model)
    if found:
        return int(found.group(1)) * 10 + int(found.group(2) or 0)
    return _NEWEST if "gemini" in target.upstream_model and target.upstream_model.endswith("-latest") else 0


def thinking_config(effort: str, target: Target) -> dict[str, Any]:
    """What stands for an effort; empty where there is nothing to say. Raises InvalidRequest for what the model cannot do."""
    number = generation(target)
    if effort == "none":
        return _without(target.upstream_model, number)
    if number >= 30 and effort in _LEVELS:
        return {"thinkingLevel": _LEVELS[effort], "includeThoughts": True}
    if number == 25 and effort in _BUDGETS:
        return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": True}
    raise unsupported(f"{target.upstream_model} has no reasoning effort {effort!r}{_instead(number)}", _POINTER)


def _without(model: str, number: int) -> dict[str, Any]:
    """Thinking can be turned off in 2.5 Flash and Flash-Lite alone; models before do not think."""
    if number < 25:
        return {}
    if number == 25 and "flash" in model:
        return {"thinkingBudget": 0}
    raise unsupported(f"{model} always thinks: ask for 'minimal' or 'low' instead of 'none'", _POINTER)


def _instead(number: int) -> str:
    known = _LEVELS if number >= 30 else _BUDGETS if number == 25 else {}
    return f": it has {', '.join(known)}" if known else " that is known; the deployment's option `generation` says which it has"
