"""A talk in OpenAI's shape → Anthropic's system prompt and turns.

Turns alternate and begin with the user's: neighbours of one role become one turn. System and developer messages, wherever they stand, are
put together in front, as Anthropic's own layer for OpenAI's clients does (newer models also take them within the talk; not used). Results
of tools open the user's turn that follows their calls, in whatever order they came, and each call has one. An empty message says nothing
and is left out; a message's `reasoning_content` is for people: what the model takes back is in its `provider_fields`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rateguard.engine.providers.anthropic.layout import arranged
from rateguard.engine.providers.anthropic.parts import Block, blocks_of, cache_control_of, texts_of, with_cache_control
from rateguard.engine.providers.anthropic.refusals import malformed, unsupported
from rateguard.engine.providers.anthropic.tool_calls import call_id_of, calls_of

_RESULTS = frozenset({"text", "image", "document"})


class Talk:
    """What the messages say. system: blocks of text. turns: of Messages. called: the names of the tools that it has calls of."""

    def __init__(self, messages: Sequence[Any]) -> None:
        """Raises InvalidRequest."""
        self.system: list[Block] = []
        self.turns: list[dict[str, Any]] = []
        self.called: dict[str, None] = {}
        self._open: dict[str, tuple[str, str]] = {}
        self._ids: set[str] = set()
        self._results = 0
        for number, message in enumerate(messages):
            self._take(message, f"/messages/{number}")
        self._close()
        if not self.turns:
            raise malformed("messages has nothing for the model to answer: a message of the user's is needed", "/messages")
        if self.turns[0]["role"] != "user":
            raise unsupported("wants the talk to begin with a message of the user's", "/messages")

    def _take(self, message: Any, pointer: str) -> None:
        if not isinstance(message, Mapping):
            raise malformed("a message is an object with a role", pointer)
        role = message.get("role")
        if role in ("system", "developer"):
            texts = texts_of(message.get("content"), f"{pointer}/content", "a system message")
            self.system += with_cache_control(texts, message, pointer)
        elif role == "user":
            self._say("user", with_cache_control(blocks_of(message.get("content"), f"{pointer}/content"), message, pointer))
        elif role == "assistant":
            self._assistant(message, pointer)
        elif role == "tool":
            self._result(message, pointer)
        else:
            raise unsupported("knows no such role; it has system, developer, user, assistant and tool", f"{pointer}/role")
        if message.get("name") and role != "tool":
            raise unsupported("has no names of speakers", f"{pointer}/name")

    def _assistant(self, message: Mapping[str, Any], pointer: str) -> None:
        self._close()
        if message.get("audio") or message.get("function_call"):
            field = "audio" if message.get("audio") else "function_call"
            raise unsupported(f"has no {field} in a message", f"{pointer}/{field}")
        texts = texts_of(message.get("content"), f"{pointer}/content", "a message of the assistant's")
        if isinstance(message.get("refusal"), str):
            texts += blocks_of(message["refusal"], pointer)
        calls = calls_of(message.get("tool_calls"), f"{pointer}/tool_calls")
        for number, call in enumerate(calls):
            self._call(call, f"{pointer}/tool_calls/{number}")
        self._say("assistant", with_cache_control(arranged(message, texts, calls, pointer), message, pointer))

    def _call(self, call: Block, pointer: str) -> None:
        """Note who waits for a result. An id of an earlier turn is another one here: Anthropic wants them all different (not verified)."""
        told = call["id"]
        if told in self._open:
            raise malformed("two calls have the same id", f"{pointer}/id")
        count = 1
        while call["id"] in self._ids:
            count += 1
            call["id"] = f"{told}_{count}"
        self._ids.add(call["id"])
        self._open[told] = (call["id"], pointer)
        self.called[call["name"]] = None

    def _result(self, message: Mapping[str, Any], pointer: str) -> None:
        """The result of a call goes in front of what else the user's turn says."""
        called = call_id_of(message.get("tool_call_id"), f"{pointer}/tool_call_id")
        if called not in self._open:
            raise malformed("no call right before has this id, or it has a result already", f"{pointer}/tool_call_id")
        written, _ = self._open.pop(called)
        block: Block = {"type": "tool_result", "tool_use_id": written}
        content = blocks_of(message.get("content"), f"{pointer}/content")
        if any(one["type"] not in _RESULTS for one in content):
            raise unsupported("takes texts, images and documents as a result", f"{pointer}/content")
        if content:
            block["content"] = content
        if message.get("is_error"):
            block["is_error"] = True
        block.update(cache_control_of(message, pointer))
        if not self.turns or self.turns[-1]["role"] != "user":
            self._say("user", [block])
            self._results = 1
        else:
            self.turns[-1]["content"].insert(self._results, block)
            self._results += 1

    def _say(self, role: str, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": role, "content": blocks})
            self._results = 0

    def _close(self) -> None:
        """Before the assistant goes on, and at the end, every call has its result."""
        for _, pointer in self._open.values():
            raise malformed("this call has no result: put a message with role tool behind it", pointer)
