"""Tools, the choice among them, and an answer in JSON.

A JSON schema is answered by Anthropic's structured output (`output_config.format`) where the model has it. Where it has not, and for JSON
without a schema, which structured output does not know (it wants every object closed), the model is made to call one tool,
`answer_in_json`, whose input becomes the answer's content: so beside tools of the caller's, or where the model cannot be made to call, that
is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rateguard.engine.providers.anthropic.models import Model
from rateguard.engine.providers.anthropic.parts import Block, cache_control_of
from rateguard.engine.providers.anthropic.refusals import malformed, unsupported

JSON_TOOL = "answer_in_json"
"""The tool whose input is the answer."""

WEB_SEARCH = "web_search_20250305"
_OF_ANTHROPIC = re.compile(r"_20\d{6}$")
"""Anthropic's own tools have the day of their version in their type: such an entry of tools goes out as it is."""
_ANYTHING = {"type": "object"}


def write_tools(body: Mapping[str, Any], model: Model, called: Sequence[str]) -> dict[str, Any]:
    """`tools`, `tool_choice` and the format of an answer. Raises InvalidRequest.

    called: tools of which the talk has calls. Anthropic wants them declared (not verified for newer models), so where the request brings no
    tools they are declared by their names, and closed to further calls.
    """
    if body.get("functions") or body.get("function_call"):
        raise unsupported("has no functions in the old form: send tools", "/functions" if body.get("functions") else "/function_call")
    tools = _tools(body, model)
    answer_format = _format(body, model)
    written: dict[str, Any] = {}
    if answer_format is not None and "schema" in answer_format and model.structured:
        written["output_config"] = {"format": {"type": "json_schema", "schema": answer_format["schema"]}}
    elif answer_format is not None:
        return _forced_json(answer_format, tools, called)
    choice = _choice(body, bool(tools))
    if not tools and called:
        tools, choice = [{"name": name, "input_schema": _ANYTHING} for name in called], {"type": "none"}
    if tools:
        written["tools"] = tools
    if choice is not None:
        written["tool_choice"] = choice
    return written


def _tools(body: Mapping[str, Any], model: Model) -> list[Block]:
    told = body.get("tools") or []
    if not isinstance(told, list):
        raise malformed("tools is a list", "/tools")
    tools = [_tool(tool, f"/tools/{number}", model) for number, tool in enumerate(told)]
    options = body.get("web_search_options")
    return tools if options is None else [*tools, _web_search(options)]


def _tool(tool: Any, pointer: str, model: Model) -> Block:
    if isinstance(tool, Mapping) and _OF_ANTHROPIC.search(str(tool.get("type"))):
        return dict(tool)
    function = tool.get("function") if isinstance(tool, Mapping) and tool.get("type") == "function" else None
    if not isinstance(function, Mapping):
        raise unsupported("has tools of type function, and its own by their dated type", f"{pointer}/type")
    name, schema = function.get("name"), function.get("parameters") or {}
    if not isinstance(name, str) or not name or not isinstance(schema, Mapping):
        raise malformed("a function has a name, and parameters that are a JSON schema", f"{pointer}/function")
    if name == JSON_TOOL:
        raise unsupported("keeps this name for answers in JSON", f"{pointer}/function/name")
    written: Block = {"name": name, "input_schema": {"type": "object", **schema}}
    if function.get("description") is not None:
        written["description"] = function["description"]
    if function.get("strict"):
        if not model.structured:
            raise unsupported("has no strict tools with this model", f"{pointer}/function/strict")
        written["strict"] = True
    return {**written, **(cache_control_of(tool, pointer) or cache_control_of(function, f"{pointer}/function"))}


def _web_search(options: Any) -> Block:
    """Anthropic's own search, told where the user is. How much of a page it reads cannot be told."""
    if not isinstance(options, Mapping):
        raise malformed("web_search_options is an object", "/web_search_options")
    if options.get("search_context_size") not in (None, "medium"):
        raise unsupported("has no size of what a search brings", "/web_search_options/search_context_size")
    tool: Block = {"type": WEB_SEARCH, "name": "web_search"}
    place = options.get("user_location")
    if place is not None:
        approximate = place.get("approximate") if isinstance(place, Mapping) else None
        if not isinstance(approximate, Mapping):
            raise malformed("user_location has an object approximate", "/web_search_options/user_location")
        tool["user_location"] = {**approximate, "type": "approximate"}
    return tool


def _choice(body: Mapping[str, Any], has_tools: bool) -> Block | None:
    told, parallel = body.get("tool_choice"), body.get("parallel_tool_calls")
    choice = _CHOICES.get(told) if isinstance(told, str) else None
    if isinstance(told, Mapping) and told.get("type") == "function":
        function = told.get("function")
        choice = {"type": "tool", "name": function.get("name")} if isinstance(function, Mapping) else None
    if told is not None and choice is None:
        raise unsupported("knows auto, none, required or one function as a choice", "/tool_choice")
    if not has_tools:
        if choice is not None and choice["type"] in {"any", "tool"}:
            raise malformed("tool_choice asks for a call, but there are no tools", "/tool_choice")
        return None
    if parallel is False and (choice is None or choice["type"] != "none"):
        return {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return dict(choice) if choice is not None else None


_CHOICES: Mapping[str, Block] = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}


def _format(body: Mapping[str, Any], model: Model) -> Mapping[str, Any] | None:
    """`{"schema": …, "strict": …}` where an answer in JSON is asked for; without a schema: any object."""
    told = body.get("response_format")
    kind = told.get("type") if isinstance(told, Mapping) else told
    if kind is None or kind == "text":
        return None
    if kind == "json_object":
        return {}
    if kind != "json_schema" or not isinstance(told, Mapping):
        raise unsupported("answers as text, json_object or json_schema", "/response_format/type")
    described = told.get("json_schema")
    schema = described.get("schema") if isinstance(described, Mapping) else None
    if not isinstance(described, Mapping) or not isinstance(schema, Mapping):
        raise malformed("json_schema has a schema", "/response_format/json_schema/schema")
    if isinstance(described.get("description"), str) and "description" not in schema:
        schema = {**schema, "description": described["description"]}
    if described.get("strict") and not model.structured:
        raise unsupported("cannot hold this model to a schema: leave strict out", "/response_format/json_schema/strict")
    return {"schema": schema}


def _forced_json(answer_format: Mapping[str, Any], tools: list[Block], called: Sequence[str]) -> dict[str, Any]:
    if tools or called:
        raise unsupported("answers in JSON by a tool of its own with this model: send no other tools", "/response_format")
    schema = {"type": "object", **answer_format.get("schema", {})}
    if schema["type"] != "object":
        raise unsupported("answers in JSON with an object", "/response_format/json_schema/schema/type")
    tool = {"name": JSON_TOOL, "description": "Give the whole answer here, as JSON.", "input_schema": schema}
    return {"tools": [tool], "tool_choice": {"type": "tool", "name": JSON_TOOL}}
