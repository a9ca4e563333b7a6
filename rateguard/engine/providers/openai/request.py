"""A request on OpenAI's wire. The caller's body goes out as it is, but for the model's name and what a stream needs."""

from __future__ import annotations

import orjson

from rateguard.engine.providers.base import Endpoint, Request, Target, Wire

PATHS = {Endpoint.CHAT: "/chat/completions", Endpoint.EMBEDDINGS: "/embeddings"}


def write(target: Target, request: Request, *, is_streamed: bool) -> Wire:
    """The request as OpenAI takes it."""
    body = {**request.body, "model": target.upstream_model}
    options = body.pop("stream_options", None) or {}
    body.pop("stream", None)
    headers = headers_for(target, request)
    if is_streamed:
        body |= {"stream": True, "stream_options": {**options, "include_usage": True}}
        headers |= {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    return Wire(target.base_url.rstrip("/") + PATHS[request.endpoint], headers, orjson.dumps(body))


def headers_for(target: Target, request: Request) -> dict[str, str]:
    """Whose call it is, and under which id it can be found."""
    return {
        "Authorization": f"Bearer {target.api_key}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "rateguard",
        "X-Client-Request-Id": request.attempt_id,
    }


def wants_usage(request: Request) -> bool:
    """Whether the caller asked for a stream's usage chunk."""
    return bool((request.body.get("stream_options") or {}).get("include_usage"))
