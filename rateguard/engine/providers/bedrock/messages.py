"""A talk in OpenAI's shape as Converse's messages: turns of user and assistant, the results of tools first in the user's.

Reasoning goes back to the model as it came, from `provider_fields`; `reasoning_content` is for people: without its signature no model
takes it back, so it is not sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.bedrock.content import Block, blocks_of, cache_point
from rateguard.engine.providers.bedrock.layout import arranged
from rateguard.engine.providers.bedrock.models import Model
from rateguard.engine.providers.bedrock.refusal import malformed, unsupported

_TOOL_USE_ID = re.compile(r"^[a-zA-Z0-9_.:-]{1,64}\Z")
_ROLES = ("system", "developer", "user", "assistant", "tool")
_NOT_SENT = ("name", "function_call", "audio")


def translate(messages: Any, model: Model) -> tuple[list[Block], list[Block]]:
    """Converse's `messages` and `system`. Raises InvalidRequest: `unsupported_by_provider`, `invalid_field`."""
    if not isinstance(messages, list) or not messages:
        raise malformed("a chat needs messages", "/messages")
    turns: list[Block] = []
    system: list[Block] = []
    calls = _OpenCalls()
    for number, message in enumerate(messages):
        pointer = f"/messages/{number}"
        role = _role_of(message, pointer)
        if role in {"system", "developer"}:
            system += _system(message, pointer, model)
        else:
            speaker, blocks = _turn(message, role, pointer, model)
            calls.follow(role, blocks, pointer)
            _append(turns, speaker, blocks)
    calls.close()
    if not turns or turns[0]["role"] != "user":
        raise unsupported("at bedrock a talk begins with the user", "/messages")
    return turns, system


def _role_of(message: Any, pointer: str) -> str:
    role = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(role, str) or role not in _ROLES:
        raise malformed(f"a message is an object with a role: {', '.join(_ROLES)}", f"{pointer}/role")
    for field in _NOT_SENT:
        if message.get(field) is not None:
            raise unsupported(f"bedrock has no word for {field!r} of a message", f"{pointer}/{field}")
    return role


class _OpenCalls:
    """Calls of tools that wait for their results: each has one, before the assistant goes on."""

    def __init__(self) -> None:
        self._pointers: dict[str, str] = {}

    def follow(self, role: str, blocks: list[Block], pointer: str) -> None:
        """One message more. Raises InvalidRequest."""
        if role == "tool":
            if self._pointers.pop(blocks[0]["toolResult"]["toolUseId"], None) is None:
                raise malformed("no call right before has this id, or it has a result already", f"{pointer}/tool_call_id")
        elif role == "assistant" and blocks:
            self.close()
            for block in blocks:
                if "toolUse" in block:
                    called = block["toolUse"]["toolUseId"]
                    if called in self._pointers:
                        raise malformed("two calls have the same id", f"{pointer}/tool_calls")
                    self._pointers[called] = f"{pointer}/tool_calls"

    def close(self) -> None:
        """No results can come any more. Raises InvalidRequest."""
        for pointer in self._pointers.values():
            raise malformed("a call has no result: put a message with role tool behind it", pointer)


def _system(message: Mapping[str, Any], pointer: str, model: Model) -> list[Block]:
    """System messages, wherever they stand, are put together in front."""
    blocks = blocks_of(message.get("content"), pointer, model) + cache_point(message, pointer, model)
    if any("text" not in block and "cachePoint" not in block for block in blocks):
        raise unsupported("bedrock takes text alone in a system message", f"{pointer}/content")
    return blocks


def has_tool_blocks(turns: list[Block]) -> bool:
    """Whether tools were called: then Bedrock wants to know them."""
    return any("toolUse" in block or "toolResult" in block for turn in turns for block in turn["content"])


def _turn(message: Mapping[str, Any], role: str, pointer: str, model: Model) -> tuple[str, list[Block]]:
    marks = cache_point(message, pointer, model)
    if role == "user":
        return "user", blocks_of(message.get("content"), pointer, model) + marks
    if role == "tool":
        return "user", [_tool_result(message, pointer, model), *marks]
    content = blocks_of(message.get("content"), pointer, model)
    if not content and message.get("refusal"):
        content = [{"text": str(message["refusal"])}]
    calls = [_tool_use(call, f"{pointer}/tool_calls/{number}") for number, call in enumerate(message.get("tool_calls") or ())]
    return "assistant", arranged(message, content, calls, pointer) + marks


def _append(turns: list[Block], role: str, blocks: list[Block]) -> None:
    """Add to the last turn where it is the same speaker's, for Bedrock wants them to take turns. An empty message says nothing."""
    if not blocks:
        return
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": blocks})
        return
    content = turns[-1]["content"]
    if "toolResult" in blocks[0]:
        behind = next((at for at, block in enumerate(content) if "toolResult" not in block and "cachePoint" not in block), len(content))
        content[behind:behind] = blocks
    else:
        content += blocks


def _tool_use(call: Any, pointer: str) -> Block:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise unsupported("bedrock knows calls of functions alone", pointer)
    return {
        "toolUse": {
            "toolUseId": _tool_use_id(call.get("id"), f"{pointer}/id"),
            "name": str(function.get("name") or ""),
            "input": _arguments(function.get("arguments"), f"{pointer}/function/arguments"),
        }
    }


def _arguments(arguments: Any, pointer: str) -> dict[str, Any]:
    try:
        parsed = orjson.loads(arguments or "{}")
    except (orjson.JSONDecodeError, TypeError):
        parsed = None
    if not isinstance(parsed, dict):
        raise unsupported("bedrock takes a tool's arguments only as a JSON object", pointer)
    return parsed


def _tool_use_id(said: Any, pointer: str) -> str:
    """An id as Bedrock takes it: one of another provider that it would refuse becomes its hash, in call and result alike."""
    if not isinstance(said, str) or not said:
        raise malformed("a call of a tool, and its result, need the call's id", pointer)
    return said if _TOOL_USE_ID.match(said) else "call_" + hashlib.sha256(said.encode()).hexdigest()[:32]


def _tool_result(message: Mapping[str, Any], pointer: str, model: Model) -> Block:
    """`is_error: true` beside the content tells the model that the tool failed."""
    content = blocks_of(message.get("content"), pointer, model)
    if any("cachePoint" in block for block in content):
        raise unsupported("at bedrock cache_control stands beside the content of a tool's result, not within", f"{pointer}/content")
    result: Block = {"toolUseId": _tool_use_id(message.get("tool_call_id"), f"{pointer}/tool_call_id"), "content": content}
    if message.get("is_error") is True:
        result["status"] = "error"
    return {"toolResult": result}
