"""What a request to Bedrock asks for: Converse, and the bodies of single models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.sim.prompt_cache import LONG, SHORT, Part
from rateguard.engine.providers.sim.voices.anthropic import request as claude
from rateguard.engine.providers.sim.voices.asked import Asked, Kind, Place, Tool
from rateguard.engine.providers.sim.voices.blocks import IMAGE, countable_tools, dicts, text_part

CONVERSE, TITAN, COHERE, CLAUDE = "converse", "titan", "cohere", "claude"
_EMPTY: Mapping[str, Any] = {"type": "object", "properties": {}}
_TIERS = {"flex": "flex", "priority": "priority"}


def complaint(place: Place, body: Mapping[str, Any]) -> str:
    """What is wrong with a request; "" for nothing."""
    if place.form == TITAN:
        return "" if isinstance(body.get("inputText"), str) else "Malformed input request: #: required key [inputText] not found"
    if place.form == COHERE:
        is_right = bool(body.get("texts")) and isinstance(body.get("input_type"), str)
        return "" if is_right else "Malformed input request: #: required keys [texts, input_type] not found"
    if place.form == CLAUDE:
        return "" if body.get("anthropic_version") else "anthropic_version: Field required"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "The value at messages is empty. Add messages, and try again."
    if (body.get("inferenceConfig") or {}).get("maxTokens", 1) < 1:
        return "The value at inferenceConfig.maxTokens must be greater than or equal to 1."
    return ""


def parse(place: Place, model: str, body: dict[str, Any]) -> Asked:
    """A request that nothing is wrong with."""
    if place.form == TITAN:
        texts = [body["inputText"]]
        return Asked(place, model, body, {"input": texts}, 0, texts=_bytes(texts), dimensions=int(body.get("dimensions") or 0))
    if place.form == COHERE:
        texts = body["texts"]
        return Asked(place, model, body, {"input": texts}, 0, texts=_bytes(texts), dimensions=int(body.get("output_dimension") or 0))
    if place.form == CLAUDE:
        return claude.parse(place, {**body, "model": model, "stream": place.is_streamed}, "")
    return _converse(place, model, body)


def _bytes(texts: list[str]) -> list[bytes]:
    return [text.encode() for text in texts]


def _converse(place: Place, model: str, body: dict[str, Any]) -> Asked:
    tools, must_call = _tools(body.get("toolConfig") or {})
    more = body.get("additionalModelRequestFields") or {}
    thinking = more.get("thinking") or more.get("reasoning_config") or {}
    form = (body.get("outputConfig") or {}).get("textFormat") or {}
    return Asked(
        place,
        model,
        body,
        _countable(body),
        max_tokens=(body.get("inferenceConfig") or {}).get("maxTokens"),
        is_streamed=place.is_streamed,
        tools=tools,
        must_call=must_call,
        schema=orjson.loads(form["structure"]["jsonSchema"]["schema"]) if form.get("type") == "json_schema" else None,
        thinks=thinking.get("type") in {"enabled", "adaptive"},
        tier=_TIERS.get((body.get("serviceTier") or {}).get("type", ""), ""),
    )


def _tools(wanted: Mapping[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    specs = [one["toolSpec"] for one in dicts(wanted.get("tools")) if "toolSpec" in one]
    tools = tuple(Tool(one["name"], (one.get("inputSchema") or {}).get("json") or _EMPTY) for one in specs)
    choice = wanted.get("toolChoice") or {}
    if "tool" in choice:
        return tuple(tool for tool in tools if tool.name == choice["tool"].get("name")), True
    return tools, "any" in choice


def _countable(body: Mapping[str, Any]) -> dict[str, Any]:
    messages = [{"role": message["role"], "content": list(_parts(message["content"]))} for message in body["messages"]]
    if body.get("system"):
        messages.insert(0, {"role": "system", "content": list(_parts(body["system"]))})
    specs = [one["toolSpec"] for one in dicts((body.get("toolConfig") or {}).get("tools")) if "toolSpec" in one]
    tools = [(one["name"], one.get("description", ""), (one.get("inputSchema") or {}).get("json")) for one in specs]
    return {"messages": messages, "tools": countable_tools(tools)} if tools else {"messages": messages}


def _parts(blocks: Any) -> Iterator[Mapping[str, Any]]:
    for block in dicts(blocks):
        if "cachePoint" in block:
            continue
        if "text" in block:
            yield text_part(block["text"])
        elif "json" in block:
            yield text_part(block["json"])
        elif "toolUse" in block:
            yield text_part([block["toolUse"].get("name"), block["toolUse"].get("input")])
        elif "toolResult" in block:
            yield from _parts(block["toolResult"].get("content"))
        elif "reasoningContent" in block:
            yield text_part((block["reasoningContent"].get("reasoningText") or {}).get("text", ""))
        else:
            yield IMAGE


def cacheable(asked: Asked) -> list[Part]:
    """The parts of a prompt; a cachePoint marks the one in front of it."""
    if asked.place.form == CLAUDE:
        return claude.cacheable(asked.body)
    blocks = [("tool", block) for block in dicts((asked.body.get("toolConfig") or {}).get("tools"))]
    blocks += [("system", block) for block in dicts(asked.body.get("system"))]
    blocks += [(message["role"], block) for message in asked.body["messages"] for block in dicts(message["content"])]
    parts: list[Part] = []
    for role, block in blocks:
        if "cachePoint" not in block:
            parts.append(Part(orjson.dumps([role, block])))
        elif parts:
            parts[-1] = Part(parts[-1].data, LONG if block["cachePoint"].get("ttl") == "1h" else SHORT)
    return parts


def counted_input(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What CountTokens is to count: the form, and the body. Raises KeyError where it says neither."""
    wanted = body["input"]
    if "converse" in wanted:
        return CONVERSE, wanted["converse"]
    return CLAUDE, orjson.loads(wanted["invokeModel"]["body"])


def form_of(model: str) -> tuple[Kind, str]:
    """What InvokeModel speaks with a model."""
    if "titan-embed" in model:
        return Kind.EMBEDDINGS, TITAN
    if "cohere.embed" in model:
        return Kind.EMBEDDINGS, COHERE
    return Kind.CHAT, CLAUDE
