"""A page that keeps itself new, by server-sent events: htmx puts each event's HTML in the place of the old.

Every two seconds Django is asked for the panels as this very caller, so that who is signed out or loses a role hears so; what has not
changed is not sent. Who listens holds neither a thread nor a connection of the database meanwhile. Where nobody can wait (WSGI, Django's
test client, MAX_WAITERS wait already) the first event goes out alone, and the browser asks again by itself.
"""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from rateguard.api.layers.waiting import Answer, Held, hand_over
from rateguard.jobs.ends.follow import rest

LOOK_EACH_S = 2.0
BEAT_S = 15.0
"""A stream never says nothing for longer: what stands between would take it for dead."""
LONGEST_S = 1_800.0
"""After that the browser opens another, perhaps at another process."""
RETRY_MS = 3_000
DIGEST = "X-Panels-Digest"
CONTENT_TYPE = "text/event-stream; charset=utf-8"
GONE = '<span class="badge bad">ended</span> You are signed out, or may not see this any more. <a href="{}">Load the page again</a>.'
TROUBLE = '<span class="badge warn">not live</span> Newer figures cannot be read right now: these are the last.'


def live_answer(request: HttpRequest, html: str, digest: str, address: str) -> HttpResponse:
    """The panels as the first event; where somebody can wait, more from this address follow."""
    first = f"retry: {RETRY_MS}\n{event('now', html)}"
    response = HttpResponse(first, content_type=CONTENT_TYPE, headers={"X-Accel-Buffering": "no"})
    hand_over(request, _Live(address, digest))
    return response


def event(name: str, text: str) -> str:
    r"""One event as its stream writes it.

    >>> event("now", "a\nb")
    'event: now\ndata: a\ndata: b\n\n'
    """
    return "".join([f"event: {name}\n", *(f"data: {line}\n" for line in text.splitlines()), "\n"])


class _Live:
    """Sends what changed, until the caller leaves, may not see it any more, or the process ends."""

    def __init__(self, address: str, digest: str) -> None:
        self._address = address
        self._digest = digest
        self._is_troubled = False

    async def __call__(self, held: Held) -> None:
        loop = asyncio.get_running_loop()
        headers = [(name, value) for name, value in held.first.headers if name.lower() != b"content-length"]
        await held.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send(held, bytes(held.first.body))
        began_at = spoke_at = loop.time()
        while loop.time() - began_at < LONGEST_S and await rest(LOOK_EACH_S):
            answer = await held.ask(self._address)
            news = self._news(answer)
            if not news and loop.time() - spoke_at >= BEAT_S:
                news = ": still here\n\n"
            if news:
                await self._send(held, news.encode())
                spoke_at = loop.time()
            if answer.status in {401, 403}:
                break
        await held.send({"type": "http.response.body", "body": b""})

    def _news(self, answer: Answer) -> str:
        """What is to be told of an answer; "" where nothing has changed."""
        if answer.status in {401, 403}:
            return event("gone", GONE.format(reverse("dashboard:now")))
        if answer.status != 200:
            was_troubled, self._is_troubled = self._is_troubled, True
            return "" if was_troubled else event("trouble", TROUBLE)
        digest, was_troubled, self._is_troubled = answer.header(DIGEST), self._is_troubled, False
        if digest == self._digest and not was_troubled:
            return ""
        self._digest = digest
        return event("now", answer.body.decode())

    @staticmethod
    async def _send(held: Held, body: bytes) -> None:
        await held.send({"type": "http.response.body", "body": body, "more_body": True})
