"""One request on the wire: reading it, answering it, streaming, and breaking the connection."""

from __future__ import annotations

import asyncio
import email.utils
import functools
import itertools
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rateguard.engine.providers.sim.voices.asked import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TRANSPORT = "transport"
"""Where the server puts the connection into the scope's state: ASGI itself has no way to reset one."""

Identity = Callable[[str, int, bytes], Headers]
"""The headers that every answer of a dialect has, from the request's id, the time that it took in ms, and the date."""

_KEY_HEADERS = frozenset({b"x-api-key", b"api-key", b"x-goog-api-key"})
ARRIVED_MS = "arrived_ms"
"""Likewise when the request was here whole, by `now_ms`: a provider counts at its edge, however long its own queue is."""

_EPOCH_OFFSET_MS = time.time() * 1_000 - time.monotonic() * 1_000
"""Set once: a machine whose clock is moved does not move the provider's."""
_RESET_AT_ONCE = struct.pack("ii", 1, 0)
_run = os.urandom(6).hex()
_numbers = itertools.count(1)


@functools.lru_cache(maxsize=2)
def _http_date(second: int) -> bytes:
    """Exact to the second, unlike the server's own, which lags: a Retry-After date is read against it."""
    return email.utils.formatdate(second, usegmt=True).encode()


def _key(authorization: str) -> str:
    """The account's key: a bearer token, or the id of the AWS key that signed. Signatures are not checked.

    >>> _key("Bearer sk-1"), _key("AWS4-HMAC-SHA256 Credential=AKIA1/20261121/us-east-1/bedrock/aws4_request, SignedHeaders=host")
    ('sk-1', 'AKIA1')
    """
    if authorization.startswith("AWS4-HMAC-SHA256"):
        return authorization.partition("Credential=")[2].partition("/")[0]
    return authorization.removeprefix("Bearer ")


def now_ms() -> float:
    """Epoch milliseconds that never jump: the monotonic clock, set to the wall clock once at the start."""
    return time.monotonic() * 1_000 + _EPOCH_OFFSET_MS


def monotonic_s(at_ms: float) -> float:
    """A moment of `now_ms` on the machine's monotonic clock, which all its processes share."""
    return (at_ms - _EPOCH_OFFSET_MS) / 1_000


class Exchange:
    """A request and its answer. `counted_ms` is the moment at which the provider counted it; processing time is told from there.

    is_logged: the journal knows of it. fault: the kind of the scripted fault that it met, "" for none.
    is_there: the caller had not left when the last piece went out. identity: of the dialect that is spoken.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.key = ""
        self.attempt_id = ""
        self.number = f"{_run}{next(_numbers):010x}"
        self.request_id = f"req_{self.number}"
        self.counted_ms = now_ms()
        self.has_answered = False
        self.is_logged = False
        self.fault = ""
        self.is_there = False
        self._receive = receive
        self._send = send
        self._connection: MutableMapping[str, Any] = scope["state"]
        self._transport: asyncio.Transport = self._connection[TRANSPORT]
        self.identity: Identity | None = None
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        for name, value in self._headers:
            if name == b"authorization":
                self.key = _key(value.decode("latin-1"))
            elif name == b"x-client-request-id":
                self.attempt_id = value.decode("latin-1")
            elif name in _KEY_HEADERS:
                self.key = value.decode("latin-1")

    def header(self, name: bytes) -> str:
        """One header, its name in lower case; "" where it is missing."""
        return next((value.decode("latin-1") for other, value in self._headers if other == name), "")

    @property
    def is_gone(self) -> bool:
        """Whether the caller has left."""
        return self._transport.is_closing()

    def count(self) -> None:
        """The provider counts the request as of the moment at which it was here whole."""
        self.counted_ms = self._connection[ARRIVED_MS]

    async def read_body(self) -> bytes:
        """The whole body."""
        message = await self._receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
            message = await self._receive()
            body += message.get("body", b"")
        return body

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and the headers that every answer has."""
        self.has_answered = True
        self.is_there = not self.is_gone
        processing_ms = int(now_ms() - self.counted_ms)
        date = _http_date(int(time.time()))
        common = self.identity(self.request_id, processing_ms, date) if self.identity else [(b"date", date)]
        await self._send({"type": "http.response.start", "status": status, "headers": common + headers})

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer."""
        await self.start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self._send({"type": "http.response.body", "body": body})

    async def write(self, piece: bytes) -> None:
        """Send one piece of a stream."""
        self.is_there = not self.is_gone
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """End a stream properly."""
        await self._send({"type": "http.response.body", "body": b""})

    async def reset(self) -> None:
        """Break the connection with a TCP reset, and wait until it is gone."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
        self._transport.abort()
        while (await self._receive())["type"] != "http.disconnect":
            pass
