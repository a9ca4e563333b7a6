"""`reasoning_effort` → how a Claude model thinks.

Models that think adaptively take the word as `output_config.effort`, in the nearest word above that they know (`minimal` is `low`). Older
ones take a budget of tokens, a share of max_tokens at most, since thinking counts within it. `none` turns thinking off, where that is
possible. Newer models leave the text of their thinking empty unless `display` asks for a summary; who asks for reasoning is shown it. The
option `thinking` of an account or a deployment is put over the object that is sent, such as {"display": "omitted"}; a caller may send an
object `thinking` in Anthropic's form instead of `reasoning_effort`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.anthropic.models import Model
from rateguard.engine.providers.anthropic.refusals import malformed, unsupported

LEAST_BUDGET = 1_024
"""Tokens; Anthropic refuses less, and a budget that is not below max_tokens."""
_BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_768, "max": 65_536}
_LADDER = ("minimal", "low", "medium", "high", "xhigh", "max")
_FIELD = "/reasoning_effort"


def write_thinking(body: Mapping[str, Any], model: Model, max_tokens: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """`thinking` and `output_config`, as far as they are needed. Raises InvalidRequest."""
    effort, told = body.get("reasoning_effort"), body.get("thinking")
    if told is not None:
        if effort is not None or not isinstance(told, Mapping):
            raise malformed("send thinking as an object of Anthropic's, or reasoning_effort, not both", "/thinking")
        return {"thinking": told}
    over = _over(options)
    if effort is None:
        return {"thinking": {"type": "adaptive", **over}} if over and model.thinks_unasked else {}
    if effort == "none":
        return _off(model)
    if not isinstance(effort, str) or effort not in _BUDGETS:
        raise malformed(f"reasoning_effort is none or one of {', '.join(_LADDER)}", _FIELD)
    thinking: dict[str, Any] = {"type": "adaptive", "display": "summarized"}
    if model.thinking == "enabled":
        thinking = {"type": "enabled", "budget_tokens": _budget(effort, max_tokens)}
    written: dict[str, Any] = {"thinking": {**thinking, **over}}
    if model.efforts:
        written["output_config"] = {"effort": _nearest(effort, model.efforts)}
    return written


def check_together(written: Mapping[str, Any]) -> None:
    """Refuse what thinking cannot stand beside. Raises InvalidRequest.

    A budget goes with no forced tool and no prefill; any thinking goes with no temperature but 1, no top_k, and no top_p under 0.95.
    Source: Anthropic's page on extended thinking.
    """
    kind = (written.get("thinking") or {}).get("type")
    if kind not in ("enabled", "adaptive"):
        return
    if written.get("temperature", 1) != 1:
        raise unsupported("thinks at temperature 1 alone: leave temperature or reasoning_effort out", "/temperature")
    if "top_k" in written:
        raise unsupported("thinks without top_k: leave top_k or reasoning_effort out", "/top_k")
    if written.get("top_p", 1) < 0.95:
        raise unsupported("thinks with a top_p of 0.95 to 1", "/top_p")
    if kind == "enabled" and (written.get("tool_choice") or {}).get("type") in {"any", "tool"}:
        raise unsupported("cannot be made to call a tool while this model thinks: leave reasoning_effort out", _FIELD)
    if kind == "enabled" and written["messages"][-1]["role"] == "assistant":
        raise unsupported("goes on from no message of the assistant's while this model thinks: leave reasoning_effort out", _FIELD)


def _over(options: Mapping[str, Any]) -> Mapping[str, Any]:
    over = options.get("thinking") or {}
    if not isinstance(over, Mapping):
        raise ConfigurationError('the option thinking is an object, like {"display": "omitted"}')
    return over


def _off(model: Model) -> dict[str, Any]:
    if not model.off:
        raise unsupported("cannot turn this model's thinking off: ask for low", _FIELD)
    return {"thinking": {"type": model.off}} if model.thinks_unasked else {}


def _nearest(effort: str, known: tuple[str, ...]) -> str:
    """The word itself, else the next one up that the model knows, else its highest."""
    return next((word for word in _LADDER[_LADDER.index(effort) :] if word in known), known[-1])


def _budget(effort: str, max_tokens: int) -> int:
    if max_tokens <= LEAST_BUDGET:
        raise unsupported(
            f"thinks with at least {LEAST_BUDGET} tokens within max_tokens: ask for more, or no reasoning_effort", "/max_tokens"
        )
    return min(_BUDGETS[effort], max(LEAST_BUDGET, max_tokens * 3 // 4))
