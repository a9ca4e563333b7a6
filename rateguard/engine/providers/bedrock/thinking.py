"""How much Claude is to reason: decided as at Anthropic, written as Converse takes it.

`thinking` goes into additionalModelRequestFields, the effort into outputConfig. Source: Bedrock's user guide, extended and adaptive
thinking; botocore's service model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.anthropic.thinking import check_together, write_thinking
from rateguard.engine.providers.bedrock.content import Block
from rateguard.engine.providers.bedrock.models import Model
from rateguard.engine.providers.bedrock.refusal import unsupported
from rateguard.engine.providers.bedrock.tools import forces_a_tool

_UNBOUNDED = 1_000_000
"""Where a request does not say how long its answer may get."""
_ALONGSIDE = ("temperature", "top_k", "top_p")


def thinking_of(body: Mapping[str, Any], model: Model, turns: list[Block], options: Mapping[str, Any]) -> tuple[Block, str]:
    """What goes into additionalModelRequestFields, and the effort; ({}, "") where nothing is asked for. Raises InvalidRequest."""
    if model.claude is None:
        for field in ("thinking", "reasoning_effort"):
            if body.get(field) not in (None, "none"):
                raise unsupported("of bedrock's models only Claude can be asked to think", f"/{field}")
        return {}, ""
    most = body.get("max_completion_tokens") or body.get("max_tokens") or _UNBOUNDED
    written = write_thinking(body, model.claude, most, options)
    if not written:
        return {}, ""
    beside: dict[str, Any] = {name: body[name] for name in _ALONGSIDE if body.get(name) is not None}
    choice = {"tool_choice": {"type": "any"}} if forces_a_tool(body, model) else {}
    check_together({**written, **beside, **choice, "messages": turns})
    return {"thinking": written["thinking"]}, str((written.get("output_config") or {}).get("effort") or "")
