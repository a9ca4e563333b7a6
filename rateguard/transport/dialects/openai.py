"""OpenAI's client: chat completions, Responses and embeddings, at OpenAI, at Azure, at whoever speaks OpenAI's dialect."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.compatible.adapter import CompatibleProvider
from rateguard.engine.providers.openai.adapter import OpenAIProvider
from rateguard.engine.providers.provider import Provider
from rateguard.transport.dialects.contract import Asked, not_served, whole_or_none
from rateguard.transport.refusals import ERROR_TYPES, Refusal, param_of
from rateguard.transport.splice import with_members

_ENDPOINTS = {"/chat/completions": Endpoint.CHAT, "/responses": Endpoint.RESPONSES, "/embeddings": Endpoint.EMBEDDINGS}


class OpenAIDialect:
    """The body goes on byte by byte, but for `model`, a missing length, and the usage of a stream."""

    name = "OpenAI's dialect"
    hides = frozenset({"authorization", "api-key", "openai-organization", "openai-project"})
    keeps_query = False  # Azure's version is the account's

    def asked(self, method: str, path: str, body: bytes) -> Asked:
        """By the end of the path: Azure's client has the deployment before it."""
        endpoint = next((found for end, found in _ENDPOINTS.items() if path.endswith(end)), None) if method == "POST" else None
        if endpoint is None:
            raise not_served(method, path, "chat completions, responses and embeddings")
        native = parsed(body)
        is_streamed = native.get("stream") is True and endpoint is not Endpoint.EMBEDDINGS
        return Asked(endpoint, model_in(native), is_streamed, body, native, native, _length(native, endpoint))

    def changed(self, asked: Asked, view: dict[str, Any]) -> Asked:
        """A middleware may make any request of it."""
        is_streamed = view.get("stream") is True and asked.endpoint is not Endpoint.EMBEDDINGS
        length = _length(view, asked.endpoint)
        return dataclasses.replace(
            asked, native=view, view=view, model=model_in(view), is_streamed=is_streamed, max_output_tokens=length, has_changed=True
        )

    def speaks(self, provider: Provider) -> bool:
        """OpenAI, Azure, the presets, the simulated provider, and a provider of one's own built on them."""
        return isinstance(provider, OpenAIProvider)

    def write(self, asked: Asked, target: Target, provider: Provider, attempt_id: str, max_tokens: int | None) -> Wire:
        """A preset's quirks are its own words for the same: there the adapter writes the body."""
        if not isinstance(provider, OpenAIProvider):
            raise TypeError(f"{provider.name} does not speak OpenAI's dialect")
        length = {} if max_tokens is None else {_length_name(asked.endpoint, provider): max_tokens}
        if isinstance(provider, CompatibleProvider):
            return provider.write(target, Request(asked.endpoint, {**asked.native, **length}, attempt_id), is_streamed=asked.is_streamed)
        frame = provider.write(target, Request(asked.endpoint, {}, attempt_id), is_streamed=asked.is_streamed)
        members: dict[str, Any] = {"model": target.upstream_model, **length}
        if self.hides_usage(asked):
            members["stream_options"] = {**(asked.native.get("stream_options") or {}), "include_usage": True}
        raw = orjson.dumps(asked.native) if asked.has_changed else asked.raw
        return dataclasses.replace(frame, body=with_members(raw, {name: orjson.dumps(value) for name, value in members.items()}))

    def hides_usage(self, asked: Asked) -> bool:
        """A chat's usage comes in a chunk without choices, which code that did not ask for it takes for a choice."""
        options = asked.native.get("stream_options") or {}
        return asked.is_streamed and asked.endpoint is Endpoint.CHAT and not options.get("include_usage")

    def refused(self, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        """`{"error": {message, type, param, code}}`."""
        error = {
            "message": refusal.message,
            "type": ERROR_TYPES.get(refusal.status, "server_error"),
            "param": param_of(refusal),
            "code": refusal.code,
        }
        return refusal.headers(), orjson.dumps({"error": error})


def parsed(body: bytes) -> dict[str, Any]:
    """The object that a body holds. Raises InvalidRequest."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequest("the body is not JSON", code="invalid_request") from None
    if not isinstance(found, dict):
        raise InvalidRequest("the body is not an object of JSON", code="invalid_request")
    return found


def model_in(body: Mapping[str, Any]) -> str:
    """The public name that a body asks for. Raises InvalidRequest."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model is the name of one of rateguard's models", code="missing_field", pointer="/model")
    return model


def _length(body: Mapping[str, Any], endpoint: Endpoint) -> int | None:
    """The most output tokens, over all choices."""
    if endpoint is Endpoint.EMBEDDINGS:
        return 0
    if endpoint is Endpoint.RESPONSES:
        return whole_or_none(body.get("max_output_tokens"))
    told = whole_or_none(body.get("max_completion_tokens") or body.get("max_tokens"))
    return None if told is None else told * (whole_or_none(body.get("n")) or 1)


def _length_name(endpoint: Endpoint, provider: OpenAIProvider) -> str:
    return "max_output_tokens" if endpoint is Endpoint.RESPONSES else provider.quirks.max_tokens_field
