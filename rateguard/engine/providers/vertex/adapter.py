"""Vertex AI: Gemini under Google Cloud's addresses, with its tokens or an API key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.base import Request, Target, Wire
from rateguard.engine.providers.gemini.adapter import GeminiProvider
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.vertex import request as wires
from rateguard.engine.providers.vertex.addresses import is_google
from rateguard.engine.providers.vertex.credentials import Tokens
from rateguard.engine.providers.vertex.secrets import Kind, parse


class VertexProvider(GeminiProvider):
    """Chats, streams and embeddings. Up to sixteen stop sequences, by its own error's words."""

    name = "vertex"
    capabilities = dataclasses.replace(GeminiProvider.capabilities, most_stops=16)
    admission = ADMISSIONS["vertex"]
    shares_capacity = True

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._tokens = Tokens()

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """As the Gemini API, but at the location's host and under a project."""
        return wires.write(target, request, is_streamed=is_streamed)

    async def authorize(self, target: Target, wire: Wire) -> Wire:
        """Add the token. Raises ProviderError (AUTH, CONNECT); ConfigurationError where this machine's own would go to somebody else."""
        kind = parse(target.api_key).kind
        if kind is Kind.KEY:
            return wire
        if kind is Kind.MACHINE and not is_google(wire.url):
            raise ConfigurationError("this machine's own credentials go to aiplatform.googleapis.com alone: give the account a secret")
        token = await self._tokens.get(target.api_key)
        return dataclasses.replace(wire, headers={**wire.headers, "Authorization": f"Bearer {token.value}"})

    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """As the Gemini API's; a token that was refused is used no more."""
        error = super().error(target, status, headers, body)
        if error.kind is ErrorKind.AUTH and status == 401:
            self._tokens.forget(target.api_key)
        return error

    def write_count(self, target: Target, request: Request) -> Wire:
        """The question how many tokens a chat's input has."""
        return wires.write_count(target, request)
