"""boto3's client of Bedrock's runtime: Converse and ConverseStream."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from rateguard.engine.providers.base import Endpoint, Target, Wire
from rateguard.engine.providers.bedrock.adapter import BedrockProvider
from rateguard.engine.providers.bedrock.endpoint import url_of
from rateguard.engine.providers.bedrock.request import ATTEMPT, MOST_LABELS, by_options
from rateguard.engine.providers.provider import Provider
from rateguard.transport.dialects.bedrock_view import view_of
from rateguard.transport.dialects.contract import Asked, not_served, whole_or_none
from rateguard.transport.dialects.openai import model_in, parsed
from rateguard.transport.dialects.texts import put_back
from rateguard.transport.refusals import Refusal
from rateguard.transport.splice import with_members

_ADDRESS = re.compile(r"/model/(?P<model>[^/]+)/(?P<operation>converse|converse-stream)\Z")
_NAMES = {
    400: "ValidationException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    409: "ConflictException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
"""Of Bedrock's errors by status; every other is InternalServerException."""


class BedrockDialect:
    """The body goes on byte by byte: the model stands in the address. What the deployment's options add, such as a guardrail, is added."""

    name = "Bedrock's Converse"
    hides = frozenset[str]()
    keeps_query = False

    def asked(self, method: str, path: str, body: bytes) -> Asked:
        """By the address, which holds the model's name percent-encoded."""
        found = _ADDRESS.search(path) if method == "POST" else None
        if found is None:
            raise not_served(method, path, "Converse and ConverseStream")
        native, model = parsed(body), unquote(found["model"])
        length = whole_or_none((native.get("inferenceConfig") or {}).get("maxTokens"))
        return Asked(Endpoint.CHAT, model, found["operation"] == "converse-stream", body, native, view_of(native, model), length)

    def changed(self, asked: Asked, view: dict[str, Any]) -> Asked:
        """Texts go back to their places, and the model may be another."""
        model = model_in(view)
        native = put_back(asked.native, asked.view, {**view, "model": asked.model})
        return dataclasses.replace(asked, native=native, view=view, model=model, has_changed=True)

    def speaks(self, provider: Provider) -> bool:
        """Bedrock alone."""
        return isinstance(provider, BedrockProvider)

    def write(self, asked: Asked, target: Target, provider: Provider, attempt_id: str, max_tokens: int | None) -> Wire:
        """At the deployment, not signed yet. What the caller says itself wins over the deployment's options."""
        members = {name: value for name, value in by_options(target.options).items() if name not in asked.native}
        if max_tokens is not None:
            members["inferenceConfig"] = {**(asked.native.get("inferenceConfig") or {}), "maxTokens": max_tokens}
        labels = asked.native.get("requestMetadata") or {}
        if len(labels) < MOST_LABELS:
            members["requestMetadata"] = {ATTEMPT: attempt_id, **labels}
        raw = orjson.dumps(asked.native) if asked.has_changed else asked.raw
        body = with_members(raw, {name: orjson.dumps(value) for name, value in members.items()})
        headers = {"Content-Type": "application/json"}
        return Wire(url_of(target, "converse-stream" if asked.is_streamed else "converse"), headers, body, is_encoded=True)

    def hides_usage(self, asked: Asked) -> bool:
        """Every stream ends with it."""
        return False

    def refused(self, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        """boto3 raises it as a ClientError of this name."""
        name = _NAMES.get(refusal.status, "InternalServerException")
        return {**refusal.headers(), "x-amzn-errortype": name}, orjson.dumps({"message": refusal.message})
