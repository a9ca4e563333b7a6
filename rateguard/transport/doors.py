"""What both kinds of httpx clients have in common: which dialect a request is in, how it leaves, how an answer is told on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.base import Wire
from rateguard.transport.attempt import Attempt
from rateguard.transport.dialects.anthropic import AnthropicDialect
from rateguard.transport.dialects.contract import Dialect
from rateguard.transport.dialects.openai import OpenAIDialect
from rateguard.transport.headers import incoming, outgoing
from rateguard.transport.refusals import refusal_of

OPENAI: Dialect = OpenAIDialect()
ANTHROPIC: Dialect = AnthropicDialect()
_SENDING = "send_request_headers.started"
"""How httpcore calls the moment at which a request goes to its socket."""


def dialect_of(path: str, headers: Mapping[str, str]) -> Dialect:
    """Every request of Anthropic's client names a version."""
    return ANTHROPIC if "anthropic-version" in headers or path.endswith("/v1/messages") else OPENAI


def refused(module: Any, dialect: Dialect, error: Exception) -> Any:
    """The answer to a call that is not made, or whose answer is not given."""
    refusal = refusal_of(error)
    headers, body = dialect.refused(refusal)
    return module.Response(refusal.status, headers=dict(headers), content=body)


def leaving(module: Any, request: Any, wire: Wire, attempt: Attempt, *, is_async: bool) -> Any:
    """The request as it leaves, which notes the moment; a trace of the caller's own goes on being told."""
    told = request.extensions.get("trace")

    def trace(event: str, info: dict[str, Any]) -> Any:
        if event.endswith(_SENDING):
            attempt.leaves()
        return None if told is None else told(event, info)

    async def async_trace(event: str, info: dict[str, Any]) -> None:
        if event.endswith(_SENDING):
            attempt.leaves()
        if told is not None:
            await told(event, info)

    dialect, query = attempt.prepared.dialect, request.url.query.decode("ascii")
    url = f"{wire.url}?{query}" if query and dialect.keeps_query else wire.url
    headers = outgoing(request.headers, wire, dialect.hides)
    extensions = {**request.extensions, "trace": async_trace if is_async else trace}
    return module.Request("POST", url, headers=headers, content=wire.body, extensions=extensions)


def passed_on(module: Any, response: Any, attempt: Attempt, content: Any, nano_usd: int | None = None) -> Any:
    """The answer as the caller gets it. content: a whole body, or a stream."""
    headers = incoming(response.status_code, response.headers, attempt.headers(nano_usd))
    extensions = {name: response.extensions[name] for name in ("http_version", "reason_phrase") if name in response.extensions}
    body = {"content": content} if isinstance(content, bytes) else {"stream": content}
    return module.Response(response.status_code, headers=headers, extensions=extensions, **body)


def is_stream(attempt: Attempt, response: Any) -> bool:
    """Whether the answer comes piece by piece."""
    return attempt.prepared.asked.is_streamed and is_answer(response)


def is_answer(response: Any) -> bool:
    """Whether the provider answered, rather than refused."""
    status: int = response.status_code
    return 200 <= status < 300


def wrong_thread() -> InvalidRequest:
    """A client that blocks, in a thread whose event loop must go on."""
    return InvalidRequest(
        "this client waits, and its thread runs an event loop: use the asynchronous client with async_http_client, or call this one in a "
        "thread (asyncio.to_thread)",
        code="wrong_client",
    )


def wrong_loop() -> InvalidRequest:
    """An asynchronous client on another library's loop."""
    return InvalidRequest("the asynchronous client runs on asyncio alone: use http_client in a thread", code="wrong_client")
