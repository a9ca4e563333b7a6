"""A request of Bedrock's Converse in OpenAI's shape: for counting, for checking what a model can do, for middlewares. It is never sent.

Reasoning of earlier turns is left out: it is signed, and nobody may change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rateguard.transport.dialects.texts import Place, Text, as_json

_CHOICES = {"auto": "auto", "any": "required"}
_SETTINGS = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p", "stopSequences": "stop"}

Block = Mapping[str, Any]


def view_of(native: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The view. model: the public name, which stands in the request's address."""
    messages, settings = native.get("messages"), native.get("inferenceConfig") or {}
    view: dict[str, Any] = {"model": model}
    view |= {name: settings[told] for told, name in _SETTINGS.items() if settings.get(told) not in (None, [])}
    if isinstance((tier := native.get("serviceTier")), Mapping) and tier.get("type"):
        view["service_tier"] = tier["type"]
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        return {**view, "messages": messages}
    view["messages"] = [*_system(native.get("system")), *(one for at, told in enumerate(messages) for one in _messages(told, at))]
    tools = [one["toolSpec"] for one in (native.get("toolConfig") or {}).get("tools") or () if isinstance(one.get("toolSpec"), dict)]
    if tools:
        view["tools"] = [_function(one) for one in tools]
        view |= _choice((native.get("toolConfig") or {}).get("toolChoice"))
    return view


def _system(told: Any) -> Iterator[dict[str, Any]]:
    if isinstance(told, list) and told:
        yield {"role": "system", "content": [one for at, block in enumerate(told) for one in _parts(block, ("system", at))]}


def _messages(told: Mapping[str, Any], at: int) -> Iterator[dict[str, Any]]:
    """A turn as one message, after those of the tools' results in it."""
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(told.get("content") or ()):
        if not isinstance(block, Mapping):
            continue
        place: Place = ("messages", at, "content", number)
        if isinstance((call := block.get("toolUse")), Mapping):
            arguments = as_json(call.get("input") or {}, (*place, "toolUse", "input"))
            calls.append({"id": call.get("toolUseId"), "type": "function", "function": {"name": call.get("name"), "arguments": arguments}})
        elif isinstance((result := block.get("toolResult")), Mapping):
            inside: Place = (*place, "toolResult", "content")
            content = [one for number, part in enumerate(result.get("content") or ()) for one in _parts(part, (*inside, number))]
            yield {"role": "tool", "tool_call_id": result.get("toolUseId"), "content": content}
        else:
            parts += _parts(block, place)
    if parts or calls:
        yield {"role": told.get("role"), "content": parts or None, **({"tool_calls": calls} if calls else {})}


def _parts(block: Any, place: Place) -> Iterator[dict[str, Any]]:
    if not isinstance(block, Mapping):
        return
    if isinstance(block.get("text"), str):
        yield {"type": "text", "text": Text(block["text"], (*place, "text"))}
    elif "json" in block:
        yield {"type": "text", "text": as_json(block["json"], (*place, "json"))}
    elif isinstance((image := block.get("image")), Mapping):
        yield {"type": "image_url", "image_url": {"url": _address(image, f"image/{image.get('format')}")}}
    elif isinstance((document := block.get("document")), Mapping):
        yield {"type": "file", "file": {"file_data": _address(document, "application/pdf"), "filename": str(document.get("name") or "")}}
    elif isinstance((guarded := block.get("guardContent")), Mapping) and isinstance((inner := guarded.get("text")), Mapping):
        yield {"type": "text", "text": Text(str(inner.get("text") or ""), (*place, "guardContent", "text", "text"))}


def _address(told: Block, kind: str) -> str:
    source = told.get("source")
    data = source.get("bytes") if isinstance(source, Mapping) else None
    return f"data:{kind};base64,{data}" if isinstance(data, str) else ""


def _function(tool: Block) -> dict[str, Any]:
    schema = tool.get("inputSchema")
    parameters = schema.get("json") if isinstance(schema, Mapping) else None
    told = {"name": tool.get("name"), "description": tool.get("description") or "", "parameters": parameters or {}}
    return {"type": "function", "function": told}


def _choice(told: Any) -> dict[str, Any]:
    if not isinstance(told, Mapping) or not told:
        return {}
    kind = next(iter(told))
    if kind == "tool" and isinstance(told[kind], Mapping):
        return {"tool_choice": {"type": "function", "function": {"name": told[kind].get("name")}}}
    return {"tool_choice": _CHOICES.get(kind, "auto")}
