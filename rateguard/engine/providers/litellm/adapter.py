"""The opt-in provider `litellm`: calls go through that package in place of an adapter of ours.

It has no wire of its own that we could write or read, so `call` and `stream` are its own here. When a request left is known only as the
moment before litellm was called.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.base import Answer, Endpoint, OnChunk, OnSent, Outcome, Request, Target, Wire
from rateguard.engine.providers.capabilities import Capabilities
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.litellm.errors import error_from_exception
from rateguard.engine.providers.litellm.package import load
from rateguard.engine.providers.litellm.request import arguments
from rateguard.engine.providers.malformed import malformed_answer
from rateguard.engine.providers.openai.answer import read
from rateguard.engine.providers.openai.errors import error_from_reply
from rateguard.engine.providers.openai.stream import ChatReader
from rateguard.engine.providers.patience import patient
from rateguard.engine.providers.provider import Provider, Reader, usage_of

_FUNCTIONS = {Endpoint.CHAT: "acompletion", Endpoint.EMBEDDINGS: "aembedding"}


class LiteLLMProvider(Provider):
    """Whatever litellm knows; what it cannot translate it refuses itself, as a bad request."""

    name = "litellm"
    capabilities = Capabilities()
    admission = ADMISSIONS["litellm"]

    async def call(self, target: Target, request: Request, on_sent: OnSent | None = None) -> Outcome:
        """As every provider's. Raises ConfigurationError where the package is missing."""
        self.check(target, request)
        function = getattr(await load(), _FUNCTIONS[request.endpoint])
        sent_at = _leave(on_sent)
        async with _within(request):
            try:
                told = await function(**arguments(target, request, is_streamed=False))
            except Exception as error:  # noqa: BLE001 - whatever the package raises
                raise error_from_exception(error, target.api_key) from None
        reply = Reply(200, {}, _json(told), sent_at, time.monotonic())
        return await _outcome(target, request, self.read(target, request, reply), reply)

    async def stream(self, target: Target, request: Request, on_chunk: OnChunk, on_sent: OnSent | None = None) -> Outcome:
        """As every provider's. Raises ConfigurationError where the package is missing."""
        self.check(target, request)
        function = getattr(await load(), _FUNCTIONS[request.endpoint])
        reader = self.reader(target, request, {})
        try:
            async with _within(request), patient(request.first_token_timeout_s) as patience:
                sent_at = _leave(on_sent)
                patience.begin()
                async for piece in _pieces(function, target, request):
                    for chunk in reader.feed(b"data: " + piece + b"\n\n"):
                        patience.hear(has_content=chunk.has_content)
                        await on_chunk(chunk)
                if not reader.is_complete:
                    raise malformed_answer("the stream was cut: it ended without saying that it was finished")
        except ProviderError as error:
            if error.may_be_billed:
                error.usage = await usage_of(reader.answer(), target, request, is_partial=True)
            raise
        return await _outcome(target, request, reader.answer(), Reply(200, {}, b"", sent_at, time.monotonic()))

    def read(self, target: Target, request: Request, reply: Reply) -> Answer:
        """Litellm answers in OpenAI's shape."""
        return read(reply, request.endpoint, target.api_key)

    def reader(self, target: Target, request: Request, headers: Mapping[str, str]) -> Reader:
        """Its chunks are OpenAI's."""
        return ChatReader(headers, target.api_key, wants_usage=request.wants_usage)

    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Litellm raises in place of it: see errors.py."""
        return error_from_reply(status, headers, body, target.api_key)

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """There is none to write. Raises ConfigurationError."""
        raise ConfigurationError("the provider litellm writes its own requests: call it by `call` or `stream`")


@contextlib.asynccontextmanager
async def _within(request: Request) -> AsyncIterator[None]:
    """So long a call may take. Raises ProviderError (TIMEOUT)."""
    limit = asyncio.timeout(request.total_timeout_s)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        message = f"the answer was not whole within {request.total_timeout_s:g} s"
        raise ProviderError(message, kind=ErrorKind.TIMEOUT, may_be_billed=True) from None


async def _pieces(function: Any, target: Target, request: Request) -> AsyncIterator[bytes]:
    """Litellm's chunks as JSON. Raises ProviderError."""
    try:
        async for told in await function(**arguments(target, request, is_streamed=True)):
            yield _json(told)
    except Exception as error:  # noqa: BLE001 - whatever the package raises
        raise error_from_exception(error, target.api_key) from None


def _leave(on_sent: OnSent | None) -> float:
    """The request leaves now. Raises NotSent where it may not."""
    now = time.monotonic()
    if on_sent is not None:
        on_sent(now)
    return now


def _json(told: Any) -> bytes:
    """One of litellm's objects, which are pydantic's, as JSON."""
    return orjson.dumps(told.model_dump() if hasattr(told, "model_dump") else told, default=str)


async def _outcome(target: Target, request: Request, answer: Answer, reply: Reply) -> Outcome:
    told = orjson.loads(answer.body).get("id")
    usage = await usage_of(answer, target, request)
    return Outcome(answer.body, usage, answer.finish_reason, str(told or ""), reply.sent_at, reply.answered_at)
