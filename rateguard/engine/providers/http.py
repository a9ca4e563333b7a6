"""One HTTP exchange with a provider, on aiohttp: when it was sent, what came back, and what a broken one means.

A broken exchange is a ProviderError of one of three kinds: CONNECT (nothing can have been billed), NETWORK and TIMEOUT (the request had
been sent). A request that `on_sent` refuses is never written: NotSent. Nothing of a request, neither its key nor its body, is ever in an
error.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import aiohttp
import aiohttp.abc
import aiohttp.payload
import yarl

from rateguard.engine.errors import ConfigurationError, ErrorKind, NotSent, ProviderError
from rateguard.engine.in_flight import InFlight
from rateguard.engine.providers.base import OnSent, Request, Wire

KEEPALIVE_S = 4.0
"""Idle connections are closed after this: sooner than servers do it (uvicorn 5 s), so that we rarely write into one that just closed."""

MOST_ANSWER_BYTES = 64 * 2**20
"""Of one answer, unpacked. A larger one is an error, not memory."""
MOST_UNCOUNTED_BYTES = 2**20
"""An answer that is no larger than this is read on however much is held already."""

STALE_WITHIN_S = 1.0
"""A reused connection that dies this soon after sending had been closed by the peer before the request reached it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. sent_at and answered_at are time.monotonic() when the body went to the socket and when the headers came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: float
    answered_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class OpenReply:
    """An answer whose body is still coming. `read` gives the rest in one piece, `pieces` as it comes; both raise ProviderError."""

    status: int
    headers: Mapping[str, str]
    sent_at: float
    answered_at: float
    _response: aiohttp.ClientResponse = dataclasses.field(repr=False)
    _request: Request = dataclasses.field(repr=False)
    _weight: _Weight = dataclasses.field(repr=False)

    async def read(self) -> bytes:
        """The whole rest of the body."""
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as the network brings it."""
        try:
            async for piece in self._response.content.iter_any():
                self._weight.add(len(piece))
                yield piece
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _broken_after_headers(error, self._request) from None


class _Weight:
    """What an answer has brought so far, counted among all that the process holds."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._bytes = 0

    def add(self, count: int) -> None:
        """So many more came. Raises ProviderError for an answer that is too large, in itself or beside all that is held."""
        self._bytes += count
        self._in_flight.add(count)
        is_crowded = self._in_flight.held > 2 * self._in_flight.most and self._bytes > MOST_UNCOUNTED_BYTES
        if self._bytes > MOST_ANSWER_BYTES or is_crowded:
            room = "a worker can hold beside all else: raise MAX_BYTES_IN_FLIGHT, or run more workers"
            most = room if is_crowded else f"{MOST_ANSWER_BYTES >> 20} MiB"
            raise ProviderError(f"the answer has more than {most}", kind=ErrorKind.ANSWER_TOO_LARGE, may_be_billed=True)

    def release(self) -> None:
        """It is read, or given up; who keeps it counts it."""
        self._in_flight.give_back(self._bytes)
        self._bytes = 0


class HttpClient:
    """One aiohttp session. Open it on the event loop that uses it, close it there; or use it as an async context manager.

    in_flight: counts what answers bring, beside what else the process holds.
    """

    def __init__(self, in_flight: InFlight | None = None) -> None:
        self._in_flight = in_flight or InFlight(MOST_ANSWER_BYTES)
        self._session: aiohttp.ClientSession | None = None
        self._used_connections: weakref.WeakSet[Any] = weakref.WeakSet()

    async def open(self) -> None:
        """Make the session; opening twice is harmless."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)  # bounded by the gate's slots, not here
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        """Close the session and its connections; closing twice is harmless."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def post(self, wire: Wire, request: Request, on_sent: OnSent | None = None) -> Reply:
        """Send a request and wait for the whole answer, whatever its status. Timeouts are the request's. Raises ProviderError."""
        async with self.exchange(wire, request, on_sent) as reply:
            return Reply(reply.status, reply.headers, await reply.read(), reply.sent_at, reply.answered_at)

    @contextlib.asynccontextmanager
    async def exchange(self, wire: Wire, request: Request, on_sent: OnSent | None = None) -> AsyncIterator[OpenReply]:
        """Send a request, wait for the answer's headers, leave its body to the caller. Raises ProviderError."""
        if self._session is None:
            raise RuntimeError("HttpClient is used before open() or after close()")
        payload = _Body(wire.body, on_sent, self._used_connections)
        url, timeout = _url(wire.url, wire.is_encoded), _timeout(request.connect_timeout_s, request.total_timeout_s)
        try:
            response = await self._session.post(url, data=payload, headers=wire.headers, timeout=timeout, allow_redirects=False)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise payload.refusal or _broken_before_headers(error, payload, request) from None
        answered_at = time.monotonic()
        weight = _Weight(self._in_flight)
        try:
            yield OpenReply(response.status, response.headers, payload.sent_at or answered_at, answered_at, response, request, weight)
        finally:
            weight.release()
            response.release()


