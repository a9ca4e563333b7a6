"""Bodies of requests are bounded while they come, in front of Django, which would first take all of them in.

    application = bounded(get_asgi_application())

One that is too large is refused (413), and so is one for which there is no memory beside all that the process holds (503, `busy`). What
comes then is read and dropped, so that the caller hears the answer; who sends very much more is cut off. A batch has a bound of its own,
BATCH_BYTES, and who reads it bounds what it unpacks to. A caller who falls silent within a body holds its bytes for SILENCE_S at most.
"""

from __future__ import annotations

import asyncio
import functools
import uuid

import orjson
from django.conf import settings

from rateguard.api.layers.asgi import Application, Message, Receive, Scope, Send
from rateguard.api.problems import PROBLEM_TYPE, RETRY_AFTER_S, Problem
from rateguard.api.reading import MOST_BODY_BYTES
from rateguard.conf import conf
from rateguard.engine.in_flight import InFlight

PREFIX = "/api/"
BATCHES = "/api/v1/batches"
MOST_DROPPED = 8 * MOST_BODY_BYTES
SILENCE_S = 30.0
BUSY = Problem(
    503,
    "busy",
    "this process holds as many bytes of requests and answers as it may: send the same request again in a moment",
    headers={"Retry-After": str(RETRY_AFTER_S)},
)


@functools.cache
def in_flight() -> InFlight:
    """What this web process holds: bodies that come, and answers on their way out."""
    return InFlight(conf().max_bytes_in_flight)


def bounded(application: Application) -> Application:
    """An application that is never handed a body that is too large, nor one that the process has no room for."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await application(scope, receive, send)
            return
        body = _Body(receive, is_batch=scope["path"] == BATCHES)
        try:
            if length_of(scope) > body.most_read:
                body.refusal = _too_large(body.most)
            else:
                await application(scope, body.receive, send)
        finally:
            body.let_go()
        if body.refusal is not None:
            await answer_with(send, body.refusal, is_cut=not body.has_ended)

    return call


class _Body:
    """A body on its way. Refused, the application is told that the caller left, and answers nothing."""

    def __init__(self, receive: Receive, *, is_batch: bool) -> None:
        self._receive = receive
        self.most = conf().batch_bytes if is_batch else MOST_BODY_BYTES
        self.most_read = max(self.most, MOST_DROPPED)
        self._most_held = settings.FILE_UPLOAD_MAX_MEMORY_SIZE if is_batch else self.most  # the rest is on disk
        self._bytes = 0
        self._held = 0
        self.refusal: Problem | None = None
        self.has_ended = False

    async def receive(self) -> Message:
        """The next piece."""
        message = await self._next()
        if self.refusal is None:
            return message
        self.let_go()
        while not self.has_ended and self._bytes <= self.most_read:
            await self._next()
        return {"type": "http.disconnect"}

    async def _next(self) -> Message:
        if not self._bytes or self.has_ended:
            message = await self._receive()
        else:
            try:
                message = await asyncio.wait_for(self._receive(), SILENCE_S)
            except TimeoutError:
                message = {"type": "http.disconnect"}
        self._count(message)
        return message

    def _count(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self.has_ended = True
            return
        count = len(message.get("body", b""))
        self._bytes += count
        self.has_ended = self.has_ended or not message.get("more_body", False)
        if self.refusal is not None:
            return
        if self._bytes > self.most:
            self.refusal = _too_large(self.most)
        elif not self._hold(min(count, self._most_held - self._held)):
            self.refusal = BUSY

    def _hold(self, count: int) -> bool:
        if not in_flight().take(count):
            return False
        self._held += count
        return True

    def let_go(self) -> None:
        """Nobody holds it any more."""
        in_flight().give_back(self._held)
        self._held = 0


def length_of(message: Scope | Message) -> int:
    """How long a request or an answer says that its body is; 0 where it says nothing."""
    text = next((value for name, value in message["headers"] if name.lower() == b"content-length"), b"0")
    return int(text) if text.isdigit() and len(text) < 20 else 0


def _too_large(most: int) -> Problem:
    return Problem(413, "body_too_large", f"the body has more than {most} bytes")


async def answer_with(send: Send, problem: Problem, *, is_cut: bool = False) -> None:
    """Answer with a problem, in place of the application. is_cut: the caller still sends, and is not listened to."""
    request_id = uuid.uuid4().hex
    body = orjson.dumps(problem.as_dict(request_id))
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        *([(b"connection", b"close")] if is_cut else []),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
