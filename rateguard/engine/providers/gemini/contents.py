"""The messages of a chat as Gemini's systemInstruction and contents.

What the system and the developer say is gathered in systemInstruction, wherever it stands. Neighbours of one role become one content;
the results of tools, which Gemini wants together and in a content of their own, never merge with what the user says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.gemini.media import Part, part_of
from rateguard.engine.providers.gemini.refusals import invalid, refuse_cache_control, unsupported
from rateguard.engine.providers.gemini.signatures import UNSIGNED, HandedBack

_NOT_SENT = ("name", "audio", "function_call")
_SAYS_RESULT = frozenset({"output", "error"})


class Contents:
    """A chat, message by message. wants_signatures: the model refuses tool calls without one, and sees images in tools' results."""

    def __init__(self, messages: Any, *, wants_signatures: bool) -> None:
        self.system: list[Part] = []
        self.contents: list[dict[str, Any]] = []
        self._wants_signatures = wants_signatures
        self._names: dict[str, str] = {}
        self._last = ("", False)
        if not isinstance(messages, list):
            raise invalid("messages is a list", "/messages")
        for number, message in enumerate(messages):
            self._add(message, f"/messages/{number}")
        if not self.contents:
            raise unsupported("gemini answers a message of the user: add one", "/messages")

    def _add(self, message: Any, pointer: str) -> None:
        if not isinstance(message, Mapping):
            raise invalid("a message is an object", pointer)
        refuse_cache_control(message, pointer)
        role = str(message.get("role"))
        for field in _NOT_SENT:
            if message.get(field) and (field, role) != ("name", "tool"):
                raise unsupported(f"gemini has no {field} in a message", f"{pointer}/{field}")
        if role in {"system", "developer"}:
            self.system += _texts(message.get("content"), pointer)
        elif role == "user":
            self._append("user", _parts(message.get("content"), pointer))
        elif role == "assistant":
            self._append("model", self._said(message, pointer))
        elif role == "tool":
            self._append("user", [self._result(message, pointer)], is_result=True)
        else:
            raise unsupported(f"gemini has no messages of the role {role!r}", f"{pointer}/role")

    def _append(self, role: str, parts: list[Part], *, is_result: bool = False) -> None:
        if not parts:
            return
        if self._last == (role, is_result):
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})
        self._last = (role, is_result)

    def _said(self, message: Mapping[str, Any], pointer: str) -> list[Part]:
        """What the model said: its text, its calls, and what only Gemini understands. What it thought is not told again."""
        back = HandedBack(message, pointer)
        content = message.get("content")
        parts = back.signed_text(content) if isinstance(content, str) else _parts(content, pointer)
        parts += _parts(message.get("refusal"), pointer)
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise invalid("tool_calls is a list", f"{pointer}/tool_calls")
        for number, call in enumerate(calls):
            part = self._call(call, f"{pointer}/tool_calls/{number}")
            back.sign_call(part, part["functionCall"]["id"])
            if number == 0 and self._wants_signatures and not back.has_signed_call:
                part["thoughtSignature"] = UNSIGNED
            parts.append(part)
        return parts + [dict(part) for part in back.parts]

    def _call(self, call: Any, pointer: str) -> Part:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise unsupported("gemini has calls of functions only", pointer)
        name, call_id = str(function.get("name") or ""), str(call.get("id") or "")
        self._names[call_id] = name
        arguments = _object(function.get("arguments") or "{}")
        if arguments is None:
            raise invalid("the arguments of a call are a JSON object, as text", f"{pointer}/function/arguments")
        return {"functionCall": {"id": call_id, "name": name, "args": arguments}}

    def _result(self, message: Mapping[str, Any], pointer: str) -> Part:
        """A tool's result, under its function's name. A JSON object is handed over as it is, anything else as its `output`."""
        call_id = str(message.get("tool_call_id") or "")
        name = self._names.get(call_id) or message.get("name")
        if not name:
            raise invalid(f"no call before has the id {call_id!r}: gemini wants the result of a call behind it", f"{pointer}/tool_call_id")
        parts = _parts(message.get("content"), pointer)
        text = "".join(part["text"] for part in parts if "text" in part)
        result: dict[str, Any] = {"id": call_id, "name": name, "response": _response(text)}
        if media := [part for part in parts if "text" not in part]:
            if not self._wants_signatures:
                raise unsupported("models before gemini 3 read text alone in a tool's result", f"{pointer}/content")
            result["parts"] = media
        return {"functionResponse": result}


def _parts(content: Any, pointer: str) -> list[Part]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"text": content}]
    if not isinstance(content, list):
        raise invalid("a content is a text or a list of parts", f"{pointer}/content")
    translated = (part_of(part, f"{pointer}/content/{number}") for number, part in enumerate(content))
    return [part for part in translated if part is not None]


def _texts(content: Any, pointer: str) -> list[Part]:
    parts = _parts(content, pointer)
    if any("text" not in part for part in parts):
        raise unsupported("gemini's system instruction is text alone", f"{pointer}/content")
    return parts


def _object(text: Any) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return None
    return value if isinstance(value, dict) else None


def _response(text: str) -> dict[str, Any]:
    """An object that uses Gemini's words `output` and `error` for something else is not taken for them."""
    told = _object(text) if text.lstrip().startswith("{") else None
    return {"output": text} if told is None or _SAYS_RESULT & told.keys() else told
