"""Claude at Vertex AI: Anthropic's messages under Google Cloud's addresses. Model and publisher stand in the path, the version in the body.

Source: anthropic 2.12. The version `vertex-2023-10-16` (option `anthropic_version`) is not verified; the SDK sends 2026-10-21, which takes
no sampling parameters. Errors come in Anthropic's shape from the model and in Google's from what stands before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import orjson

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers.anthropic import answer, count, errors, stream
from rateguard.engine.providers.anthropic.check import check as check_claude
from rateguard.engine.providers.anthropic.models import capabilities_of
from rateguard.engine.providers.anthropic.request import write_body, write_counted
from rateguard.engine.providers.base import Answer, Request, Target, Wire
from rateguard.engine.providers.capabilities import Capabilities
from rateguard.engine.providers.gemini.request import wire_of
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.provider import Reader
from rateguard.engine.providers.vertex import limits
from rateguard.engine.providers.vertex.addresses import address_of
from rateguard.engine.providers.vertex.request import headers_for

VERSION = "vertex-2023-10-16"
_PUBLISHER, _API = "anthropic", "v1"


def is_claude(target: Target) -> bool:
    """Whether the deployment's model is Anthropic's."""
    return limits.is_claude(target.upstream_model)


def capabilities(target: Target) -> Capabilities:
    """What the model can do."""
    return capabilities_of(_ours(target))


def check(name: str, target: Target, request: Request) -> None:
    """Refuse what it cannot do. Raises InvalidRequest."""
    check_claude(name, _ours(target), request)


def write(target: Target, request: Request, *, is_streamed: bool) -> Wire:
    """By rawPredict or streamRawPredict. Raises InvalidRequest."""
    body = {"anthropic_version": _version(target), **write_body(_ours(target), request, is_streamed=is_streamed)}
    what = "streamRawPredict" if is_streamed else "rawPredict"
    url = address_of(target, what, publisher=_PUBLISHER, version=_API)
    return wire_of(url, _headers(target), body, is_streamed=is_streamed)


def write_count(target: Target, request: Request) -> Wire:
    """The question how many tokens a chat's input has: of a model of its own, `count-tokens`."""
    counter = dataclasses.replace(target, upstream_model="count-tokens")
    url = address_of(counter, "rawPredict", publisher=_PUBLISHER, version=_API)
    body = {"anthropic_version": _version(target), **write_counted(_ours(target), request)}
    return Wire(url, _headers(target), orjson.dumps({**body, "model": target.upstream_model.rpartition("/")[2]}))


def read_count(reply: Reply) -> int:
    """How many. Raises ProviderError."""
    return count.read_count(reply)


def read(reply: Reply) -> Answer:
    """A whole message."""
    return answer.read(reply, "")


def reader(request: Request, headers: Mapping[str, str]) -> Reader:
    """A streamed one."""
    return stream.reader(request, headers, "")


def error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError | None:
    """What Anthropic's own error means; None for one of Google's."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    is_anthropics = isinstance(told, Mapping) and told.get("type") == "error"
    return errors.error_from_reply(status, headers, body, "") if is_anthropics else None


def _ours(target: Target) -> Target:
    """The target as Anthropic's room reads it: there `api_version` is the version of the messages."""
    return dataclasses.replace(target, options={**target.options, "api_version": _version(target)})


def _version(target: Target) -> str:
    return str(target.options.get("anthropic_version") or VERSION)


def _headers(target: Target) -> dict[str, str]:
    headers = headers_for(target)
    if beta := target.options.get("beta"):
        headers["anthropic-beta"] = beta if isinstance(beta, str) else ",".join(map(str, beta))
    return headers
