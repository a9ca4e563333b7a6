"""A silent database holds nobody up: who needs it is told 503, at once where the silence is known, else within two seconds.

    application = guarded(get_asgi_application())

Nothing is refused while it answers, however slowly work goes. A request that is refused while it is under way may still be done when the
database comes back: its thread waits on. So the answer says to send it again, and an Idempotency-Key makes of the two one. Files of the
pages need no database. SQLite has no server that could be silent.
"""

from __future__ import annotations

import asyncio

from django.conf import settings
from django.db import connection

from rateguard.api.layers.asgi import Application, Message, Receive, Scope, Send
from rateguard.api.layers.bounded import PREFIX, answer_with
from rateguard.api.layers.pulse import OwnConnection, Pulse
from rateguard.api.problems import RETRY_AFTER_S, Problem

SILENT = Problem.of_status(503, {"Retry-After": str(RETRY_AFTER_S)})
_PAGE = (
    b"<!doctype html><html lang=en><title>The database does not answer</title>"
    b"<h1>The database does not answer</h1><p>Nothing is lost. Load the page again in a moment."
)


def guarded(application: Application) -> Application:
    """An application that is not asked while the database is silent, nor waited for."""
    return application if connection.vendor == "sqlite" else Guarded(application)


class Guarded:
    """See `guarded`. One a process."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._pulse = Pulse(OwnConnection(), self._let_go)
        self._unanswered: set[asyncio.Timeout] = set()
        self._files = settings.STATIC_URL or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or (self._files and scope["path"].startswith(self._files)):
            await self._application(scope, receive, send)
            return
        self._pulse.want()
        if self._pulse.is_silent or not await self._is_answered(scope, receive, send):
            await _refuse(scope, send)

    async def _is_answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Let the application answer. False: the database fell silent before it had begun to, and nobody waits for it any more."""

        async def begin_then_send(message: Message) -> None:
            self._unanswered.discard(patience)
            await send(message)

        try:
            async with asyncio.timeout(None) as patience:
                self._unanswered.add(patience)
                await self._application(scope, receive, begin_then_send)
        except TimeoutError:
            if not patience.expired():
                raise
            return False
        finally:
            self._unanswered.discard(patience)
        return True

    def _let_go(self) -> None:
        """The database fell silent: nobody waits for it."""
        now = asyncio.get_running_loop().time()
        for patience in self._unanswered:
            patience.reschedule(now)
        self._unanswered.clear()


async def _refuse(scope: Scope, send: Send) -> None:
    """A problem for programs, a page for people. The connection is closed: of the request's body some may not have been read."""
    if scope["path"].startswith(PREFIX):
        await answer_with(send, SILENT, is_cut=True)
        return
    told = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(_PAGE)).encode()),
        (b"cache-control", b"private, no-store"),
        (b"content-security-policy", b"default-src 'none'"),
        (b"retry-after", str(RETRY_AFTER_S).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": told})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else _PAGE})
