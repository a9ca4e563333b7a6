"""Calls a provider that speaks OpenAI's dialect. The caller's body goes out as it is, but for the model's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Capabilities, Chunk, Endpoint, OnChunk, OnSent, Outcome, Request, Target
from rateguard.engine.providers.http import HttpClient, OpenReply, Reply
from rateguard.engine.providers.openai.errors import error_from_reply, error_in_answer, malformed_answer
from rateguard.engine.providers.openai.stream import DONE, Answer, EventLines, has_content
from rateguard.engine.providers.openai.usage import parse_usage
from rateguard.engine.providers.patience import Patience, patient
from rateguard.engine.tokens import count_input_async, count_text

_PATHS = {Endpoint.CHAT: "/chat/completions", Endpoint.EMBEDDINGS: "/embeddings"}


class OpenAIProvider:
    """OpenAI, and everything that speaks like it at another base URL (`…/v1`)."""

    name = "openai"
    capabilities = Capabilities()

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def call(self, target: Target, request: Request, on_sent: OnSent | None = None) -> Outcome:
        """Make one call and wait for its whole answer, which is handed on byte by byte. Raises ProviderError."""
        body = {**request.body, "model": target.upstream_model}
        body.pop("stream", None)
        body.pop("stream_options", None)
        reply = await self._http.post(_url(target, request), _headers(target, request), orjson.dumps(body), request, on_sent)
        answer = _parse_answer(reply, request.endpoint, target.api_key)
        usage = answer.get("usage")
        return Outcome(
            body=reply.body,
            usage=parse_usage(usage) if usage else await _estimate(request, target, _visible_text(answer)),
            finish_reason=_finish_reason(answer),
            provider_request_id=reply.headers.get("x-request-id", ""),
            sent_at=reply.sent_at,
            answered_at=reply.answered_at,
            processing_ms=_processing_ms(reply.headers),
        )

    async def stream(self, target: Target, request: Request, on_chunk: OnChunk, on_sent: OnSent | None = None) -> Outcome:
        """Make one streamed chat; hand each chunk on; give back the answer put together.

        Usage is always asked for; its chunk is handed on only if the caller asked too. A stream that ends without having said that it is
        finished is a ProviderError (SERVER, may_be_billed); one that goes silent is one too (TIMEOUT). Raises ProviderError.
        """
        options = request.body.get("stream_options") or {}
        body = {**request.body, "model": target.upstream_model, "stream": True, "stream_options": {**options, "include_usage": True}}
        headers = {**_headers(target, request), "Accept": "text/event-stream", "Accept-Encoding": "identity"}
        async with (
            patient(request.first_token_timeout_s) as patience,
            self._http.exchange(_url(target, request), headers, orjson.dumps(body), request, _first(on_sent, patience)) as reply,
        ):
            await _refuse_what_is_no_stream(reply, target.api_key)
            answer = Answer()
            reader = _ChunkReader(answer, reply, target.api_key, on_chunk, patience, wants_usage=bool(options.get("include_usage")))
            await reader.read_all()
            return Outcome(
                body=answer.body(),
                usage=parse_usage(answer.usage) if answer.usage else await _estimate(request, target, answer.text()),
                finish_reason=answer.finish_reason,
                provider_request_id=reply.headers.get("x-request-id", ""),
                sent_at=reply.sent_at,
                answered_at=reply.answered_at,
                processing_ms=_processing_ms(reply.headers),
            )


class _ChunkReader:
    """Reads a stream's events into an answer and hands them on."""

    def __init__(self, answer: Answer, reply: OpenReply, api_key: str, on_chunk: OnChunk, patience: Patience, *, wants_usage: bool) -> None:
        self._answer = answer
        self._reply = reply
        self._api_key = api_key
        self._on_chunk = on_chunk
        self._patience = patience
        self._wants_usage = wants_usage

    async def read_all(self) -> None:
        """Read to the end. Raises ProviderError where it was cut, malformed, or carried an error."""
        lines = EventLines()
        try:
            async for piece in self._reply.pieces():
                for data in lines.feed(piece):
                    await self._take(data)
        except ProviderError as error:
            if error.kind is not ErrorKind.NETWORK or not self._answer.is_complete:
                raise
        for data in lines.finish():
            await self._take(data)
        if not self._answer.is_complete:
            raise malformed_answer("the stream was cut: it ended without a finish_reason")

    async def _take(self, data: bytes) -> None:
        if data == DONE:
            self._answer.is_done = True
            return
        chunk = self._parse(data)
        if chunk is None:
            return
        text = self._answer.add(chunk)
        self._patience.hear(has_content=has_content(chunk))
        if self._wants_usage or chunk.get("choices") or not chunk.get("usage"):
            await self._on_chunk(Chunk(data, text))

    def _parse(self, data: bytes) -> Mapping[str, Any] | None:
        """A chunk; None for broken remains behind the finish, which change nothing."""
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            if self._answer.is_complete:
                return None
            raise malformed_answer("a piece of the stream is not JSON") from None
        if not isinstance(chunk, dict):
            raise malformed_answer("a piece of the stream is not an object")
        if chunk.get("error"):
            raise error_in_answer(chunk["error"], self._reply.headers, self._api_key)
        return chunk


