"""What a provider adapter must do, and the values that pass between it and the rest.

An adapter turns a `Request` into one HTTP exchange and gives back an `Outcome`, or raises `ProviderError`.
It never retries, sleeps, decides on limits or touches a database.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from rateguard.engine.money import Usage


class Endpoint(enum.StrEnum):
    """What is asked of a provider."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes. A key and its base URL are one unit; `api_key` never appears in a repr."""

    provider: str
    base_url: str
    api_key: str = dataclasses.field(repr=False)
    upstream_model: str


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One call. `body` is the caller's request in OpenAI's shape; `attempt_id` travels as X-Client-Request-Id.

    connect_timeout_s, first_token_timeout_s and total_timeout_s are seconds. The second bounds, of a streamed call alone, the wait
    for the first chunk with content and each silence after it: an answer that comes whole is bounded by the total.
    """

    endpoint: Endpoint
    body: dict[str, Any]
    attempt_id: str
    connect_timeout_s: float = 5.0
    first_token_timeout_s: float = 120.0
    total_timeout_s: float = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed answer: `data` is the provider's event as OpenAI-shaped JSON bytes, `text` its visible text."""

    data: bytes
    text: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """A successful answer.

    body: the answer in OpenAI's shape, as JSON bytes, verbatim where the provider speaks it. usage: as billed.
    finish_reason: OpenAI's word. provider_request_id: for the provider's support.
    sent_at and answered_at: time.monotonic() when the request's body was handed to the socket and when the answer's headers came.
    processing_ms: how long the provider says it worked (openai-processing-ms), or None: answered_at minus it is the latest moment
    at which the provider can have counted the request.
    """

    body: bytes
    usage: Usage
    finish_reason: str
    provider_request_id: str
    sent_at: float
    answered_at: float
    processing_ms: int | None = None


OnSent = Callable[[float], None]
"""Called once with time.monotonic() right before the request is handed to the socket. It may raise NotSent: nothing is written then."""

OnChunk = Callable[[Chunk], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do and how it counts; declared, never probed."""

    streaming: bool = True
    embeddings: bool = True
    counts_output_at_admission: bool = True
    gives_back_unused: bool = False


class Provider(Protocol):
    """One provider's dialect. Stateless: the HTTP session is passed in by the registry."""

    name: str
    capabilities: Capabilities

    async def call(self, target: Target, request: Request, on_sent: OnSent | None = None) -> Outcome:
        """Make one call and wait for its whole answer. Raises ProviderError (NotSent where `on_sent` did)."""
        ...

    async def stream(self, target: Target, request: Request, on_chunk: OnChunk, on_sent: OnSent | None = None) -> Outcome:
        """Make one streamed call; hand each piece to `on_chunk`; the outcome's body is the answer put together. Raises as `call`."""
        ...
