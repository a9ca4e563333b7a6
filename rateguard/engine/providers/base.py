"""The values that pass between a provider's adapter and the rest. What an adapter must do stands in provider.py."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rateguard.engine.money import Usage
from rateguard.engine.readings import Reading


class Endpoint(enum.StrEnum):
    """What is asked of a provider. CHAT and EMBEDDINGS are in OpenAI's shape at every provider; RESPONSES goes only where it is spoken."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes. A key and its base URL are one unit; `api_key` never appears in a repr.

    api_key: the account's secret as it was typed: a key, or what the provider's folder says (Bedrock: AWS keys, Vertex: a service account).
    region: the deployment's, "" where its provider has none. options: the account's, and over them the deployment's: words of the
    provider's folder, such as `api_version`.
    """

    provider: str
    base_url: str
    api_key: str = dataclasses.field(repr=False)
    upstream_model: str
    region: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def base_model(self) -> str:
        """Which model it is, for its price and how its text is counted: the option of this name where `upstream_model` does not say it."""
        return str(self.options.get("base_model") or self.upstream_model)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One call. `body` is the caller's request in OpenAI's shape; `attempt_id` travels as X-Client-Request-Id where a provider has it.

    connect_timeout_s, first_token_timeout_s and total_timeout_s are seconds. The second bounds, of a streamed call alone, the wait
    for the first chunk with content and each silence after it: an answer that comes whole is bounded by the total.
    """

    endpoint: Endpoint
    body: dict[str, Any]
    attempt_id: str
    connect_timeout_s: float = 5.0
    first_token_timeout_s: float = 120.0
    total_timeout_s: float = 600.0

    @property
    def wants_usage(self) -> bool:
        """Whether the caller asked for a stream's usage chunk."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))


@dataclasses.dataclass(frozen=True, slots=True)
class Wire:
    """A request as it goes out. url: whole; is_encoded: its path is percent-encoded already and signed so, leave it as it is."""

    url: str
    headers: Mapping[str, str] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)
    is_encoded: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed answer: `data` is a `chat.completion.chunk` (or an event of Responses), JSON bytes; `text` its visible text.

    has_content: it carries a piece of the answer or its end; a first one that only says who speaks ends no silence.
    """

    data: bytes
    text: str = ""
    has_content: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says, in our words.

    body: in OpenAI's shape, JSON bytes, verbatim where the provider speaks it. usage: as billed, None where the provider tells none: then
    `text`, all that the model wrote, is counted. finish_reason: OpenAI's word.
    """

    body: bytes
    usage: Usage | None
    finish_reason: str
    text: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """A successful answer.

    body: the answer in OpenAI's shape, as JSON bytes, verbatim where the provider speaks it. usage: as billed.
    finish_reason: OpenAI's word. provider_request_id: for the provider's support.
    sent_at and answered_at: time.monotonic() when the request's body was handed to the socket and when the answer's headers came.
    processing_ms: how long the provider says it worked (openai-processing-ms), or None: answered_at minus it is the latest moment
    at which the provider can have counted the request. readings: what its headers say of the provider's limits.
    """

    body: bytes
    usage: Usage
    finish_reason: str
    provider_request_id: str
    sent_at: float
    answered_at: float
    processing_ms: int | None = None
    readings: tuple[Reading, ...] = ()


class StreamStopped(asyncio.CancelledError):
    """The task that read a stream was cancelled. usage: what had come by then, counted by us where the provider had not told."""

    def __init__(self, usage: Usage) -> None:
        super().__init__("stopped in the middle of a stream")
        self.usage = usage


OnSent = Callable[[float], None]
"""Called once with time.monotonic() right before the request is handed to the socket. It may raise NotSent: nothing is written then."""

OnChunk = Callable[[Chunk], Awaitable[None]]
