"""A streamed answer of ConverseStream: frames → chunks of a chat completion → one whole answer.

Order: messageStart, then per block contentBlockStart (for tools; text may begin without), contentBlockDelta, contentBlockStop, then
messageStop with the reason, then metadata with the usage. The end is metadata: a stream that ends at messageStop has been cut, for what it
cost is not known. Source: botocore's service model; that metadata always comes is not verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.base import Answer, Chunk, Request, Target
from rateguard.engine.providers.bedrock.completion import Completion
from rateguard.engine.providers.bedrock.errors import error_in_stream
from rateguard.engine.providers.bedrock.eventstream import Frames, Head
from rateguard.engine.providers.bedrock.tools import JSON_TOOL
from rateguard.engine.providers.bedrock.usage import parse_usage, tier_of
from rateguard.engine.providers.counted import in_openais_words
from rateguard.engine.providers.malformed import malformed_answer, parse_object

_END = b'},"logprobs":null,"finish_reason":null}]}'


class ConverseReader:
    """Reads one stream. The usage chunk is handed on only where the caller asked for it."""

    def __init__(self, target: Target, request: Request, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._api_key = target.api_key
        self._wants_usage = request.wants_usage
        self._frames = Frames()
        self._whole = Completion(target, request, headers)
        self._blocks: dict[int, _Open] = {}
        self._is_over = False
        self._takes: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Chunk]]] = {
            "messageStart": self._message_start,
            "contentBlockStart": self._block_start,
            "contentBlockDelta": self._block_delta,
            "contentBlockStop": self._block_stop,
            "messageStop": self._message_stop,
            "metadata": self._metadata,
        }
        head = {"id": self._whole.id, "object": "chat.completion.chunk", "created": self._whole.created, "model": self._whole.model}
        self._before = orjson.dumps(head)[:-1] + b',"choices":'
        self._delta = self._before + b'[{"index":0,"delta":'
        self._content = self._delta + b'{"content":'

    @property
    def is_complete(self) -> bool:
        """Whether the metadata came, behind everything else."""
        return self._is_over

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes complete. Raises ProviderError."""
        for head, payload in self._frames.feed(piece):
            if head.kind != "event":
                raise error_in_stream(head, payload, self._headers, self._api_key)
            text = self._text_of(payload) if head.name == "contentBlockDelta" else None
            if text is None:
                yield from self._take(head, payload)
            else:
                self._whole.texts.append(text)
                yield Chunk(b"".join((self._content, orjson.dumps(text), _END)), text)

    def finish(self) -> Iterator[Chunk]:
        """Nothing: half a frame is none."""
        return iter(())

    def answer(self) -> Answer:
        """The completion put together."""
        for block in self._blocks.values():
            block.close(self._whole)
        self._blocks.clear()
        return self._whole.answer()

    def _text_of(self, payload: bytes) -> str | None:
        """A piece of text, which most events of a stream are; None for all others, which are looked at more closely."""
        try:
            text = orjson.loads(payload)["delta"]["text"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        return text if isinstance(text, str) else None

    def _take(self, head: Head, payload: bytes) -> Iterator[Chunk]:
        take = self._takes.get(head.name)
        if take is not None:  # events that we do not know change nothing
            event = parse_object(payload, "a piece of the stream")
            try:
                yield from take(event)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise malformed_answer(f"its event {head.name} is not of the form that we know") from None

    def _message_start(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        yield self._chunk({"role": "assistant", "content": ""}, has_content=False)

    def _block_start(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        tool_use = (event.get("start") or {}).get("toolUse")
        if tool_use is None:
            return
        number = event["contentBlockIndex"]
        if self._whole.wants_json and tool_use.get("name") == JSON_TOOL:
            self._blocks[number] = _Open(is_answer=True)
            return
        call = self._whole.call(tool_use, "")
        self._blocks[number] = _Open(call=call, place=len(self._whole.calls) - 1)
        yield self._chunk({"tool_calls": [{"index": self._blocks[number].place, **call, "function": dict(call["function"])}]})

    def _block_delta(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        delta = event["delta"]
        if delta.get("text") is not None:
            raise TypeError  # of another kind than `feed` takes
        if "toolUse" in delta:
            yield from self._tool_input(event["contentBlockIndex"], delta["toolUse"].get("input") or "")
        elif "reasoningContent" in delta:
            yield from self._reasoning(event["contentBlockIndex"], delta["reasoningContent"])

    def _tool_input(self, number: int, piece: str) -> Iterator[Chunk]:
        block = self._blocks[number]
        if not _text(piece):
            return
        if block.is_answer:
            self._whole.texts.append(piece)
            yield self._chunk({"content": piece}, piece)
        elif block.call is not None:
            block.inputs.append(piece)
            yield self._chunk({"tool_calls": [{"index": block.place, "function": {"arguments": piece}}]})

    def _reasoning(self, number: int, delta: Mapping[str, Any]) -> Iterator[Chunk]:
        block = self._blocks.setdefault(number, _Open(is_reasoning=True))
        block.signature += _text(delta.get("signature") or "")
        block.redacted += _text(delta.get("redactedContent") or "")
        text = delta.get("text")
        if text:
            block.inputs.append(_text(text))
            self._whole.reasoning.append(text)
            yield self._chunk({"reasoning_content": text})

    def _block_stop(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        block = self._blocks.pop(event["contentBlockIndex"], None)
        if block is None:
            return
        block.close(self._whole)
        if block.call is not None and not block.inputs:
            yield self._chunk({"tool_calls": [{"index": block.place, "function": {"arguments": "{}"}}]})

    def _message_stop(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        self._whole.stop_reason = str(event["stopReason"])
        reason = {"finish_reason": self._whole.finish_reason, "native_finish_reason": self._whole.stop_reason}
        fields = self._whole.layout.fields(self._whole.texts)
        choice: dict[str, Any] = {"index": 0, "delta": {"provider_fields": fields} if fields else {}, "logprobs": None, **reason}
        yield Chunk(self._before + orjson.dumps([choice]) + b"}")

    def _metadata(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        if not self._whole.stop_reason:
            raise malformed_answer("its metadata came before its end")
        self._whole.tier = tier_of(event)
        usage = event.get("usage")
        self._is_over = True
        if usage is None:
            return
        self._whole.usage = parse_usage(usage, self._whole.tier)
        if self._wants_usage:
            rest: dict[str, Any] = {"usage": in_openais_words(self._whole.usage)}
            if self._whole.tier:
                rest["service_tier"] = self._whole.tier
            yield Chunk(self._before + b"[]," + orjson.dumps(rest)[1:])

    def _chunk(self, delta: Mapping[str, Any], text: str = "", *, has_content: bool = True) -> Chunk:
        return Chunk(self._delta + orjson.dumps(delta) + b',"logprobs":null,"finish_reason":null}]}', text, has_content)


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError
    return text


class _Open:
    """A content block that is still growing. call: the tool's, at this place among the calls. is_answer: its input is the content."""

    def __init__(self, *, call: dict[str, Any] | None = None, place: int = 0, is_answer: bool = False, is_reasoning: bool = False) -> None:
        self.call = call
        self.place = place
        self.is_answer = is_answer
        self.is_reasoning = is_reasoning
        self.inputs: list[str] = []
        self.signature = ""
        self.redacted = ""

    def close(self, whole: Completion) -> None:
        """Put what has come into the completion; reasoning as it goes back to the model."""
        if self.call is not None:
            self.call["function"]["arguments"] = "".join(self.inputs) or "{}"
        if not self.is_reasoning:
            return
        text = {"text": "".join(self.inputs)} | ({"signature": self.signature} if self.signature else {})
        whole.layout.reasoning({"redactedContent": self.redacted} if self.redacted else {"reasoningText": text}, whole.texts)
