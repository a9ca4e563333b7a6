"""What a request for messages asks for, and the parts that its marks divide it into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.sim.prompt_cache import LONG, SHORT, Part
from rateguard.engine.providers.sim.voices.asked import Asked, Kind, Place, Tool
from rateguard.engine.providers.sim.voices.blocks import IMAGE, as_list, countable_tools, dicts, text_part

OLD, NEW = "2023-06-01", "2026-10-21"
_NO_LONGER = ("temperature", "top_p", "top_k")
_EMPTY: Mapping[str, Any] = {"type": "object", "properties": {}}


def complaint(place: Place, body: Mapping[str, Any] | None, version: str) -> str:
    """What is wrong with a request, in Anthropic's words; "" for nothing."""
    if not version:
        return "anthropic-version: header is required"
    if version not in {OLD, NEW}:
        return f"anthropic-version: {version!r} is not a valid version"
    if body is None:
        return "The request body is not valid JSON"
    return next(_complaints(place, body, version), "")


def _complaints(place: Place, body: Mapping[str, Any], version: str) -> Iterator[str]:
    fields = {"model": str, "messages": list} | ({"max_tokens": int} if place.kind is Kind.CHAT else {})
    yield from (f"{name}: Field required" for name, kind in fields.items() if not isinstance(body.get(name), kind))
    if body.get("max_tokens", 1) < 1:
        yield "max_tokens: Input should be greater than or equal to 1"
    for number, message in enumerate(body["messages"]):
        if not isinstance(message, dict) or message.get("role") not in {"user", "assistant"}:
            yield f"messages.{number}.role: Input should be 'user' or 'assistant'"
    if version == NEW:
        yield from (f"{name}: Extra inputs are not permitted in version {NEW}" for name in _NO_LONGER if name in body)


def parse(place: Place, body: dict[str, Any], request_id: str) -> Asked:
    """A request that nothing is wrong with."""
    tools, must_call = _tools(body)
    given = body.get("output_config", {}).get("format") or body.get("output_format") or {}
    return Asked(
        place,
        body["model"],
        body,
        _countable(body),
        max_tokens=body.get("max_tokens"),
        is_streamed=bool(body.get("stream")),
        tools=tools,
        must_call=must_call,
        schema=given.get("schema") if given.get("type") == "json_schema" else None,
        thinks=(body.get("thinking") or {}).get("type") in {"enabled", "adaptive"},
        tier="fast" if body.get("speed") == "fast" else "",
        request_id=request_id,
    )


def _tools(body: Mapping[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    choice = body.get("tool_choice") or {"type": "auto"}
    if choice.get("type") == "none":
        return (), False
    tools = tuple(
        Tool(str(one.get("name")), one.get("input_schema") or _EMPTY) for one in dicts(body.get("tools")) if "input_schema" in one
    )
    if choice.get("type") == "tool":
        return tuple(tool for tool in tools if tool.name == choice.get("name")), True
    return tools, choice.get("type") == "any"


def _countable(body: Mapping[str, Any]) -> dict[str, Any]:
    """In the shape that the counter knows."""
    messages = [{"role": message["role"], "content": list(_parts(message.get("content")))} for message in body["messages"]]
    if system := list(_parts(body.get("system"))):
        messages.insert(0, {"role": "system", "content": system})
    tools = [(str(one.get("name")), str(one.get("description", "")), one.get("input_schema")) for one in dicts(body.get("tools"))]
    return {"messages": messages, "tools": countable_tools(tools)} if tools else {"messages": messages}


def _parts(content: Any) -> Iterator[Mapping[str, Any]]:
    for block in dicts(as_list(content)):
        match block.get("type", "text"):
            case "text" | "thinking":
                yield text_part(block.get("text") or block.get("thinking") or "")
            case "tool_use":
                yield text_part([block.get("name"), block.get("input")])
            case "tool_result":
                yield from _parts(block.get("content"))
            case _:
                yield IMAGE


def cacheable(body: Mapping[str, Any]) -> list[Part]:
    """Tools, system and messages, block by block; a mark at the top is one behind the last of them."""
    parts = [_part("tool", block) for block in dicts(body.get("tools"))]
    parts += [_part("system", block) for block in dicts(as_list(body.get("system")))]
    for message in body["messages"]:
        parts += [_part(message["role"], block) for block in dicts(as_list(message.get("content")))]
    if parts and (mark := _mark(body)):
        parts[-1] = Part(parts[-1].data, mark)
    return parts


def _part(role: str, block: Mapping[str, Any]) -> Part:
    bare = {name: value for name, value in block.items() if name != "cache_control"}
    return Part(orjson.dumps([role, bare]), _mark(block))


def _mark(block: Mapping[str, Any]) -> str:
    control = block.get("cache_control")
    if not isinstance(control, dict):
        return ""
    return LONG if control.get("ttl") == "1h" else SHORT
