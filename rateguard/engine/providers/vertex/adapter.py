"""Vertex AI: Gemini, and Claude, under Google Cloud's addresses, with its tokens or an API key."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Mapping

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.base import Answer, Request, Target, Wire
from rateguard.engine.providers.capabilities import Capabilities
from rateguard.engine.providers.gemini.adapter import GeminiProvider
from rateguard.engine.providers.gemini.listed import names_of
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.providers.probe import Probe
from rateguard.engine.providers.provider import Reader
from rateguard.engine.providers.vertex import claude
from rateguard.engine.providers.vertex.addresses import is_google, models_page
from rateguard.engine.providers.vertex.credentials import Tokens
from rateguard.engine.providers.vertex.request import headers_for, write, write_count
from rateguard.engine.providers.vertex.secrets import Kind, parse


class VertexProvider(GeminiProvider):
    """Chats, streams and embeddings. Up to sixteen stop sequences, by its own error's words.

    Options: `project`, `location` (the deployment's region goes before it), `quota_project`, `api_version`; Gemini's; and for Claude
    `anthropic_version` and Anthropic's own.
    """

    name = "vertex"
    capabilities = dataclasses.replace(GeminiProvider.capabilities, most_stops=16)
    admission = ADMISSIONS["vertex"]
    shares_capacity = True

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._tokens = Tokens()

    def capabilities_of(self, target: Target) -> Capabilities:
        """Gemini's, or those of the Claude model."""
        return claude.capabilities(target) if claude.is_claude(target) else super().capabilities_of(target)

    def check(self, target: Target, request: Request) -> None:
        """Refuse what the model cannot do."""
        if claude.is_claude(target):
            claude.check(self.name, target, request)
        else:
            super().check(target, request)

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """As the Gemini API, or Anthropic's, but at the location's host and under a project."""
        if claude.is_claude(target):
            return claude.write(target, request, is_streamed=is_streamed)
        return write(target, request, is_streamed=is_streamed)

    def read(self, target: Target, request: Request, reply: Reply) -> Answer:
        """In the dialect of the model's maker."""
        return claude.read(reply) if claude.is_claude(target) else super().read(target, request, reply)

    def reader(self, target: Target, request: Request, headers: Mapping[str, str]) -> Reader:
        """In the dialect of the model's maker."""
        return claude.reader(request, headers) if claude.is_claude(target) else super().reader(target, request, headers)

    async def authorize(self, target: Target, wire: Wire) -> Wire:
        """Add the token. Raises ProviderError (AUTH, CONNECT); ConfigurationError where this machine's own would go to somebody else."""
        if _is_keyed(target, wire.url):
            return wire
        token = await self._tokens.get(target.api_key)
        return dataclasses.replace(wire, headers={**wire.headers, "Authorization": f"Bearer {token.value}"})

    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """As the Gemini API's, or Anthropic's; a token that was refused is used no more."""
        found = claude.error(status, headers, body) if claude.is_claude(target) else None
        error = found or super().error(target, status, headers, body)
        if error.kind is ErrorKind.AUTH and status == 401:
            self._tokens.forget(target.api_key)
        return error

    def probe(self, target: Target) -> Probe | None:
        """Google's models; asks for a token first, so it may take a network's time. None with an API key, which may not list them."""
        url = models_page(target)
        if _is_keyed(target, url):
            return None
        headers = {**headers_for(target), "Authorization": f"Bearer {self._tokens.now(target.api_key).value}"}
        return Probe(url, headers, names_of)

    def write_count(self, target: Target, request: Request) -> Wire:
        """The question how many tokens a chat's input has."""
        return claude.write_count(target, request) if claude.is_claude(target) else write_count(target, request)

    def read_count(self, target: Target, reply: Reply) -> int:
        """Its answer, in tokens."""
        return claude.read_count(reply) if claude.is_claude(target) else super().read_count(target, reply)


def _is_keyed(target: Target, url: str) -> bool:
    """Whether an API key signs the call. Raises ConfigurationError where this machine's own credentials would go to somebody else.

    A secret cannot lead a tenant's account to services inside that trust anyone: those are reached by http, and its base URL is of https.
    """
    secret = parse(target.api_key)
    kind = secret.kind
    if secret.token_uri and not secret.token_uri.startswith("https://") and target.base_url.startswith("https://"):
        raise ConfigurationError("the secret's token_uri is of https, as the account's base URL is: paste the file as Google gives it")
    if kind is Kind.MACHINE and not is_google(url):
        host = urllib.parse.urlsplit(url).hostname
        raise ConfigurationError(f"this machine's own credentials do not go to {host}: give the account a secret")
    return kind is Kind.KEY