def _first(on_sent: OnSent | None, patience: Patience) -> OnSent:
    """What is told that a request leaves; unless that is refused, the wait for its answer begins."""

    def tell(at: float) -> None:
        if on_sent is not None:
            on_sent(at)
        patience.begin()

    return tell


def _url(target: Target, request: Request) -> str:
    return target.base_url.rstrip("/") + _PATHS[request.endpoint]


def _headers(target: Target, request: Request) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {target.api_key}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "rateguard",
        "X-Client-Request-Id": request.attempt_id,
    }


async def _refuse_what_is_no_stream(reply: OpenReply, api_key: str) -> None:
    """Raise for an error status, and for a whole body where a stream was asked for."""
    if not 200 <= reply.status < 300:
        raise error_from_reply(reply.status, reply.headers, await reply.read(), api_key)
    if reply.headers.get("content-type", "").startswith("application/json"):
        _parse_object(await reply.read(), reply.headers, api_key)
        raise malformed_answer("a whole body came where a stream was asked for")


def _parse_answer(reply: Reply, endpoint: Endpoint, api_key: str) -> dict[str, Any]:
    """The answer's JSON, once it is known to be one."""
    if not 200 <= reply.status < 300:
        raise error_from_reply(reply.status, reply.headers, reply.body, api_key)
    answer = _parse_object(reply.body, reply.headers, api_key)
    expected = "choices" if endpoint is Endpoint.CHAT else "data"
    if not isinstance(answer.get(expected), list) or not answer[expected]:
        raise malformed_answer(f"the answer has no {expected}")
    return answer


def _parse_object(body: bytes, headers: Mapping[str, str], api_key: str) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise malformed_answer("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise malformed_answer("the answer is not an object")
    if answer.get("error"):
        raise error_in_answer(answer["error"], headers, api_key)
    return answer


def _finish_reason(answer: Mapping[str, Any]) -> str:
    """The first choice's finish reason; an embedding has none and just stops."""
    choices = answer.get("choices")
    return str(choices[0].get("finish_reason") or "stop") if choices else "stop"


def _visible_text(answer: Mapping[str, Any]) -> str:
    return "".join(str((choice.get("message") or {}).get("content") or "") for choice in answer.get("choices") or ())


async def _estimate(request: Request, target: Target, text: str) -> Usage:
    """Our own count, for a provider that tells no usage."""
    model = target.upstream_model
    return Usage(input_tokens=await count_input_async(request.body, model), output_tokens=count_text(text, model), estimated=True)


def _processing_ms(headers: Mapping[str, str]) -> int | None:
    value = headers.get("openai-processing-ms", "")
    return int(value) if value.isdecimal() else None
