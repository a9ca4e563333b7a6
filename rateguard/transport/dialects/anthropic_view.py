"""A request of Anthropic's Messages in OpenAI's shape: for counting, for checking what a model can do, for middlewares. It is never sent.

Thoughts of earlier turns are left out: Anthropic does not count them, and they are signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rateguard.transport.dialects.texts import Place, Text, as_json

_AS_IT_IS = ("model", "max_tokens", "temperature", "top_p", "top_k", "stream", "service_tier", "speed", "inference_geo")
_UNSEEN = frozenset({"thinking", "redacted_thinking"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_NOT_TEXT = frozenset({"type", "id", "tool_use_id", "cache_control", "encrypted_content", "signature", "media_type", "data", "url"})

Block = Mapping[str, Any]


def view_of(native: Mapping[str, Any]) -> dict[str, Any]:
    """The view. What is no message at all is left as it is: the checks say what is wrong with it."""
    view = {name: native[name] for name in _AS_IT_IS if native.get(name) is not None}
    messages = native.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        return {**view, "messages": messages}
    view["messages"] = [*_system(native.get("system")), *(one for at, told in enumerate(messages) for one in _messages(told, at))]
    if stops := native.get("stop_sequences"):
        view["stop"] = stops
    if isinstance(native.get("tools"), list) and native["tools"]:
        view |= _tools(native["tools"], native.get("tool_choice"))
    output_format = (native.get("output_config") or {}).get("format") or native.get("output_format")
    if isinstance(output_format, Mapping) and output_format.get("type") == "json_schema":
        view["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": output_format.get("schema")}}
    return view


def _system(told: Any) -> Iterator[dict[str, Any]]:
    if isinstance(told, str):
        yield {"role": "system", "content": Text(told, ("system",))}
    elif isinstance(told, list):
        yield {"role": "system", "content": [one for at, block in enumerate(told) for one in _parts(block, ("system", at))]}


def _messages(told: Mapping[str, Any], at: int) -> Iterator[dict[str, Any]]:
    """A turn as one message, after those of the tools' results in it."""
    content, place = told.get("content"), ("messages", at, "content")
    if not isinstance(content, list):
        yield {"role": told.get("role"), "content": Text(content, place) if isinstance(content, str) else content}
        return
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(content):
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind == "tool_use":
            arguments = as_json(block.get("input") or {}, (*place, number, "input"))
            calls.append({"id": block.get("id"), "type": "function", "function": {"name": block.get("name"), "arguments": arguments}})
        elif kind == "tool_result":
            yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _result(block, (*place, number))}
        else:
            parts += _parts(block, (*place, number))
    if parts or calls:
        yield {"role": told.get("role"), "content": parts or None, **({"tool_calls": calls} if calls else {})}


def _result(block: Block, place: Place) -> Any:
    content = block.get("content")
    if isinstance(content, str):
        return Text(content, (*place, "content"))
    return [one for at, part in enumerate(content or ()) for one in _parts(part, (*place, "content", at))]


def _parts(block: Any, place: Place) -> Iterator[dict[str, Any]]:
    """A block of content as parts of a message; one that OpenAI has no word for is its texts."""
    if not isinstance(block, Mapping):
        return
    kind, source = block.get("type"), block.get("source")
    if kind == "text" and isinstance(block.get("text"), str):
        yield {"type": "text", "text": Text(block["text"], (*place, "text"))}
    elif kind == "image" and isinstance(source, Mapping):
        yield {"type": "image_url", "image_url": {"url": _address(source)}}
    elif kind == "document" and isinstance(source, Mapping) and source.get("type") in {"base64", "url", "file"}:
        yield {"type": "file", "file": {"file_data": _address(source), "filename": str(block.get("title") or "document")}}
    elif kind not in _UNSEEN:
        for text in _texts(block, place):
            yield {"type": "text", "text": text}


def _address(source: Block) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    return str(source.get("url") or source.get("file_id") or "")


def _texts(value: Any, place: Place) -> Iterator[Text]:
    """Every text within, but words and names that are none."""
    if isinstance(value, str):
        yield Text(value, place)
    elif isinstance(value, Mapping):
        is_plain = value.get("type") == "text"  # a document's source: its `data` is text
        for name, one in value.items():
            if name not in _NOT_TEXT or (is_plain and name == "data"):
                yield from _texts(one, (*place, name))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _texts(one, (*place, at))


def _tools(told: list[Any], choice: Any) -> dict[str, Any]:
    """Functions; a search of Anthropic's own is asked for by its type."""
    tools = [one for one in told if isinstance(one, Mapping)]
    own = [one for one in tools if one.get("type") in {None, "custom"}]
    view: dict[str, Any] = {}
    if own:
        view["tools"] = [_function(one) for one in own]
    if any(str(one.get("type")).startswith("web_search") for one in tools):
        view["web_search_options"] = {}
    if isinstance(choice, Mapping) and own:
        named = {"type": "function", "function": {"name": choice.get("name")}}
        view["tool_choice"] = named if choice.get("type") == "tool" else _CHOICES.get(str(choice.get("type")), "auto")
    return view


def _function(tool: Block) -> dict[str, Any]:
    told = {"name": tool.get("name"), "description": tool.get("description") or "", "parameters": tool.get("input_schema") or {}}
    return {"type": "function", "function": told}
