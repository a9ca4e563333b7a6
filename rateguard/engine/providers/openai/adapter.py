"""OpenAI: chat completions, Responses, embeddings. What speaks like it elsewhere has a preset: compatible/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers import features
from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.base import Answer, Endpoint, Request, Target, Wire
from rateguard.engine.providers.capabilities import Capabilities
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.openai import models
from rateguard.engine.providers.openai.answer import read
from rateguard.engine.providers.openai.embeddings import check_embeddings
from rateguard.engine.providers.openai.errors import error_from_reply, error_in_answer
from rateguard.engine.providers.openai.limits import read_limits
from rateguard.engine.providers.openai.quirks import OPENAI, Quirks
from rateguard.engine.providers.openai.request import check_fields, headers_for, write
from rateguard.engine.providers.openai.responses import ResponseReader, read_response
from rateguard.engine.providers.openai.stream import ChatReader
from rateguard.engine.providers.probe import Probe, names_in_data
from rateguard.engine.providers.provider import Provider, Reader
from rateguard.engine.providers.reader import NoStream
from rateguard.engine.readings import Reading


class OpenAIProvider(Provider):
    """OpenAI's dialect, with the quirks of who speaks it."""

    name = "openai"
    check_says_all = True
    quirks: ClassVar[Quirks] = OPENAI
    capabilities = Capabilities(models.ENDPOINTS, most_stops=models.MOST_STOPS)
    admission = ADMISSIONS["openai"]

    def model_of(self, target: Target) -> str:
        """The model's name, by which it is known what it can."""
        return target.upstream_model

    def capabilities_of(self, target: Target) -> Capabilities:
        """By the beginning of the model's name."""
        return models.capabilities_of(self.model_of(target))

    def check(self, target: Target, request: Request) -> None:
        """Refuse what the model or the provider cannot do. Raises InvalidRequest (`unsupported_by_provider`)."""
        model, can = self.model_of(target), self.capabilities_of(target)
        body: Mapping[str, Any] = request.body
        if request.endpoint is Endpoint.CHAT:
            body, can = models.as_judged(model, request), models.lacks_for(model, body)
        elif request.endpoint is Endpoint.EMBEDDINGS:
            check_embeddings(self.name, self.quirks, model, body)
        features.check(self.name, can, request.endpoint, body)
        check_fields(self.name, self.quirks, request)

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """The caller's body as it is, but for the model's name and the quirks."""
        return write(target, request, self.quirks, is_streamed=is_streamed)

    def read(self, target: Target, request: Request, reply: Reply) -> Answer:
        """The answer byte by byte, where it is in OpenAI's words."""
        if request.endpoint is Endpoint.RESPONSES:
            return read_response(reply, target.api_key, self.quirks)
        return read(reply, request.endpoint, target.api_key, self.quirks)

    def reader(self, target: Target, request: Request, headers: Mapping[str, str]) -> Reader:
        """Reads chunks or events; refuses a whole body where a stream was asked for."""
        if headers.get("content-type", "").startswith("application/json"):
            return NoStream(lambda answer: error_in_answer(answer["error"], headers, target.api_key, self.quirks))
        if request.endpoint is Endpoint.RESPONSES:
            return ResponseReader(headers, target.api_key, self.quirks)
        return ChatReader(headers, target.api_key, wants_usage=request.wants_usage, quirks=self.quirks)

    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """By its code, its status, its message: see errors.py."""
        return error_from_reply(status, headers, body, target.api_key, self.quirks)

    def readings(self, target: Target, headers: Mapping[str, str]) -> tuple[Reading, ...]:
        """`x-ratelimit-*`, as limits.py reads them."""
        return read_limits(self.quirks.limits, headers)

    def processing_ms(self, headers: Mapping[str, str]) -> int | None:
        """`openai-processing-ms`."""
        value = headers.get("openai-processing-ms", "")
        return int(value) if value.isdecimal() else None

    def probe(self, target: Target) -> Probe | None:
        """The list of its models, which costs nothing."""
        headers = headers_for(target, Request(Endpoint.CHAT, {}, ""), self.quirks)
        return Probe(f"{target.base_url.rstrip('/')}/models", headers, names_in_data)
