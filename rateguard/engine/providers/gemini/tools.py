"""Functions that the model may call, and which of them it must.

The schema of the arguments is handed on as it is (`parametersJsonSchema`), not rewritten into Gemini's own older form of schemas.
`strict` becomes the mode VALIDATED, in which a call holds to its schema. Sources: google-genai 3.4 (FunctionDeclaration,
FunctionCallingConfigMode).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.gemini.refusals import invalid, refuse_cache_control, unsupported

_MODES = {"none": "NONE", "required": "ANY"}


def tools_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gemini's `tools`: one entry with all functions, one for the search of the web."""
    asked, search = body.get("tools") or [], body.get("web_search_options")
    if not isinstance(asked, list):
        raise invalid("tools is a list", "/tools")
    functions = [_declaration(tool, f"/tools/{number}") for number, tool in enumerate(asked)]
    tools: list[dict[str, Any]] = [{"functionDeclarations": functions}] if functions else []
    if search is not None:
        if not isinstance(search, Mapping):
            raise invalid("web_search_options is an object", "/web_search_options")
        for word in search:
            raise unsupported(f"gemini's search has no {word}", f"/web_search_options/{word}")
        tools.append({"googleSearch": {}})
    return tools


def tool_config(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Gemini's `toolConfig`; None where its default, the model's free choice, is meant."""
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, Mapping):
        return _chosen(choice)
    if choice == "auto":
        is_strict = any(tool["function"].get("strict") for tool in body.get("tools") or ())
        return _config("VALIDATED") if is_strict else None
    if not isinstance(choice, str) or choice not in _MODES:
        raise invalid("tool_choice is auto, none, required or a function by its name", "/tool_choice")
    return _config(_MODES[choice])


def _declaration(tool: Any, pointer: str) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) and tool.get("type", "function") == "function" else None
    if not isinstance(function, Mapping):
        raise unsupported("gemini's tools here are functions", f"{pointer}/type")
    refuse_cache_control(tool, pointer)
    declaration: dict[str, Any] = {"name": function.get("name")}
    if function.get("description"):
        declaration["description"] = function["description"]
    if function.get("parameters"):
        declaration["parametersJsonSchema"] = function["parameters"]
    return declaration


def _chosen(choice: Mapping[str, Any]) -> dict[str, Any]:
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools")
        if not isinstance(allowed, Mapping) or not isinstance(allowed.get("tools"), list):
            raise invalid("allowed_tools has a mode and a list of tools", "/tool_choice/allowed_tools")
        names = [_name(tool) for tool in allowed["tools"]]
        return _config("ANY" if allowed.get("mode") == "required" else "VALIDATED", names)
    return _config("ANY", [_name(choice)])


def _name(choice: Any) -> str:
    function = choice.get("function") if isinstance(choice, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise unsupported("gemini can be made to call functions only: name one", "/tool_choice")
    return str(function["name"])


def _config(mode: str, names: list[str] | None = None) -> dict[str, Any]:
    config: dict[str, Any] = {"mode": mode}
    if names:
        config["allowedFunctionNames"] = names
    return {"functionCallingConfig": config}
