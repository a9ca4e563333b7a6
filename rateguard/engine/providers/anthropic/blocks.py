"""An answer's blocks, in OpenAI's words: text, calls, reasoning, citations; and its stop words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.providers.anthropic.layout import layout_of
from rateguard.engine.providers.anthropic.tools import JSON_TOOL

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # a long turn of Anthropic's own tools: send it back to go on
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def message_of(content: Sequence[Mapping[str, Any]], stop_details: Any = None) -> dict[str, Any]:
    """The message of a chat completion. `content` is None where nothing but calls came."""
    texts, reasoning, calls = [], [], []
    annotations: list[dict[str, Any]] = []
    for block in content:
        kind = block.get("type")
        if kind == "text":
            texts.append(block.get("text") or "")
            annotations += [one for citation in block.get("citations") or () for one in annotation_of(citation)]
        elif kind == "thinking":
            reasoning.append(block.get("thinking") or "")
        elif kind == "tool_use" and block.get("name") == JSON_TOOL:
            texts.append(arguments_of(block))
        elif kind == "tool_use":
            function = {"name": block.get("name"), "arguments": arguments_of(block)}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
    text = "".join(texts)
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": refusal_of(stop_details)}
    if any(reasoning):
        message["reasoning_content"] = "".join(reasoning)
    if calls:
        message["tool_calls"] = calls
    if annotations:
        message["annotations"] = annotations
    if fields := fields_of(content):
        message["provider_fields"] = fields
    return message


def fields_of(content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What has to come back with the next request; a block that holds the answer in JSON is text."""
    is_json = any(block.get("name") == JSON_TOOL for block in content)
    return {} if is_json else layout_of(content)


def arguments_of(block: Mapping[str, Any]) -> str:
    """OpenAI has arguments as a text. What was cut within is a text already."""
    told = block.get("input") or {}
    return told if isinstance(told, str) else orjson.dumps(told).decode()


def annotation_of(citation: Any) -> list[dict[str, Any]]:
    """A page that a search found, as OpenAI cites it; citations of documents are in provider_fields alone."""
    if not isinstance(citation, Mapping) or not citation.get("url"):
        return []
    return [{"type": "url_citation", "url_citation": {"url": citation["url"], "title": citation.get("title") or ""}}]


def refusal_of(stop_details: Any) -> str | None:
    """Why the model refused, where it says so."""
    if not isinstance(stop_details, Mapping):
        return None
    told = stop_details.get("explanation") or stop_details.get("category")
    return str(told) if told else None


def finish_of(stop_reason: Any, content: Sequence[Mapping[str, Any]]) -> str:
    """OpenAI's word. A word that is not known yet is a stop: the raw one stands beside it."""
    finish = _FINISH.get(str(stop_reason), "stop")
    if finish == "tool_calls" and all(block.get("name") == JSON_TOOL for block in content if block.get("type") == "tool_use"):
        return "stop"
    return finish


def text_of(content: Sequence[Mapping[str, Any]]) -> str:
    """All that the model wrote, for counting it ourselves."""
    return "".join(_written(block) for block in content)


def _written(block: Mapping[str, Any]) -> str:
    if block.get("type") in {"tool_use", "server_tool_use"}:
        return f"{block.get('name')}{arguments_of(block)}"
    return str(block.get("text") or block.get("thinking") or "")
