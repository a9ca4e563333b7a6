"""A request on OpenAI's wire. The caller's body goes out as it is, but for the model's name, the quirks, and what a stream needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import InvalidRequest, together
from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.features import UNSUPPORTED
from rateguard.engine.providers.openai.quirks import OPENAI, Quirks

_MAX_TOKENS = ("max_completion_tokens", "max_tokens")
_OF_OTHERS = ("reasoning_content", "provider_fields")
"""What answers of other providers carry in a message, and what only they take back."""


def write(target: Target, request: Request, quirks: Quirks = OPENAI, *, is_streamed: bool) -> Wire:
    """The request at `base_url`."""
    url = target.base_url.rstrip("/") + quirks.paths[request.endpoint]
    return Wire(url, headers_for(target, request, quirks, is_streamed=is_streamed), write_body(target, request, quirks, is_streamed))


def write_body(target: Target, request: Request, quirks: Quirks, is_streamed: bool) -> bytes:
    """The body as the provider takes it."""
    body = {**request.body, "model": target.upstream_model}
    options = dict(body.pop("stream_options", None) or {})
    body.pop("stream", None)
    if request.endpoint is Endpoint.CHAT:
        _fit_chat(body, quirks)
    elif request.endpoint is Endpoint.RESPONSES:
        _fit_response(body)
    if is_streamed:
        body["stream"] = True
        options.pop("include_usage", None)
        if told := {**options, **_stream_options(request.endpoint, quirks)}:
            body["stream_options"] = told
    return orjson.dumps(body)


def headers_for(target: Target, request: Request, quirks: Quirks = OPENAI, *, is_streamed: bool = False) -> dict[str, str]:
    """Whose call it is, and under which id it can be found."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream" if is_streamed else "application/json",
        "User-Agent": "rateguard",
        "X-Client-Request-Id": request.attempt_id,
        **quirks.headers,
    }
    if target.api_key:
        headers[quirks.key_header] = quirks.key_prefix + target.api_key
    if is_streamed:
        headers["Accept-Encoding"] = "identity"
    return headers


def check_fields(provider: str, quirks: Quirks, request: Request) -> None:
    """Refuse fields that the provider does not take. Raises InvalidRequest (`unsupported_by_provider`) that names each."""
    body = request.body
    if request.endpoint is Endpoint.RESPONSES:
        if body.get("background"):
            message = "an answer in the background cannot be counted or waited for: leave `background` out, every job is one"
            raise InvalidRequest(message, code=UNSUPPORTED, pointer="/background")
        return
    refused = [name for name in quirks.refused if body.get(name) is not None]
    pointers = [f"/{name}" for name in sorted(refused)]
    if not quirks.passes_cache_control and request.endpoint is Endpoint.CHAT:
        pointers += _cache_marks(body)
    if pointers:
        raise together([InvalidRequest(f"{provider} has no {one.rpartition('/')[2]}", code=UNSUPPORTED, pointer=one) for one in pointers])


def _fit_chat(body: dict[str, Any], quirks: Quirks) -> None:
    told = [value for name in _MAX_TOKENS if (value := body.pop(name, None)) is not None]
    if told:
        body[quirks.max_tokens_field] = told[0]
    for ours, theirs in quirks.renamed.items():
        if ours in body:
            body[theirs] = body.pop(ours)
    messages = body.get("messages")
    if messages and any(isinstance(one, dict) and _is_foreign(one, quirks) for one in messages):
        body["messages"] = [_without_foreign(one, quirks) if isinstance(one, dict) else one for one in messages]
    body.update(quirks.extra)


def _is_foreign(message: Mapping[str, Any], quirks: Quirks) -> bool:
    return "provider_fields" in message or (not quirks.passes_reasoning and "reasoning_content" in message)


def _without_foreign(message: Mapping[str, Any], quirks: Quirks) -> dict[str, Any]:
    """A message of an earlier answer without what only its own provider takes back: thoughts and their signatures."""
    taken = {"provider_fields"} if quirks.passes_reasoning else set(_OF_OTHERS)
    return {name: value for name, value in message.items() if name not in taken}


def _fit_response(body: dict[str, Any]) -> None:
    """Responses has its own name for the most that a model may write."""
    told = [value for name in _MAX_TOKENS if (value := body.pop(name, None)) is not None]
    if told and body.get("max_output_tokens") is None:
        body["max_output_tokens"] = told[0]


def _stream_options(endpoint: Endpoint, quirks: Quirks) -> dict[str, bool]:
    options = {"include_usage": True} if quirks.asks_usage and endpoint is Endpoint.CHAT else {}
    return {**options, "include_obfuscation": False} if quirks.asks_no_padding else options


def _cache_marks(body: Mapping[str, Any]) -> list[str]:
    """Where a chat has Anthropic's `cache_control`."""
    found = [f"/tools/{number}/cache_control" for number, tool in enumerate(body.get("tools") or ()) if _is_marked(tool)]
    for number, message in enumerate(body.get("messages") or ()):
        content = message.get("content") if isinstance(message, Mapping) else None
        if isinstance(content, list):
            found += [f"/messages/{number}/content/{place}/cache_control" for place, part in enumerate(content) if _is_marked(part)]
    return found


def _is_marked(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("cache_control") is not None
