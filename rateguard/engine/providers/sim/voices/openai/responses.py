"""OpenAI's Responses: what a request asks for, and its answer, whole and as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.sim.answers import event
from rateguard.engine.providers.sim.faults import FaultKind
from rateguard.engine.providers.sim.voices.asked import Asked, Finish, Place, Tool, Used, Words
from rateguard.engine.providers.sim.voices.blocks import IMAGE, as_list, countable_tools, dicts, text_part
from rateguard.engine.providers.sim.voices.openai.request import TIERS
from rateguard.engine.providers.sim.voices.voice import Piece

FORM = "responses"
_TEXTS = {"input_text", "output_text", "text", "summary_text", "refusal"}
_WHY = {Finish.LENGTH: "max_output_tokens", Finish.FILTER: "content_filter"}


def parse(place: Place, body: dict[str, Any]) -> Asked | None:
    """The request, if it has a model and something to work on."""
    if not isinstance(body.get("model"), str) or not isinstance(body.get("input"), str | list):
        return None
    tools, must_call = _tools(body)
    wanted = (body.get("text") or {}).get("format") or {}
    return Asked(
        place,
        body["model"],
        body,
        _countable(body),
        max_tokens=body.get("max_output_tokens"),
        is_streamed=bool(body.get("stream")),
        tools=tools,
        must_call=must_call,
        schema=wanted.get("schema") or {} if str(wanted.get("type")).startswith("json") else None,
        thinks=(body.get("reasoning") or {}).get("effort") not in {None, "none"},
        tier=TIERS.get(str(body.get("service_tier")), ""),
    )


def _tools(body: Mapping[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    choice = body.get("tool_choice", "auto")
    functions = [one for one in dicts(body.get("tools")) if one.get("type") == "function"]
    if choice == "none":
        return (), False
    tools = tuple(Tool(str(one.get("name")), one.get("parameters") or {"type": "object", "properties": {}}) for one in functions)
    if isinstance(choice, dict):
        return tuple(tool for tool in tools if tool.name == choice.get("name")) or tools, True
    return tools, choice == "required"


def _countable(body: Mapping[str, Any]) -> dict[str, Any]:
    messages = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    if isinstance(body["input"], str):
        messages.append({"role": "user", "content": body["input"]})
    else:
        messages += [{"role": str(item.get("role", "")), "content": list(_parts(item))} for item in dicts(body["input"])]
    tools = [(str(one.get("name")), str(one.get("description", "")), one.get("parameters")) for one in dicts(body.get("tools"))]
    return {"messages": messages, "tools": countable_tools(tools)} if tools else {"messages": messages}


def _parts(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """An item of the input: a message, a call, its output, or what was thought."""
    if item.get("type") == "function_call":
        yield text_part([item.get("name"), item.get("arguments")])
        return
    for part in dicts(as_list(item.get("content", item.get("output", item.get("summary"))))):
        yield text_part(part["text"]) if part.get("type", "text") in _TEXTS and "text" in part else IMAGE


def usage(used: Used) -> dict[str, Any]:
    """The usage of a response."""
    return {
        "input_tokens": used.input,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": used.written},
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": used.input + used.output,
    }


def response(words: Words, status: str = "", output: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A response, finished or with the status and the output that are given."""
    body = words.asked.body
    why = None if status else _WHY.get(words.said.finish)
    return {
        "id": f"resp_{words.answer}",
        "object": "response",
        "created_at": words.created,
        "status": status or ("incomplete" if why else "completed"),
        "background": False,
        "error": None,
        "incomplete_details": {"reason": why} if why else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": words.model,
        "output": _items(words) if output is None else output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
        "service_tier": words.used.tier or "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None if status else usage(words.used),
        "metadata": body.get("metadata") or {},
    }


def _items(words: Words) -> list[dict[str, Any]]:
    thought = [{"type": "reasoning", "id": f"rs_{words.answer}", "summary": []}] if words.said.reasoning else []
    return [*thought, _item(words, "completed", "".join(words.said.pieces))]


def _item(words: Words, status: str, text: str) -> dict[str, Any]:
    """What is said, or the call of a tool."""
    if words.said.tool:
        call = {"call_id": f"call_{words.answer}", "name": words.said.tool, "arguments": text}
        return {"type": "function_call", "id": f"fc_{words.answer}", "status": status, **call}
    content = [_part(text)] if status == "completed" else []
    return {"type": "message", "id": f"msg_{words.answer}", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class _Numbered:
    """Writes events, each with its number."""

    def __init__(self) -> None:
        self._number = -1

    def __call__(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        return event(orjson.dumps({"type": kind, "sequence_number": self._number, **fields}), kind)


def events(words: Words) -> Iterator[Piece]:
    """A stream: the response, its items, their parts, and all of it once more at the end."""
    told, said = _Numbered(), words.said
    yield 0, told("response.created", response=response(words, "in_progress", []))
    yield 0, told("response.in_progress", response=response(words, "in_progress", []))
    place = 0
    if said.reasoning:
        thought = {"type": "reasoning", "id": f"rs_{words.answer}", "summary": []}
        yield 0, told("response.output_item.added", output_index=0, item=thought)
        yield len(said.reasoning), told("response.output_item.done", output_index=0, item=thought)
        place = 1
    yield 0, told("response.output_item.added", output_index=place, item=_item(words, "in_progress", ""))
    yield from _call(words, told, place) if said.tool else _text(words, told, place)
    yield 0, told("response.output_item.done", output_index=place, item=_item(words, "completed", "".join(said.pieces)))
    whole = response(words)
    yield 0, told(f"response.{whole['status']}", response=whole)


def _text(words: Words, told: _Numbered, place: int) -> Iterator[Piece]:
    where, text = {"item_id": f"msg_{words.answer}", "output_index": place, "content_index": 0}, "".join(words.said.pieces)
    yield 0, told("response.content_part.added", **where, part=_part(""))
    for tokens, piece in words.cut(words.said.pieces):
        yield tokens, told("response.output_text.delta", **where, delta=piece, logprobs=[])
    yield 0, told("response.output_text.done", **where, text=text, logprobs=[])
    yield 0, told("response.content_part.done", **where, part=_part(text))


def _call(words: Words, told: _Numbered, place: int) -> Iterator[Piece]:
    where = {"item_id": f"fc_{words.answer}", "output_index": place}
    for tokens, piece in words.cut(words.said.pieces):
        yield tokens, told("response.function_call_arguments.delta", **where, delta=piece)
    yield 0, told("response.function_call_arguments.done", **where, name=words.said.tool, arguments="".join(words.said.pieces))


BREAKS: Mapping[FaultKind, bytes] = {
    FaultKind.MALFORMED: event(b'{"type":"response.output_text.delta","seq', "response.output_text.delta"),
    FaultKind.STREAM_ERROR: event(
        b'{"type":"error","sequence_number":9,"code":"server_error","message":"The server had an error while streaming.","param":null}',
        "error",
    ),
}
"""What a stream ends with where a fault breaks it: a bare `error` event has no key `error`."""
