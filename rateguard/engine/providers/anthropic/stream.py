"""A streamed message: Anthropic's events → chunks of a chat completion → one whole answer.

The events: message_start, content_block_start / _delta / _stop for each block, message_delta with the stop reason, message_stop. A ping may
come anywhere. Usage is cumulative: what message_delta tells replaces what came before. Events that are not known yet are passed over; a
stream without message_stop was cut.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.anthropic.answer import completed
from rateguard.engine.providers.anthropic.blocks import annotation_of, fields_of, finish_of, refusal_of
from rateguard.engine.providers.anthropic.errors import error_in_answer
from rateguard.engine.providers.anthropic.growing import Growing
from rateguard.engine.providers.anthropic.tools import JSON_TOOL
from rateguard.engine.providers.anthropic.usage import parse_usage, tier_in_openais_words
from rateguard.engine.providers.base import Answer, Chunk, Request
from rateguard.engine.providers.counted import in_openais_words
from rateguard.engine.providers.malformed import malformed_answer
from rateguard.engine.providers.provider import Reader
from rateguard.engine.providers.reader import EventReader, NoStream
from rateguard.engine.providers.sse import Event


def reader(request: Request, headers: Mapping[str, str], api_key: str) -> Reader:
    """Reads the stream of an answer with status 2xx; a whole body where a stream was asked for is an error."""
    if headers.get("content-type", "").startswith("application/json"):
        return NoStream(lambda answer: error_in_answer(answer, headers, api_key))
    return MessageReader(headers, api_key, wants_usage=request.wants_usage)


class MessageReader(EventReader):
    """Reads a streamed message. The chunk with the usage is made only where the caller asked for it."""

    def __init__(self, headers: Mapping[str, str], api_key: str, *, wants_usage: bool) -> None:
        super().__init__()
        self.is_complete = False
        self._headers = headers
        self._api_key = api_key
        self._wants_usage = wants_usage
        self._created = int(time.time())
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, Growing] = {}
        self._calls = 0
        self._head = self._tail = b""
        self._set_head({})

    def answer(self) -> Answer:
        """The completion put together, whole or as far as it came."""
        return completed({**self._message, "usage": self._usage}, self._content(), created=self._created)

    def _content(self) -> list[dict[str, Any]]:
        return [self._blocks[index].whole() for index in sorted(self._blocks)]

    def _take(self, event: Event) -> Iterable[Chunk]:
        if self.is_complete:  # broken remains behind the end change nothing
            return ()
        try:
            data = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            raise malformed_answer("a piece of the stream is not JSON") from None
        if not isinstance(data, dict):
            raise malformed_answer("a piece of the stream is not an object")
        kind = data.get("type")
        if kind == "error" or data.get("error"):
            raise error_in_answer(data, self._headers, self._api_key)
        try:
            return self._say(kind, data)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise malformed_answer("a piece of the stream lacks what it should have") from None

    def _say(self, kind: Any, data: Mapping[str, Any]) -> Iterable[Chunk]:
        match kind:
            case "content_block_delta":
                return self._block_delta(data)
            case "content_block_start":
                return self._block_start(data)
            case "content_block_stop":
                return self._block_stop(data)
            case "message_start":
                return self._message_start(data)
            case "message_delta":
                self._message_delta(data)
            case "message_stop":
                return self._message_stop()
        return ()

    # ---- one method an event

    def _message_start(self, data: Mapping[str, Any]) -> Iterable[Chunk]:
        message = dict(data["message"])
        self._usage = dict(message.pop("usage", None) or {})
        message.pop("content", None)
        self._message = message
        self._set_head(message)
        return (self._chunk({"role": "assistant", "content": ""}, has_content=False),)

    def _block_start(self, data: Mapping[str, Any]) -> Iterable[Chunk]:
        block, index = Growing(data["content_block"]), data["index"]
        if not isinstance(index, int):
            raise TypeError("a block has a number")
        self._blocks[index] = block
        if block.type == "tool_use" and block.name != JSON_TOOL:
            block.call, self._calls = self._calls, self._calls + 1
            function = {"name": block.name, "arguments": ""}
            return (self._chunk({"tool_calls": [{"index": block.call, "id": block.id, "type": "function", "function": function}]}),)
        return self._text(block.start_text) if block.start_text else ()

    def _block_delta(self, data: Mapping[str, Any]) -> Iterable[Chunk]:
        block, delta = self._blocks[data["index"]], data["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            return self._text(block.add_text(delta["text"]))
        if kind == "thinking_delta":
            thought = block.add_text(delta["thinking"])
            return (self._chunk({"reasoning_content": thought}),) if thought else ()
        if kind == "input_json_delta":
            return self._input(block, delta["partial_json"])
        if kind == "signature_delta":
            block.add_signature(delta["signature"])
        elif kind == "citations_delta":
            block.citations.append(delta["citation"])
            annotations = annotation_of(delta["citation"])
            return (self._chunk({"annotations": annotations}),) if annotations else ()
        return ()

    def _input(self, block: Growing, piece: str) -> Iterable[Chunk]:
        if not piece:
            return ()
        block.add_input(piece)
        if block.call is not None:
            return (self._chunk({"tool_calls": [{"index": block.call, "function": {"arguments": piece}}]}),)
        return self._text(piece) if block.name == JSON_TOOL and block.type == "tool_use" else ()

    def _block_stop(self, data: Mapping[str, Any]) -> Iterable[Chunk]:
        """A call without arguments has none in the stream; OpenAI's has an empty object."""
        block = self._blocks[data["index"]]
        if block.inputs or block.type != "tool_use":
            return ()
        return self._input(block, orjson.dumps(block.start_input).decode())

    def _message_delta(self, data: Mapping[str, Any]) -> None:
        self._message.update(data.get("delta") or {})
        self._usage.update({name: value for name, value in (data.get("usage") or {}).items() if value is not None})

    def _message_stop(self) -> Iterator[Chunk]:
        self.is_complete = True
        content = self._content()
        fields, stop_reason = fields_of(content), self._message.get("stop_reason")
        refusal = refusal_of(self._message.get("stop_details"))
        choice = {
            "index": 0,
            "delta": {**({"refusal": refusal} if refusal else {}), **({"provider_fields": fields} if fields else {})},
            "logprobs": None,
            "finish_reason": finish_of(stop_reason, content),
            "native_finish_reason": stop_reason,
        }
        yield Chunk(orjson.dumps({**self._first, "choices": [choice]}))
        if self._wants_usage and self._usage:
            usage = in_openais_words(parse_usage(self._usage))
            tier = tier_in_openais_words(self._usage)
            told = {"service_tier": tier} if tier else {}
            yield Chunk(orjson.dumps({**self._first, **told, "choices": [], "usage": usage}))

    # ---- what goes out

    def _set_head(self, message: Mapping[str, Any]) -> None:
        """All but the delta is the same in every chunk: it is written once."""
        names = {"id": message.get("id"), "object": "chat.completion.chunk", "created": self._created, "model": message.get("model")}
        self._first = names
        self._head = orjson.dumps(names)[:-1] + b',"choices":[{"index":0,"delta":'
        self._tail = b',"logprobs":null,"finish_reason":null}]}'

    def _text(self, text: str) -> tuple[Chunk, ...]:
        return (Chunk(self._head + b'{"content":' + orjson.dumps(text) + b"}" + self._tail, text),) if text else ()

    def _chunk(self, delta: Mapping[str, Any], *, has_content: bool = True) -> Chunk:
        return Chunk(self._head + orjson.dumps(delta) + self._tail, has_content=has_content)
