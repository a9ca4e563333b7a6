"""Django in ASGI with one thread a request, out of a few that stay.

Django's own handler starts a thread for each request and goes back and forth between it and the event loop for every middleware, the
view, the signals and the close: half of the time of a short request. Here all of it is done in one go; only sending is the loop's.
A caller who leaves does not end a view, which is synchronous anyway.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import set_script_prefix

from rateguard.api.layers.asgi import Receive, Scope, Send
from rateguard.api.layers.waiting import AT_ONCE

Body = SpooledTemporaryFile[bytes]


class OneThread(ASGIHandler):
    """Django's application. threads: how many requests it works on at once; others wait their turn and hold nothing."""

    def __init__(self, threads: int = AT_ONCE) -> None:
        super(ASGIHandler, self).__init__()
        self.load_middleware(is_async=False)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="rateguard-django")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]  # Django's stubs know dicts alone
        """Answer one request."""
        try:
            body: Any = await self.read_body(receive)
        except RequestAborted:
            return
        response = await self._in_thread(self._answer, scope, body)
        await self.send_response(response, send)  # type: ignore[arg-type]  # as above
        if response.streaming:  # its parts were made on the way
            await self._in_thread(response.close)

    async def _in_thread(self, act: Callable[..., Any], *given: Any) -> Any:
        """Run to its end whatever happens here, and with this request's context, which the logs read."""
        context = contextvars.copy_context()
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, context.run, act, *given))

    def _answer(self, scope: Scope, body: Body) -> HttpResponseBase:
        """All of Django's work. What is not streamed is closed here: its connection of the database is free before a slow caller reads."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request: HttpRequest | None
        request, refusal = self.create_request(dict(scope), body)
        response = refusal if request is None else self.get_response(request)
        assert response is not None  # noqa: S101 - Django gives one of the two
        if isinstance(response, StreamingHttpResponse) and not response.is_async:
            response = _whole(response)
        response._handler_class = self.__class__  # type: ignore[attr-defined]  # noqa: SLF001 - as Django's handlers do
        if not response.streaming:
            response.close()
        body.close()
        return response


def _whole(stream: StreamingHttpResponse) -> HttpResponse:
    """What is made part by part in a thread, such as a file, in one piece: Django would gather it too, each part in a thread of its own."""
    whole = HttpResponse(b"".join(stream), status=stream.status_code)
    del whole.headers["Content-Type"]
    for name, value in stream.headers.items():
        whole.headers[name] = value
    whole.cookies = stream.cookies
    stream.close()
    return whole
