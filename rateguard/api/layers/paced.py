"""Answers go out as fast as their callers read, in pieces, and what is held meanwhile is counted.

    application = paced(waits(bounded(get_asgi_application())))

A server takes all of an answer that it is handed at once; handed in pieces, it asks for the next one when the caller has read the last.
An answer for which there is no memory beside all that the process holds is a 503, `busy`. Who reads nothing for SILENCE_S is cut off.
"""

from __future__ import annotations

import asyncio

from rateguard.api.layers.asgi import Application, Message, Receive, Scope, Send
from rateguard.api.layers.bounded import BUSY, answer_with, in_flight, length_of

PIECE = 64 * 1024
"""A smaller answer is handed over as it is, and not counted: servers buffer as much of each connection anyway."""
SILENCE_S = 60.0


class ReaderGone(ConnectionError):
    """The caller reads nothing any more."""


def paced(application: Application) -> Application:
    """An application whose answers wait for their readers."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await application(scope, receive, answer.send)
        except ReaderGone:
            return
        finally:
            answer.let_go()

    return call


class _Answer:
    """One answer on its way out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held = 0
        self._is_refused = False

    async def send(self, message: Message) -> None:
        """Hand on what the application sends."""
        if message["type"] == "http.response.start":
            if self._hold(length_of(message)):
                await self._send(message)
            else:
                await answer_with(self._send, BUSY)
        elif not self._is_refused:
            await self._send_body(message)

    def let_go(self) -> None:
        """Nobody holds it any more."""
        in_flight().give_back(self._held)
        self._held = 0

    def _hold(self, count: int) -> bool:
        if count > PIECE:
            self._is_refused = not in_flight().take(count)
            self._held = 0 if self._is_refused else count
        return not self._is_refused

    async def _send_body(self, message: Message) -> None:
        body = message.get("body", b"")
        if len(body) <= PIECE:
            await self._send(message)
            return
        for start in range(0, len(body), PIECE):
            has_more = message.get("more_body", False) or start + PIECE < len(body)
            piece = {**message, "body": bytes(memoryview(body)[start : start + PIECE]), "more_body": has_more}
            try:
                await asyncio.wait_for(self._send(piece), SILENCE_S)
            except TimeoutError:
                raise ReaderGone from None