class _Body(aiohttp.payload.Payload):
    """A request's bytes, which note the moment at which they go to the socket and whether that socket had been used before.

    A payload is written on an acquired connection, headers included: an exact hook at no cost, where aiohttp's tracing slows each call.
    """

    _value: bytes

    def __init__(self, value: bytes, on_sent: OnSent | None, used_connections: weakref.WeakSet[Any]) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self._on_sent = on_sent
        self._used_connections = used_connections
        self.sent_at: float | None = None
        self.refusal: NotSent | None = None
        self.is_reused_connection = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text; aiohttp asks for it in its own reports only."""
        return self._value.decode(encoding, errors)

    async def write(self, writer: aiohttp.abc.AbstractStreamWriter) -> None:
        """Write headers and body to the connection; nothing where `on_sent` refuses: the connection is closed then."""
        connection = getattr(writer, "protocol", None)
        if connection is not None:
            self.is_reused_connection = connection in self._used_connections
            self._used_connections.add(connection)
        now = time.monotonic()
        if self._on_sent is not None:
            try:
                self._on_sent(now)
            except NotSent as refusal:
                self.refusal = refusal
                raise
        self.sent_at = now
        await writer.write(self._value)


@functools.lru_cache(maxsize=256)
def _timeout(connect_s: float, total_s: float) -> aiohttp.ClientTimeout:
    # Silences are not bounded here: what keeps a connection busy is no chunk yet (see `patience`).
    return aiohttp.ClientTimeout(total=total_s, connect=connect_s, sock_connect=connect_s)


@functools.lru_cache(maxsize=256)
def _url(url: str, is_encoded: bool) -> yarl.URL:
    parsed = yarl.URL(url, encoded=is_encoded)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"a provider account's base URL must begin with http:// or https://, not {parsed.scheme!r}")
    return parsed


def _broken_before_headers(error: Exception, payload: _Body, request: Request) -> ProviderError:
    if payload.sent_at is None:
        shortest_s = min(request.connect_timeout_s, request.total_timeout_s)
        what = f"no connection within {shortest_s:g} s" if isinstance(error, TimeoutError) else "no connection"
        return ProviderError(f"{what}: {_describe(error)}", kind=ErrorKind.CONNECT)
    if isinstance(error, TimeoutError):
        return ProviderError(f"sent, but no answer within {request.total_timeout_s:g} s", kind=ErrorKind.TIMEOUT, may_be_billed=True)
    if _never_arrived(error, payload):
        return ProviderError(f"the connection was gone before the request arrived: {_describe(error)}", kind=ErrorKind.CONNECT)
    return ProviderError(
        f"the connection died while waiting for the answer: {_describe(error)}", kind=ErrorKind.NETWORK, may_be_billed=True
    )


def _never_arrived(error: Exception, payload: _Body) -> bool:
    """A body that could not be written whole was never read; a reused connection that dies at once had been closed before."""
    if "Can not write request body" in str(error):
        return True
    waited_s = time.monotonic() - (payload.sent_at or 0.0)
    return payload.is_reused_connection and waited_s < STALE_WITHIN_S


def _broken_after_headers(error: Exception, request: Request) -> ProviderError:
    if isinstance(error, asyncio.TimeoutError):
        return ProviderError(f"the answer was not whole within {request.total_timeout_s:g} s", kind=ErrorKind.TIMEOUT, may_be_billed=True)
    return ProviderError(f"the connection died within the answer: {_describe(error)}", kind=ErrorKind.NETWORK, may_be_billed=True)


def _describe(error: Exception) -> str:
    """The kind of an error and its system number: never its text, which may quote a request."""
    number = getattr(error, "errno", None) or getattr(getattr(error, "os_error", None), "errno", None)
    return f"{type(error).__name__}{f' (errno {number})' if number else ''}"
