"""Anthropic's client: messages, whole and streamed, at Anthropic or whoever speaks like it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.anthropic.adapter import AnthropicProvider
from rateguard.engine.providers.anthropic.request import PATH, headers_for, url_of
from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.provider import Provider
from rateguard.transport.dialects.anthropic_view import view_of
from rateguard.transport.dialects.contract import Asked, not_served, whole_or_none
from rateguard.transport.dialects.openai import model_in, parsed
from rateguard.transport.dialects.texts import put_back
from rateguard.transport.refusals import Refusal
from rateguard.transport.splice import with_members

_TYPES = {
    400: "invalid_request_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


class AnthropicDialect:
    """The body goes on byte by byte, but for `model`, in the version of the API and with the betas that the client names."""

    name = "Anthropic's dialect"
    hides = frozenset({"authorization", "x-api-key"})
    keeps_query = True  # beta=true

    def asked(self, method: str, path: str, body: bytes) -> Asked:
        """Messages alone: batches and counts of tokens have no charge that a gate could know."""
        if method != "POST" or not path.endswith(PATH):
            raise not_served(method, path, "messages")
        native = parsed(body)
        model, length = model_in(native), whole_or_none(native.get("max_tokens"))
        return Asked(Endpoint.CHAT, model, native.get("stream") is True, body, native, view_of(native), length)

    def changed(self, asked: Asked, view: dict[str, Any]) -> Asked:
        """Texts go back to their places, and the model may be another."""
        model = model_in(view)
        native = put_back(asked.native, asked.view, {**view, "model": asked.model})
        return dataclasses.replace(asked, native=native, view=view, model=model, has_changed=True)

    def speaks(self, provider: Provider) -> bool:
        """Claude at Bedrock and Vertex is asked in other words."""
        return isinstance(provider, AnthropicProvider)

    def write(self, asked: Asked, target: Target, provider: Provider, attempt_id: str, max_tokens: int | None) -> Wire:
        """The client's own betas and version win over the account's."""
        headers = headers_for(target, Request(Endpoint.CHAT, {}, attempt_id))
        members: dict[str, Any] = {"model": target.upstream_model}
        if max_tokens is not None:
            members["max_tokens"] = max_tokens
        raw = orjson.dumps(asked.native) if asked.has_changed else asked.raw
        return Wire(url_of(target) + PATH, headers, with_members(raw, {name: orjson.dumps(value) for name, value in members.items()}))

    def hides_usage(self, asked: Asked) -> bool:
        """Anthropic's streams always tell theirs."""
        return False

    def refused(self, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        """`{"type": "error", "error": {type, message, details}}`."""
        error = {
            "type": _TYPES.get(refusal.status, "api_error"),
            "message": refusal.message,
            "details": {"error_code": refusal.code, "pointer": refusal.pointer},
        }
        return refusal.headers(), orjson.dumps({"type": "error", "error": error})
