"""A streamed chat completion: bytes → events → one whole answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.base import Answer, Chunk
from rateguard.engine.providers.malformed import malformed_answer
from rateguard.engine.providers.openai.errors import error_in_answer
from rateguard.engine.providers.openai.fitting import fit_choices, fit_usage
from rateguard.engine.providers.openai.quirks import OPENAI, Quirks
from rateguard.engine.providers.openai.usage import parse_usage
from rateguard.engine.providers.reader import EventReader
from rateguard.engine.providers.sse import Event

DONE = b"[DONE]"


class ChatReader(EventReader):
    """Reads a streamed chat completion. Chunks are handed on as they came; that of the usage only where the caller asked for it."""

    def __init__(self, headers: Mapping[str, str], api_key: str, *, wants_usage: bool, quirks: Quirks = OPENAI) -> None:
        super().__init__()
        self._headers = headers
        self._api_key = api_key
        self._wants_usage = wants_usage
        self._quirks = quirks
        self._whole = Completion()

    @property
    def is_complete(self) -> bool:
        """Whether every choice has its finish_reason, or [DONE] came."""
        return self._whole.is_complete

    def answer(self) -> Answer:
        """The completion put together."""
        usage, tier = self._whole.usage, self._quirks.tier(self._whole.service_tier)
        return Answer(self._whole.body(), parse_usage(usage, tier) if usage else None, self._whole.finish_reason, self._whole.text())

    def _take(self, event: Event) -> Iterator[Chunk]:
        if event.data == DONE:
            self._whole.is_done = True
            return
        chunk = self._parse(event.data)
        if chunk is None:
            return
        choices = chunk.get("choices") or ()
        has_changed = fit_choices(choices, "delta", self._quirks) | fit_usage(chunk, self._quirks)
        text = self._whole.add(chunk)
        if self._wants_usage or choices or not chunk.get("usage"):
            yield Chunk(orjson.dumps(chunk) if has_changed else event.data, text, has_content(choices))

    def _parse(self, data: bytes) -> dict[str, Any] | None:
        """A chunk; None for broken remains behind the finish, which change nothing."""
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            if self._whole.is_complete:
                return None
            raise malformed_answer("a piece of the stream is not JSON") from None
        if not isinstance(chunk, dict):
            raise malformed_answer("a piece of the stream is not an object")
        if error := chunk.get("error") or (chunk.get("x_groq") or _NO_OBJECT).get("error"):
            raise error_in_answer(error, self._headers, self._api_key, self._quirks)
        return chunk


class Completion:
    """The chat completion that a stream's chunks add up to."""

    def __init__(self) -> None:
        self.usage: Mapping[str, Any] | None = None
        self.is_done = False
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}

    @property
    def is_complete(self) -> bool:
        """Whether the provider said that it had finished: a stream that just ends has been cut."""
        return self.is_done or (bool(self._choices) and all(choice.finish_reason for choice in self._choices.values()))

    @property
    def service_tier(self) -> object:
        """The tier that the provider says it used."""
        return self._head.get("service_tier") or (self.usage or _NO_OBJECT).get("service_tier")

    @property
    def finish_reason(self) -> str:
        """Why the first choice ended, in OpenAI's word."""
        first = self._choices.get(0)
        return (first.finish_reason if first else None) or "stop"

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Take one chunk in; returns the first choice's new visible text."""
        if usage := chunk.get("usage"):
            self.usage = usage
        for name, value in chunk.items():
            if name not in _PER_CHUNK and value is not None:
                self._head[name] = value
        text = ""
        for choice in chunk.get("choices") or ():
            index = choice.get("index") or 0
            added = self._choices.setdefault(index, _Choice()).add(choice)
            text = added if index == 0 else text
        return text

    def text(self) -> str:
        """All visible text of all choices, for counting it ourselves."""
        return "".join(choice.text() for choice in self._choices.values())

    def body(self) -> bytes:
        """The whole answer as a `chat.completion`, JSON bytes."""
        choices = [self._choices[index].whole(index) for index in sorted(self._choices)]
        whole = {**self._head, "object": "chat.completion", "choices": choices}
        if self.usage is not None:
            whole["usage"] = self.usage
        return orjson.dumps(whole)


def has_content(choices: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a chunk's choices carry a piece of the answer, or its end: the first one of most providers only says who speaks."""
    for choice in choices:
        if choice.get("finish_reason"):
            return True
        for name, value in (choice.get("delta") or _NO_OBJECT).items():
            if value and name != "role":
                return True
    return False


_NO_OBJECT: Mapping[str, Any] = {}
_PER_CHUNK = frozenset({"object", "choices", "usage", "obfuscation", "x_groq"})
_PER_DELTA = frozenset({"index", "delta", "finish_reason", "logprobs"})


class _Choice:
    """One choice of an answer, growing."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._role = "assistant"
        self._texts: dict[str, list[str]] = {}
        self._values: dict[str, Any] = {}
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._beside: dict[str, Any] = {}

    def add(self, choice: Mapping[str, Any]) -> str:
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        delta = choice.get("delta") or {}
        for name, value in delta.items():
            self._add_field(name, value)
        for name, entries in (choice.get("logprobs") or {}).items():
            self._logprobs.setdefault(name, []).extend(entries or ())
        for name in choice.keys() - _PER_DELTA:  # what a provider says beside it, such as what Azure's filter found
            self._beside[name] = choice[name]
        return delta.get("content") or ""

    def _add_field(self, name: str, value: Any) -> None:
        if name == "role":
            self._role = value or self._role
        elif name == "tool_calls":
            for call in value or ():
                self._add_tool_call(call)
        elif isinstance(value, str):
            self._texts.setdefault(name, []).append(value)
        elif value is not None:
            self._values[name] = value

    def _add_tool_call(self, piece: Mapping[str, Any]) -> None:
        """The id and the name come in a call's first piece; its arguments come in pieces."""
        call = self._tool_calls.setdefault(
            piece.get("index") or 0, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = piece.get("id") or call["id"]
        call["type"] = piece.get("type") or call["type"]
        function = piece.get("function") or {}
        call["function"]["name"] = function.get("name") or call["function"]["name"]
        call["function"]["arguments"] += function.get("arguments") or ""

    def text(self) -> str:
        return "".join("".join(parts) for parts in self._texts.values())

    def whole(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": self._role, "content": None, "refusal": None, **self._values}
        message.update({name: "".join(parts) for name, parts in self._texts.items()})
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[number] for number in sorted(self._tool_calls)]
            message["content"] = message["content"] or None
        logprobs = self._logprobs or None
        finish = self.finish_reason or "stop"
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish, **self._beside}
