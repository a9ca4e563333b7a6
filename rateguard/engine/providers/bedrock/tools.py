"""Tools, the choice among them, and answers in JSON.

A schema goes into outputConfig.textFormat where the model has it. Elsewhere, and for `json_object`, the model is made to call a tool of
our own whose input is the answer: `JSON_TOOL`; its input comes out as the answer's content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.bedrock.content import Block, cache_point
from rateguard.engine.providers.bedrock.models import Model
from rateguard.engine.providers.bedrock.refusal import malformed, unsupported

JSON_TOOL = "json_answer"
_ANY_OBJECT = {"type": "object"}
_CHOICES: Mapping[str, Block] = {"auto": {"auto": {}}, "required": {"any": {}}}


def answers_by_tool(body: Mapping[str, Any], model: Model) -> bool:
    """Whether the answer is the input of our own tool."""
    wanted = _format_of(body)
    return wanted == "json_object" or (wanted == "json_schema" and not model.has_schemas)


def forces_a_tool(body: Mapping[str, Any], model: Model) -> bool:
    """Whether the model has no choice but to call a tool; it cannot think then."""
    choice = body.get("tool_choice")
    return choice == "required" or isinstance(choice, Mapping) or answers_by_tool(body, model)


def tool_config(body: Mapping[str, Any], model: Model, *, has_tool_blocks: bool) -> Block | None:
    """Converse's `toolConfig`. Raises InvalidRequest."""
    if answers_by_tool(body, model):
        if body.get("tools") or has_tool_blocks:
            raise unsupported(
                "this model of bedrock answers in JSON by a tool of its own: it cannot have others beside", "/response_format"
            )
        return {"tools": [_json_tool(body)], "toolChoice": {"tool": {"name": JSON_TOOL}}}
    tools, choice = body.get("tools") or (), body.get("tool_choice")
    if choice == "none" and not has_tool_blocks:
        return None
    if not tools:
        if has_tool_blocks:
            raise unsupported("bedrock wants the tools beside calls of them: send `tools` again", "/tools")
        return None
    if choice == "none":
        raise unsupported("bedrock cannot keep a model from tools that it has called before", "/tool_choice")
    if not isinstance(tools, list):
        raise malformed("tools is a list", "/tools")
    written: list[Block] = []
    for number, tool in enumerate(tools):
        written += _tool(tool, f"/tools/{number}", model)
    config: Block = {"tools": written}
    if choice is not None:
        config["toolChoice"] = _choice(choice)
    return config


def output_format(body: Mapping[str, Any], model: Model) -> Block | None:
    """Converse's `outputConfig.textFormat`, where the model has schemas. Raises InvalidRequest."""
    if _format_of(body) != "json_schema" or not model.has_schemas:
        return None
    said = _schema_of(body)
    definition = {name: said[name] for name in ("name", "description") if said.get(name)}
    definition["schema"] = orjson.dumps(said.get("schema") or _ANY_OBJECT).decode()
    return {"type": "json_schema", "structure": {"jsonSchema": definition}}


def _format_of(body: Mapping[str, Any]) -> str:
    said = body.get("response_format")
    if said is None:
        return "text"
    kind = said.get("type") if isinstance(said, Mapping) else None
    if kind not in ("text", "json_object", "json_schema"):  # no set: it may be of a kind that none takes
        raise malformed("a response_format is of type text, json_object or json_schema", "/response_format")
    return str(kind)


def _schema_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    said = body["response_format"].get("json_schema")
    if not isinstance(said, Mapping):
        raise malformed("json_schema is an object with a schema", "/response_format/json_schema")
    return said


def _json_tool(body: Mapping[str, Any]) -> Block:
    said = _schema_of(body) if _format_of(body) == "json_schema" else {}
    description = str(said.get("description") or "The answer. Call this once, with the whole answer.")
    return {"toolSpec": {"name": JSON_TOOL, "description": description, "inputSchema": {"json": said.get("schema") or _ANY_OBJECT}}}


def _tool(tool: Any, pointer: str, model: Model) -> list[Block]:
    function = tool.get("function") if isinstance(tool, Mapping) and tool.get("type") == "function" else None
    if not isinstance(function, Mapping):
        raise unsupported("bedrock knows tools of type function alone", pointer)
    spec: Block = {"name": str(function.get("name") or ""), "inputSchema": {"json": function.get("parameters") or _ANY_OBJECT}}
    if function.get("description"):
        spec["description"] = function["description"]
    if function.get("strict"):
        spec["strict"] = True
    marked, at = (function, f"{pointer}/function") if "cache_control" in function else (tool, pointer)
    return [{"toolSpec": spec}, *cache_point(marked, at, model)]


def _choice(choice: Any) -> Block:
    if isinstance(choice, str) and choice in _CHOICES:
        return _CHOICES[choice]
    function = choice.get("function") if isinstance(choice, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise malformed("tool_choice is none, auto, required or a function by its name", "/tool_choice")
    return {"tool": {"name": str(function["name"])}}
