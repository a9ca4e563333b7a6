"""The functions that a chat may call, as the text in which its model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson


def rendered(tools: Sequence[Mapping[str, Any]]) -> str:
    """OpenAI: the TypeScript-like namespace that the community found out."""
    functions = [_render_function(function_of(tool)) for tool in tools]
    return "\n".join(["namespace functions {", "", *functions, "} // namespace functions"])


def as_json(tools: Sequence[Mapping[str, Any]]) -> str:
    """Elsewhere nobody says how models read them: as the JSON that they are, which is rather more."""
    return orjson.dumps(list(tools)).decode()


def function_of(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The function: under a name of its own in chats, flat in Responses."""
    inner = tool.get("function")
    return inner if isinstance(inner, Mapping) else tool


def _render_function(function: Mapping[str, Any]) -> str:
    lines = [f"// {function['description']}"] if function.get("description") else []
    properties = (function.get("parameters") or {}).get("properties")
    if not properties:
        return "\n".join([*lines, f"type {function.get('name', '')} = () => any;", ""])
    lines.append(f"type {function.get('name', '')} = (_: {{")
    lines.append(_render_properties(function["parameters"]))
    return "\n".join([*lines, "}) => any;", ""])


def _render_properties(schema: Mapping[str, Any]) -> str:
    required = schema.get("required") or ()
    lines = []
    for name, value in (schema.get("properties") or {}).items():
        if value.get("description"):
            lines.append(f"// {value['description']}")
        lines.append(f"{name}{'' if name in required else '?'}: {_render_type(value)},")
    return "\n".join(lines)


def _render_type(schema: Mapping[str, Any]) -> str:
    if schema.get("enum"):
        return " | ".join(f'"{value}"' for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"{_render_type(schema.get('items') or {})}[]"
    if kind == "object" and schema.get("properties"):
        return f"{{\n{_render_properties(schema)}\n}}"
    return "number" if kind == "integer" else str(kind)
