"""OpenAI's endpoint Responses: its answers and events go out as they came, in its own shape. Source: OpenAI's OpenAPI specification.

A stream ends with `response.completed`, `.incomplete` or `.failed`, or with a bare event `error`; there is no `[DONE]` (not verified). One
that ends otherwise has been cut. `failed` comes with status 200, and so does its `error`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers.base import Answer, Chunk
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object
from rateguard.engine.providers.openai.errors import error_in_answer
from rateguard.engine.providers.openai.quirks import OPENAI, Quirks
from rateguard.engine.providers.openai.usage import parse_response_usage
from rateguard.engine.providers.reader import EventReader
from rateguard.engine.providers.sse import Event

_INCOMPLETE = {"max_output_tokens": "length", "max_messages": "length", "content_filter": "content_filter"}
_ENDS = frozenset({"response.completed", "response.incomplete"})


def read_response(reply: Reply, api_key: str, quirks: Quirks = OPENAI) -> Answer:
    """A whole answer. Raises ProviderError where it failed, or is none."""
    response = parse_object(reply.body)
    if response.get("error"):
        raise error_in_answer(response["error"], reply.headers, api_key, quirks)
    return _answer(response, reply.body, quirks)


class ResponseReader(EventReader):
    """Reads a streamed answer; each event is a chunk."""

    def __init__(self, headers: Mapping[str, str], api_key: str, quirks: Quirks = OPENAI) -> None:
        super().__init__()
        self._headers = headers
        self._api_key = api_key
        self._quirks = quirks
        self._response: dict[str, Any] = {}
        self._texts: list[str] = []
        self._has_ended = False

    @property
    def is_complete(self) -> bool:
        """Whether the whole answer has come."""
        return self._has_ended

    def answer(self) -> Answer:
        """The whole answer, as its last event has it; of one that was cut, what is known of it."""
        body = orjson.dumps(self._response)
        if self._has_ended:
            return _answer(self._response, body, self._quirks, "".join(self._texts))
        return Answer(body, parse_response_usage(self._response), "stop", "".join(self._texts))

    def _take(self, event: Event) -> Iterator[Chunk]:
        if event.data == b"[DONE]":
            return
        told = self._parse(event.data)
        if told is None:
            return
        kind = str(told.get("type") or event.name)
        if kind in {"error", "response.failed"} or told.get("error"):
            raise self._failure(told)
        if isinstance(told.get("response"), dict):
            self._response = told["response"]
        self._has_ended = self._has_ended or kind in _ENDS
        delta = told.get("delta") if kind.endswith(".delta") else None
        if isinstance(delta, str):
            self._texts.append(delta)
        text = delta if isinstance(delta, str) and kind == "response.output_text.delta" else ""
        yield Chunk(event.data, text, has_content=bool(delta) or kind in _ENDS)

    def _failure(self, told: Mapping[str, Any]) -> ProviderError:
        """`response.failed` has its error within the response; a bare `error` is one itself."""
        response = told.get("response")
        if isinstance(response, dict):
            self._response = response
            return error_in_answer(response.get("error") or {}, self._headers, self._api_key, self._quirks)
        return error_in_answer(told.get("error") or told, self._headers, self._api_key, self._quirks)

    def _parse(self, data: bytes) -> dict[str, Any] | None:
        """An event; None for broken remains behind the end, which change nothing."""
        try:
            return parse_object(data, "a piece of the stream")
        except ProviderError:
            if self._has_ended:
                return None
            raise


def _answer(response: Mapping[str, Any], body: bytes, quirks: Quirks, text: str = "") -> Answer:
    """Raises ProviderError for what is no answer, or not yet one."""
    status = response.get("status")
    if status not in {"completed", "incomplete"}:
        raise malformed_answer(f"the answer is {status!r}" if isinstance(status, str) else "the answer has no status")
    usage = parse_response_usage(response, quirks.tier(response.get("service_tier")))
    output = [one for one in response.get("output") or () if isinstance(one, dict)]
    return Answer(body, usage, _finish(response, output), text or _visible_text(output))


def _finish(response: Mapping[str, Any], output: list[dict[str, Any]]) -> str:
    """OpenAI's word of chat completions for it: jobs of all endpoints are counted alike."""
    if response.get("status") == "incomplete":
        reason = (response.get("incomplete_details") or {}).get("reason")
        return _INCOMPLETE.get(str(reason), "stop")
    return "tool_calls" if any(one.get("type") in {"function_call", "custom_tool_call"} for one in output) else "stop"


def _visible_text(output: list[dict[str, Any]]) -> str:
    parts = (part for one in output for part in one.get("content") or () if isinstance(part, dict))
    return "".join(str(part.get("text") or "") for part in parts)
