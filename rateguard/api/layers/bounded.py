"""Bodies that are too large are refused while they come, in front of Django, which would first write all of them to disk.

    application = bounded(get_asgi_application())

What comes beyond the bound is read and dropped, so that the caller hears the answer; who sends very much more is cut off. A batch has a
bound of its own, BATCH_BYTES, and who reads it bounds what it unpacks to.
"""

from __future__ import annotations

import uuid

import orjson

from rateguard.api.layers.asgi import Application, Message, Receive, Scope, Send
from rateguard.api.problems import PROBLEM_TYPE, Problem
from rateguard.api.reading import MOST_BODY_BYTES
from rateguard.conf import conf

PREFIX = "/api/"
BATCHES = "/api/v1/batches"
MOST_DROPPED = 8 * MOST_BODY_BYTES


def bounded(application: Application) -> Application:
    """An application that is never handed more than MOST_BODY_BYTES of one body under /api, of a batch BATCH_BYTES."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await application(scope, receive, send)
            return
        most = conf().batch_bytes if scope["path"] == BATCHES else MOST_BODY_BYTES
        body = _Body(receive, most)
        if _length_of(scope) > max(most, MOST_DROPPED):
            body.is_too_large = True
        else:
            await application(scope, body.receive, send)
        if body.is_too_large:
            await _refuse(send, most, is_cut=not body.has_ended)

    return call


class _Body:
    """A body on its way. Too large, the application is told that the caller left, and answers nothing."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._bytes = 0
        self.is_too_large = False
        self.has_ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._count(message)
        if not self.is_too_large:
            return message
        while not self.has_ended and self._bytes <= max(self._most, MOST_DROPPED):
            self._count(await self._receive())
        return {"type": "http.disconnect"}

    def _count(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self.has_ended = True
            return
        self._bytes += len(message.get("body", b""))
        self.is_too_large = self.is_too_large or self._bytes > self._most
        self.has_ended = self.has_ended or not message.get("more_body", False)


def _length_of(scope: Scope) -> int:
    """What the caller says that it sends; 0 where it says nothing."""
    text = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(text) if text.isdigit() and len(text) < 20 else 0


async def _refuse(send: Send, most: int, *, is_cut: bool) -> None:
    problem = Problem(413, "body_too_large", f"the body has more than {most} bytes")
    request_id = uuid.uuid4().hex
    body = orjson.dumps(problem.as_dict(request_id))
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *([(b"connection", b"close")] if is_cut else []),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
