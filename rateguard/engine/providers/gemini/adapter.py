"""Gemini by its own API and an API key. Vertex AI builds on this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.base import Answer, Endpoint, Request, Target, Wire
from rateguard.engine.providers.capabilities import EVERYTHING, Capabilities, Feature
from rateguard.engine.providers.gemini import limits
from rateguard.engine.providers.gemini.answer import read
from rateguard.engine.providers.gemini.counting import read_count, write_count
from rateguard.engine.providers.gemini.embeddings import read_embeddings
from rateguard.engine.providers.gemini.errors import error_from_reply, error_in_answer
from rateguard.engine.providers.gemini.listed import names_of
from rateguard.engine.providers.gemini.request import base_of, headers_for, write
from rateguard.engine.providers.gemini.stream import GeminiReader
from rateguard.engine.providers.gemini.told import changed
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.probe import Probe
from rateguard.engine.providers.provider import Provider, Reader
from rateguard.engine.readings import Reading

FEATURES = EVERYTHING - {Feature.PARALLEL_TOOL_CALLS, Feature.LOGIT_BIAS, Feature.PREDICTION, Feature.PREFILL}
"""One call at a time cannot be asked for. That an answer can be begun for the model is not documented."""


class GeminiProvider(Provider):
    """Chats, streams and embeddings. Up to five stop sequences, by the API's reference.

    Options of an account or a deployment: `api_version`, `capabilities`, `generation` (of a model whose name does not say it),
    `safety_settings`, `task_type` (of embeddings). shares_capacity: a limit that names no quota of ours is that of all customers.
    """

    name = "gemini"
    capabilities = Capabilities(features=FEATURES, endpoints=frozenset({Endpoint.CHAT, Endpoint.EMBEDDINGS}), most_stops=5)
    admission = ADMISSIONS["gemini"]
    shares_capacity: ClassVar[bool] = False

    def capabilities_of(self, target: Target) -> Capabilities:
        """The dialect's, but for what the option `capabilities` says."""
        told = target.options.get("capabilities")
        return changed(self.capabilities, told) if told else self.capabilities

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """generateContent, streamGenerateContent or batchEmbedContents."""
        return write(target, request, is_streamed=is_streamed)

    def read(self, target: Target, request: Request, reply: Reply) -> Answer:
        """Candidates as choices; a blocked prompt as a choice that says so."""
        if request.endpoint is Endpoint.EMBEDDINGS:
            return read_embeddings(target, request, reply)
        return read(target, request, reply)

    def reader(self, target: Target, request: Request, headers: Mapping[str, str]) -> Reader:
        """Reads events, and errors that come as bare JSON among them."""

        def as_error(error: Any) -> ProviderError:
            return error_in_answer(error, headers, target.api_key, is_shared=self.shares_capacity)

        return GeminiReader(target, request, headers, as_error)

    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """By its reason, its word, its status, its message: see errors.py."""
        return error_from_reply(status, headers, body, target.api_key, is_shared=self.shares_capacity)

    def readings(self, target: Target, headers: Mapping[str, str]) -> tuple[Reading, ...]:
        """None: see limits.py."""
        return limits.readings(headers)

    def write_count(self, target: Target, request: Request) -> Wire:
        """The question how many tokens a chat's input has."""
        return write_count(target, request)

    def read_count(self, target: Target, reply: Reply) -> int:
        """Its answer, in tokens."""
        return read_count(reply)

    def probe(self, target: Target) -> Probe | None:
        """The models that the key may use (at most 1,000): free of charge."""
        return Probe(f"{base_of(target)}/models?pageSize=1000", headers_for(target), names_of)
