"""A whole answer of Converse as a chat completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.base import Answer, Endpoint, Request, Target
from rateguard.engine.providers.bedrock import embedding
from rateguard.engine.providers.bedrock.completion import Completion
from rateguard.engine.providers.bedrock.tools import JSON_TOOL
from rateguard.engine.providers.bedrock.usage import parse_usage, tier_of
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object


def read(target: Target, request: Request, reply: Reply) -> Answer:
    """What it says. Raises ProviderError where it is no answer."""
    if request.endpoint is Endpoint.EMBEDDINGS:
        return embedding.read(target, request, reply)
    said = parse_object(reply.body)
    output = said.get("output")
    message = output.get("message") if isinstance(output, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list) or not said.get("stopReason"):
        raise malformed_answer("the answer has no message")
    whole = Completion(target, request, reply.headers)
    for block in content:
        if isinstance(block, Mapping):
            _take(whole, block)
    whole.stop_reason, whole.tier = str(said["stopReason"]), tier_of(said)
    if isinstance(said.get("usage"), Mapping):
        whole.usage = parse_usage(said["usage"], whole.tier)
    return whole.answer()


def _take(whole: Completion, block: Mapping[str, Any]) -> None:
    """One content block. Kinds that were not asked for, such as images that a model made, are passed over."""
    if "text" in block:
        whole.texts.append(str(block["text"]))
    elif isinstance(block.get("toolUse"), Mapping):
        tool_use = block["toolUse"]
        arguments = orjson.dumps(tool_use.get("input") or {}).decode()
        if whole.wants_json and tool_use.get("name") == JSON_TOOL:
            whole.texts.append(arguments)
        else:
            whole.call(tool_use, arguments)
    elif isinstance(block.get("reasoningContent"), Mapping):
        reasoning = block["reasoningContent"]
        whole.layout.reasoning(dict(reasoning), whole.texts)
        text = reasoning.get("reasoningText")
        if isinstance(text, Mapping):
            whole.reasoning.append(str(text.get("text") or ""))
    elif isinstance(block.get("citationsContent"), Mapping):
        whole.texts += [str(part.get("text") or "") for part in block["citationsContent"].get("content") or ()]
