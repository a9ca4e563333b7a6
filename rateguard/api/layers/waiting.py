"""Answers that wait: raw ASGI around Django, so that who waits holds neither a thread nor a connection of the database.

    application = waits(get_asgi_application())

A view whose answer could come later answers at once all the same, and leaves what is to be waited for with `hand_over`. The layer holds
that answer back until Django has given up its thread and its connection, then runs what was left on the event loop; it may ask Django
again. A caller who leaves ends it at once. Under WSGI and Django's test client there is no layer: the first answer goes out as it is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable

from django.http import HttpRequest
from rest_framework.request import Request

from rateguard.api.layers.asgi import Application, Message, Receive, Scope, Send
from rateguard.conf import conf

logger = logging.getLogger(__name__)

Later = Callable[["Held"], Awaitable[None]]
"""What a view leaves. It ends by answering, or by being cancelled when the caller leaves."""

KEY = "rateguard.waits"
"""In an ASGI scope: where a view leaves what is to be waited for."""
FIRST_METHOD = "rateguard.first_method"
"""In the scope of a question that the layer asks: the caller's own method."""
AT_ONCE = 16
"""Requests that Django works on at once; each has a thread and a connection. More at once are no faster, but many threads' memory stays."""
ASKS_AT_ONCE = 4
"""Of these, questions of the layer: many may be woken at one moment, and others shall not stand behind them."""
OF_THE_FIRST = (
    "accept-encoding",
    "connection",
    "content-",
    "expect",
    "idempotency-key",
    "if-",
    "prefer",
    "range",
    "te",
    "transfer-",
    "upgrade",
)
"""Headers, by how their names begin, that belong to the first request alone: Django is asked for the whole answer, as it is."""


@dataclasses.dataclass(slots=True)
class Answer:
    """A whole answer. Names of headers are as Django wrote them."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)
    body: bytearray = dataclasses.field(default_factory=bytearray)
    is_whole: bool = False

    async def take(self, message: Message) -> None:
        """Collect what an application sends."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")
            self.is_whole = not message.get("more_body", False)

    def header(self, name: str) -> str:
        """A header's value, "" where it is absent."""
        return next((value.decode("latin1") for key, value in self.headers if key.lower() == name.lower().encode()), "")


class Held:
    """A request whose first answer is held back. `send`: for an answer in parts, as ASGI sends it; `answer`: for a whole one."""

    def __init__(self, scope: Scope, ask: Callable[[Scope, asyncio.Event], Awaitable[Answer]], send: Send) -> None:
        self.first = Answer()
        self.has_begun = False
        self.gone = asyncio.Event()
        self._scope = scope
        self._ask = ask
        self._send = send

    async def send(self, message: Message) -> None:
        """Send a part to the caller."""
        self.has_begun = True
        await self._send(message)

    async def answer(self, answer: Answer) -> None:
        """Answer the caller, once."""
        await self.send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await self.send({"type": "http.response.body", "body": bytes(answer.body)})

    async def ask(self, path: str) -> Answer:
        """What Django answers to this caller's GET of a path, with its query, under the request's id."""
        kept = [(name, value) for name, value in self._scope["headers"] if not name.decode("latin1").startswith(OF_THE_FIRST)]
        if request_id := self.first.header("X-Request-ID"):
            kept = [(name, value) for name, value in kept if name != b"x-request-id"] + [(b"x-request-id", request_id.encode("latin1"))]
        first = self._scope["method"]
        path, _, query = path.partition("?")
        target = {
            FIRST_METHOD: first,
            "method": "HEAD" if first == "HEAD" else "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": kept,
        }
        return await self._ask({**self._scope, **target}, self.gone)


class Waits:
    """See `waits`. One a process: it counts who waits."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asks = asyncio.Semaphore(ASKS_AT_ONCE)
        self._asked: set[asyncio.Future[None]] = set()
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what does not wait; hold back what does."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        left: list[Later] = []
        held = Held(scope, self._ask, send)

        async def send_or_hold(message: Message) -> None:
            await (held.first.take(message) if left else send(message))

        await self._in_turn({**scope, KEY: left}, receive, send_or_hold)
        if not left or not held.first.is_whole:
            return
        if self.waiting >= conf().max_waiters:
            await held.answer(held.first)
            return
        self.waiting += 1
        try:
            await _until_gone(held, left[0], receive)
        finally:
            self.waiting -= 1

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Django work on it when it is its turn: from the end of the body, however slowly that comes, to the answer's beginning."""
        turn = _Turn(self._turns)

        async def receive_then_wait() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                await turn.begin()
            return message

        async def end_then_send(message: Message) -> None:
            turn.end()
            await send(message)

        try:
            await self._application(scope, receive_then_wait, end_then_send)
        finally:
            turn.end()

    async def _ask(self, scope: Scope, gone: asyncio.Event) -> Answer:
        """Ask the application. A caller who leaves meanwhile is its to notice: cancelled from without, Django leaves tasks behind."""
        answer = Answer()
        body = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Message:
            if (message := next(body, None)) is not None:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async with self._asks:
            asked = asyncio.ensure_future(self._in_turn(scope, receive, answer.take))
            self._asked.add(asked)
            asked.add_done_callback(self._asked.discard)
            await asyncio.shield(asked)
        return answer


class _Turn:
    """One request's place among those that Django works on: taken once and given back once."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._has_begun = self._is_held = False

    async def begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            await self._turns.acquire()
            self._is_held = True

    def end(self) -> None:
        if self._is_held:
            self._is_held = False
            self._turns.release()


async def _until_gone(held: Held, later: Later, receive: Receive) -> None:
    answering = asyncio.ensure_future(_answered(held, later))
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        held.gone.set()
        answering.cancel()
        leaving.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


async def _answered(held: Held, later: Later) -> None:
    try:
        await later(held)
    except Exception:
        logger.exception("what was waited for could not be told")
        if not held.has_begun:
            await held.answer(held.first)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# ---- for views


def waits(application: Application) -> Application:
    """Put the layer around Django's application (`get_asgi_application()`), so that its answers can wait."""
    return Waits(application)


def hand_over(request: Request | HttpRequest, later: Later) -> bool:
    """Leave this to be done in place of the answer that the view returns. False: nobody waits here, and that answer goes out.

    It also goes out, as it is, where MAX_WAITERS wait already. `later` should hold little: names and numbers, no rows.
    """
    left = getattr(request, "scope", {}).get(KEY)
    if left is None:
        return False
    left.append(later)
    return True


def method_of(request: Request | HttpRequest) -> str:
    """The caller's own method: who may submit may see what became of it, where the submission's answer waits."""
    return str(getattr(request, "scope", {}).get(FIRST_METHOD) or request.method or "")
