"""OpenAI, and everything that speaks like it at another base URL (`…/v1`)."""

from __future__ import annotations

from collections.abc import Mapping

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers.base import Answer, Request, Target, Wire
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.openai.answer import read
from rateguard.engine.providers.openai.errors import error_from_reply
from rateguard.engine.providers.openai.request import wants_usage, write
from rateguard.engine.providers.openai.stream import ChatReader, NoStream
from rateguard.engine.providers.provider import Provider, Reader


class OpenAIProvider(Provider):
    """Chat completions, streams and embeddings."""

    name = "openai"

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """The caller's body as it is, but for the model's name."""
        return write(target, request, is_streamed=is_streamed)

    def read(self, target: Target, request: Request, reply: Reply) -> Answer:
        """The answer byte by byte."""
        return read(reply, request.endpoint, target.api_key)

    def reader(self, target: Target, request: Request, headers: Mapping[str, str]) -> Reader:
        """Reads chunks; refuses a whole body where a stream was asked for."""
        if headers.get("content-type", "").startswith("application/json"):
            return NoStream(headers, target.api_key)
        return ChatReader(headers, target.api_key, wants_usage=wants_usage(request))

    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """By its code, its status, its message: see errors.py."""
        return error_from_reply(status, headers, body, target.api_key)

    def processing_ms(self, headers: Mapping[str, str]) -> int | None:
        """`openai-processing-ms`."""
        value = headers.get("openai-processing-ms", "")
        return int(value) if value.isdecimal() else None
