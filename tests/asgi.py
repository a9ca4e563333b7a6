"""A caller of an ASGI application in this process, one a request: `caller = await Caller(application, "GET", "/x").done()`."""

from __future__ import annotations

import asyncio

import orjson

__all__ = ["Caller"]


class Caller:
    """One request and what it gets. `leave` hangs up; `done` waits for the end of the application's work.

    is_stuck: it takes nothing more.
    """

    def __init__(self, application, method, path, body=b"", *, has_more=False, **headers):
        path, _, query = path.partition("?")
        named = {"host": "127.0.0.1", **{name.replace("_", "-").lower(): value for name, value in headers.items()}}
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._pending = [{"type": "http.request", "body": body, "more_body": has_more}]
        self._left = asyncio.Event()
        self.messages = []
        self.is_stuck = False
        self.task = asyncio.ensure_future(application(self._scope, self._receive, self._send))

    async def _receive(self):
        if self._pending:
            return self._pending.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if self.is_stuck:
            await self._left.wait()
        self.messages.append(message)

    def leave(self):
        self._left.set()

    async def done(self, within_s=10):
        await asyncio.wait_for(asyncio.shield(self.task), within_s)
        return self

    @property
    def status(self):
        return self.messages[0]["status"]

    @property
    def headers(self):
        return {name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    def json(self):
        return orjson.loads(self.body)
