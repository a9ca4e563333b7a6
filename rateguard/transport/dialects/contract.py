"""What a dialect of official clients must say: what is asked, who understands it, how it is sent on, and how a refusal is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.base import Endpoint, Target, Wire
from rateguard.engine.providers.provider import Provider
from rateguard.transport.refusals import Refusal


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A client's request.

    raw: its body's bytes; native: the same, parsed, in the client's dialect; view: in OpenAI's shape, by which it is counted, checked and
    shown to middlewares (the same object where that is the dialect). model: the public name. max_output_tokens: over all choices; None:
    it does not say.
    """

    endpoint: Endpoint
    model: str
    is_streamed: bool
    raw: bytes = dataclasses.field(repr=False)
    native: dict[str, Any] = dataclasses.field(repr=False)
    view: dict[str, Any] = dataclasses.field(repr=False)
    max_output_tokens: int | None
    has_changed: bool = False
    """Whether a middleware made another request of it, so that `raw` is no longer what is asked."""


class Dialect(Protocol):
    """One way of speaking. All of it is pure."""

    @property
    def name(self) -> str:
        """In messages to people."""
        ...

    @property
    def hides(self) -> frozenset[str]:
        """Headers of the client that are never sent on, in small letters: its key, and what names its account."""
        ...

    @property
    def keeps_query(self) -> bool:
        """Whether what stands behind the `?` of the client's address is part of what it asks."""
        ...

    def asked(self, method: str, path: str, body: bytes) -> Asked:
        """What a request asks. Raises InvalidRequest (`not_served`) for an address that does not go through the gate."""
        ...

    def changed(self, asked: Asked, view: dict[str, Any]) -> Asked:
        """The request as middlewares changed its view. Raises MiddlewareBroke for a change that this dialect has no place for."""
        ...

    def speaks(self, provider: Provider) -> bool:
        """Whether a provider understands it as it is."""
        ...

    def write(self, asked: Asked, target: Target, provider: Provider, attempt_id: str, max_tokens: int | None) -> Wire:
        """The request at a deployment: its address, its credentials, its model. max_tokens: put in where the caller said none."""
        ...

    def hides_usage(self, asked: Asked) -> bool:
        """Whether a stream tells a usage that the caller did not ask for, and would stumble over."""
        ...

    def refused(self, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of an answer that the client raises as an error of its own."""
        ...


def not_served(method: str, path: str, served: str) -> InvalidRequest:
    """The refusal of an address that nobody could charge."""
    what = f"{method} {path}"[:200]
    return InvalidRequest(
        f"{what} does not go through rateguard: this client serves {served}; for anything else use a client without its http_client",
        code="not_served",
    )


def whole_or_none(value: Any) -> int | None:
    """A number of tokens; None where none is said. What is no such number the checks refuse."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
