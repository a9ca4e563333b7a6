"""What a request in Google's shape asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rateguard.engine.providers.sim.voices.asked import Asked, Kind, Place, Tool
from rateguard.engine.providers.sim.voices.blocks import IMAGE, countable_tools, dicts, text_part
from rateguard.engine.providers.sim.voices.gemini import places

SSE, ARRAY = "sse", "array"
_EMPTY: Mapping[str, Any] = {"type": "object", "properties": {}}
_TIERS = {"flex": "flex", "priority": "priority"}


def complaint(place: Place, body: Mapping[str, Any]) -> str:
    """What is wrong with a request, in Google's words; "" for nothing."""
    if place.kind is Kind.EMBEDDINGS:
        return "" if _embedded(place, body) else "* EmbedContentRequest.content: contents is not specified"
    body = _camel(body.get("generateContentRequest") or body)
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        return "* GenerateContentRequest.contents: contents is not specified"
    if any(one.get("role", "user") not in {"user", "model", "function"} for one in contents):
        return "Please use a valid role: user, model."
    if _camel(body.get("generationConfig")).get("maxOutputTokens", 1) < 1:
        return "max_output_tokens must be positive."
    return ""


def parse(place: Place, body: dict[str, Any], *, is_sse: bool) -> Asked:
    """A request that nothing is wrong with. is_sse: `alt=sse` was asked for."""
    if place.kind is Kind.EMBEDDINGS:
        return _embedding(place, body)
    body = _camel(body.get("generateContentRequest") or body)
    config = _camel(body.get("generationConfig"))
    tools, must_call = _tools(body)
    is_json = config.get("responseMimeType") == "application/json"
    return Asked(
        Place(place.kind, place.model, place.is_streamed, SSE if is_sse else ARRAY),
        place.model,
        body,
        _countable(body),
        max_tokens=config.get("maxOutputTokens"),
        is_streamed=place.is_streamed,
        tools=tools,
        must_call=must_call,
        schema=(config.get("responseJsonSchema") or config.get("responseSchema") or {}) if is_json else None,
        thinks=any(thinking(body).values()),
        tier=_TIERS.get(str(body.get("serviceTier")).lower(), ""),
    )


def _camel(value: Any) -> dict[str, Any]:
    """An object with its names in camel case: Google takes snake case too, and its own client mixes both in one body."""
    return {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): one for name, one in (value or {}).items()}


def thinking(body: Mapping[str, Any]) -> dict[str, Any]:
    """How it is to think."""
    return _camel(_camel(body.get("generationConfig")).get("thinkingConfig"))


def _functions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_camel(one) for tool in dicts(body.get("tools")) for one in dicts(_camel(tool).get("functionDeclarations"))]


def _schema(one: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = one.get("parametersJsonSchema") or one.get("parameters") or _EMPTY
    return schema


def _tools(body: Mapping[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    choice = _camel(_camel(body.get("toolConfig")).get("functionCallingConfig"))
    if choice.get("mode") == "NONE":
        return (), False
    names = choice.get("allowedFunctionNames")
    tools = tuple(Tool(one["name"], _schema(one)) for one in _functions(body) if not names or one["name"] in names)
    return tools, choice.get("mode") == "ANY"


def _countable(body: Mapping[str, Any]) -> dict[str, Any]:
    messages = [{"role": one.get("role", "user"), "content": list(_parts(one))} for one in body["contents"]]
    if body.get("systemInstruction"):
        messages.insert(0, {"role": "system", "content": list(_parts(body["systemInstruction"]))})
    tools = [(one["name"], one.get("description", ""), _lowered(_schema(one))) for one in _functions(body)]
    return {"messages": messages, "tools": countable_tools(tools)} if tools else {"messages": messages}


def _lowered(schema: Any) -> Any:
    """A schema with its types in small letters, as the token counter knows them."""
    if isinstance(schema, list):
        return [_lowered(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: value.lower() if name == "type" and isinstance(value, str) else _lowered(value) for name, value in schema.items()}


def _parts(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for part in dicts(content.get("parts")):
        if "text" in part:
            yield text_part(part["text"])
        elif "functionCall" in part:
            yield text_part([part["functionCall"].get("name"), part["functionCall"].get("args")])
        elif "functionResponse" in part:
            yield text_part(part["functionResponse"].get("response"))
        else:
            yield IMAGE


def _embedded(place: Place, body: Mapping[str, Any]) -> list[Any]:
    """What each embedding is asked for with."""
    if place.form == places.PREDICT:
        return list(body.get("instances") or ())
    if place.form == places.BATCH:
        return list(body.get("requests") or ())
    return [body] if body.get("content") else []


def _embedding(place: Place, body: dict[str, Any]) -> Asked:
    asked = _embedded(place, body)
    texts = [str(one["content"]) if place.form == places.PREDICT else _text(one["content"]) for one in asked]
    said = [body.get("parameters"), body.get("embedContentConfig"), asked[0].get("embedContentConfig"), asked[0]]
    size = next((size for one in said if (size := _camel(one).get("outputDimensionality"))), 0)
    return Asked(place, place.model, body, {"input": texts}, 0, texts=[text.encode() for text in texts], dimensions=int(size))


def _text(content: Mapping[str, Any]) -> str:
    return "\n".join(str(part.get("text", "")) for part in dicts(content.get("parts")))
