"""Amazon Bedrock's runtime endpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.base import Answer, Endpoint, Request, Target, Wire
from rateguard.engine.providers.bedrock import count
from rateguard.engine.providers.bedrock.answer import read
from rateguard.engine.providers.bedrock.embedding import can_embed
from rateguard.engine.providers.bedrock.endpoint import is_of_aws, region_of
from rateguard.engine.providers.bedrock.errors import STALE, error_from_reply, name_of
from rateguard.engine.providers.bedrock.machine import MachineCredentials
from rateguard.engine.providers.bedrock.models import model_of
from rateguard.engine.providers.bedrock.probe import probe_with, url_of_models
from rateguard.engine.providers.bedrock.request import write
from rateguard.engine.providers.bedrock.secret import Bearer, Keys, parse_secret
from rateguard.engine.providers.bedrock.signing import signed_headers
from rateguard.engine.providers.bedrock.stream import ConverseReader
from rateguard.engine.providers.capabilities import Capabilities
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.providers.probe import Probe
from rateguard.engine.providers.provider import Provider, Reader

MOST_STOPS = 2500
_CHAT = frozenset({Endpoint.CHAT})
_EMBEDDINGS = frozenset({Endpoint.EMBEDDINGS})


class BedrockProvider(Provider):
    """Converse, ConverseStream, and embeddings of Titan and Cohere."""

    name = "bedrock"
    admission = ADMISSIONS["bedrock"]

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._machine = MachineCredentials()

    def capabilities_of(self, target: Target) -> Capabilities:
        """Of the model: a chat or embeddings, and what Converse can say to it."""
        endpoints = _EMBEDDINGS if can_embed(str(target.options.get("base_model") or target.upstream_model)) else _CHAT
        return Capabilities(endpoints, model_of(target).features, most_stops=MOST_STOPS)

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """The caller's words in Converse's, not signed yet."""
        return write(target, request, is_streamed=is_streamed)

    def read(self, target: Target, request: Request, reply: Reply) -> Answer:
        """A chat completion, or embeddings, from what Bedrock answers."""
        return read(target, request, reply)

    def reader(self, target: Target, request: Request, headers: Mapping[str, str]) -> Reader:
        """Reads frames of AWS's event stream."""
        return ConverseReader(target, request, headers)

    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """By its name: see errors.py. Where this machine's own credentials have run out, others are fetched for the next try."""
        error = error_from_reply(status, headers, body, target.api_key)
        if not target.api_key and name_of(headers, body) in STALE and self._machine.forget(_profile(target)):
            return ProviderError(f"{error}; fetched anew", kind=ErrorKind.SERVER, status=status)
        return error

    def request_id(self, headers: Mapping[str, str]) -> str:
        """AWS's."""
        return headers.get("x-amzn-requestid", "")

    def processing_ms(self, headers: Mapping[str, str]) -> int | None:
        """InvokeModel says it in a header (not verified); Converse in its body, too late to tell when the request came in."""
        value = headers.get("x-amzn-bedrock-invocation-latency", "")
        return int(value) if value.isdecimal() else None

    def probe(self, target: Target) -> Probe | None:
        """Its list of models, where its base URL is AWS's own. May wait for credentials of this machine's."""
        url = url_of_models(target)
        return probe_with(parse_secret(target.api_key) or self._machine.now(_profile(target)), target, url) if url else None

    def write_count(self, target: Target, request: Request) -> Wire:
        """The question how many tokens a chat's input has, not signed yet."""
        return count.write_count(target, request)

    def read_count(self, reply: Reply) -> int:
        """How many."""
        return count.read_count(reply)

    async def authorize(self, target: Target, wire: Wire) -> Wire:
        """Signed with the account's keys, with its API key, or with what this machine itself has."""
        held = parse_secret(target.api_key)
        if held is None:
            _check_is_of_aws(wire.url)
            held = await self._machine.of(_profile(target))
        return Wire(wire.url, _authorized(held, target, wire), wire.body, wire.is_encoded)


def _authorized(held: Keys | Bearer, target: Target, wire: Wire) -> Mapping[str, str]:
    if isinstance(held, Bearer):
        return {**wire.headers, "Authorization": f"Bearer {held.token}"}
    return signed_headers(held, region_of(target), wire.url, wire.headers, wire.body, time.time())


def _profile(target: Target) -> str:
    return str(target.options.get("profile") or "")


def _check_is_of_aws(url: str) -> None:
    if not is_of_aws(url):
        raise ConfigurationError(
            "a Bedrock account without credentials uses this machine's own, which go to AWS alone: give it credentials, or AWS's base URL"
        )
