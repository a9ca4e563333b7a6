"""Anthropic's Messages API: Claude models, at Anthropic or whoever speaks like it."""

from __future__ import annotations

from collections.abc import Mapping

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.anthropic import count, models
from rateguard.engine.providers.anthropic.answer import read
from rateguard.engine.providers.anthropic.check import check
from rateguard.engine.providers.anthropic.errors import error_from_reply
from rateguard.engine.providers.anthropic.limits import readings
from rateguard.engine.providers.anthropic.request import key_headers, url_of, write
from rateguard.engine.providers.anthropic.stream import reader
from rateguard.engine.providers.base import Answer, Request, Target, Wire
from rateguard.engine.providers.capabilities import Capabilities
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.probe import Probe, names_in_data
from rateguard.engine.providers.provider import Provider, Reader
from rateguard.engine.readings import Reading


class AnthropicProvider(Provider):
    """Messages, whole and streamed.

    Options of an account or a deployment: `api_version`, `beta` (a list), `auth` ("x-api-key" or "bearer"), `capabilities`, `thinking`.
    Admission, by Anthropic's page on rate limits: max_tokens does not count, output counts as it is produced,
    what is read from the cache does not count (but for Haiku 3.5, which is retired), and an estimate is corrected.
    """

    name = "anthropic"
    capabilities = models.capabilities_of(Target("anthropic", "", "", ""))
    admission = ADMISSIONS["anthropic"]

    def capabilities_of(self, target: Target) -> Capabilities:
        """By the model's family: see models.py."""
        return models.capabilities_of(target)

    def check(self, target: Target, request: Request) -> None:
        """Refuse what the model cannot do."""
        check(self.name, target, request)

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """The chat as a message: see request.py."""
        return write(target, request, is_streamed=is_streamed)

    def read(self, target: Target, request: Request, reply: Reply) -> Answer:
        """The message as a chat completion."""
        return read(reply, target.api_key)

    def reader(self, target: Target, request: Request, headers: Mapping[str, str]) -> Reader:
        """Reads events; refuses a whole body where a stream was asked for."""
        return reader(request, headers, target.api_key)

    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """By its code, its message, its type, its status: see errors.py."""
        return error_from_reply(status, headers, body, target.api_key)

    def readings(self, target: Target, headers: Mapping[str, str]) -> tuple[Reading, ...]:
        """`anthropic-ratelimit-…`."""
        return readings(headers)

    def request_id(self, headers: Mapping[str, str]) -> str:
        """`request-id`."""
        return headers.get("request-id", "")

    def probe(self, target: Target) -> Probe | None:
        """Its models (at most 1,000): free of charge, with a limit of its own."""
        return Probe(f"{url_of(target)}/v1/models?limit=1000", key_headers(target), names_in_data)

    # ---- exact counts

    def write_count(self, target: Target, request: Request) -> Wire:
        """The question how many tokens a chat's input has."""
        return count.write_count(target, request)

    def read_count(self, target: Target, reply: Reply) -> int:
        """How many."""
        return count.read_count(reply)
