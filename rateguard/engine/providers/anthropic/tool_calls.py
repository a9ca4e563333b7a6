"""Calls of tools in a message of OpenAI's → `tool_use` blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.anthropic.parts import Block, cache_control_of
from rateguard.engine.providers.anthropic.refusals import malformed, unsupported

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
"""What Anthropic's ids do not have; other providers' may, where a talk began elsewhere."""


def calls_of(calls: Any, pointer: str) -> list[Block]:
    """The blocks of a message's `tool_calls`. Raises InvalidRequest."""
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise malformed("tool_calls is a list", pointer)
    return [_call(call, f"{pointer}/{number}") for number, call in enumerate(calls)]


def call_id_of(told: Any, pointer: str) -> str:
    """The id of a call, in the letters that Anthropic takes: the same for a call and its result. Raises InvalidRequest."""
    if not isinstance(told, str) or not told:
        raise malformed("a call and its result have an id", pointer)
    return _FOREIGN.sub(lambda found: f"_{ord(found.group()):x}_", told)


def _call(call: Any, pointer: str) -> Block:
    if not isinstance(call, Mapping) or call.get("type", "function") != "function":
        raise unsupported("has calls of functions alone", f"{pointer}/type")
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise malformed("a call has a function with a name", f"{pointer}/function")
    block = {
        "type": "tool_use",
        "id": call_id_of(call.get("id"), f"{pointer}/id"),
        "name": function["name"],
        "input": _input(function.get("arguments"), f"{pointer}/function/arguments"),
    }
    return {**block, **cache_control_of(call, pointer)}


def _input(arguments: Any, pointer: str) -> dict[str, Any]:
    """OpenAI has arguments as a text, Anthropic as an object; no text is an empty object."""
    try:
        parsed = orjson.loads(arguments) if isinstance(arguments, str) and arguments.strip() else {}
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict) or not isinstance(arguments, str | None):
        raise malformed("arguments is a JSON object as a text", pointer)
    return parsed
