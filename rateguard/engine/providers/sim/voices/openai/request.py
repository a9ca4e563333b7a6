"""What a request in OpenAI's shape asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.sim.voices.asked import Asked, Kind, Place, Tool

MAX_TOKENS_FIELDS = ("max_completion_tokens", "max_tokens")
TIERS = {"flex": "flex", "priority": "priority", "fast": "priority"}


def parse_object(raw: bytes) -> dict[str, Any] | None:
    """A JSON object, or None."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def parse(place: Place, body: dict[str, Any] | None) -> Asked | None:
    """The request, if it is an object with a model and something to work on."""
    model = place.model or (body.get("model") if body else None)
    if body is None or not isinstance(model, str):
        return None
    if place.kind is Kind.EMBEDDINGS and isinstance(body.get("input"), str | list):
        return Asked(
            place, model, body, body, max_tokens=0, texts=_embedding_texts(body["input"]), dimensions=int(body.get("dimensions") or 0)
        )
    is_chat = isinstance(body.get("messages"), list) and all(isinstance(message, dict) for message in body["messages"])
    return _chat(place, model, body) if is_chat else None


def _chat(place: Place, model: str, body: dict[str, Any]) -> Asked:
    given = [value for name in MAX_TOKENS_FIELDS if isinstance(value := body.get(name), int)]
    tools, must_call = _tools(body) if body.get("tools") else ((), False)
    return Asked(
        place,
        model,
        body,
        body,
        max_tokens=max(given, default=None),
        is_streamed=bool(body.get("stream")),
        tools=tools,
        must_call=must_call,
        schema=_schema(body.get("response_format")),
        thinks=body.get("reasoning_effort") not in {None, "none"},
        tier=TIERS.get(str(body.get("service_tier")), ""),
    )


def _tools(body: Mapping[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    """The functions that may be called, and whether one must be."""
    choice = body.get("tool_choice", "auto")
    if choice == "none":
        return (), False
    functions = [tool.get("function") or {} for tool in body["tools"] if isinstance(tool, dict)]
    tools = tuple(Tool(str(one.get("name", "")), one.get("parameters") or {"type": "object", "properties": {}}) for one in functions)
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return tuple(tool for tool in tools if tool.name == name) or tools, True
    return tools, choice == "required"


def _schema(wanted: Any) -> Mapping[str, Any] | None:
    if not isinstance(wanted, dict) or wanted.get("type") not in {"json_object", "json_schema"}:
        return None
    schema: Mapping[str, Any] = (wanted.get("json_schema") or {}).get("schema") or {}
    return schema


def _embedding_texts(value: str | list[Any]) -> list[bytes]:
    """Each text of an embeddings input, as bytes that tell them apart; a token array is one text."""
    if isinstance(value, str) or (value and isinstance(value[0], int)):
        return [orjson.dumps(value)]
    return [orjson.dumps(item) for item in value]
