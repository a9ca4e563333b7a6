"""A client of the campaign: each request is noted, and what got no answer is repeated with its key until it is answered."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import orjson

from rateguard.torture.record import Asked, Record

PATIENCE_S = 15.0
"""A client that got nothing for so long asks again."""
LONGEST_PAUSE_S = 2.0
JSON = {"application/json", "application/problem+json"}
_NO_ANSWER = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back. status: 0 where nothing did."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether asking again would be of no use: it was taken, or refused for good."""
        return 0 < self.status < 500


class Asker:
    """Asks the two web processes by turns. `door` in what is noted: what was asked for, and of whom (`web-1`)."""

    def __init__(self, base_urls: Sequence[str], record: Record) -> None:
        self._base_urls = list(base_urls)
        self._record = record
        self._session: aiohttp.ClientSession | None = None
        self.is_closing = False

    async def open(self) -> None:
        """Inside the loop that will use it. A connection is kept for a short time: the web may have died meanwhile."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=5))

    async def close(self) -> None:
        """Ask no more."""
        self.is_closing = True
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """For what is not one request and one answer."""
        if self._session is None:
            raise RuntimeError("the asker was not opened")
        return self._session

    def address(self, web: int) -> str:
        """The base URL of a web process, by number from 0."""
        return self._base_urls[web % len(self._base_urls)]

    async def once(
        self,
        method: str,
        path: str,
        *,
        secret: str,
        door: str,
        web: int = 0,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Answer:
        """One request. Never raises for what a network or a server may do."""
        web %= len(self._base_urls)
        began_at = time.monotonic()
        sent = {"Authorization": f"Bearer {secret}", **(headers or {})}
        data = body
        if body is not None and not isinstance(body, bytes):
            data, sent["Content-Type"] = orjson.dumps(body), "application/json"
        try:
            async with self.session.request(
                method, self.address(web) + path, data=data, headers=sent, timeout=aiohttp.ClientTimeout(total=patience_s)
            ) as reply:
                raw = await reply.read()
                is_json = reply.content_type in JSON
                answer = Answer(reply.status, orjson.loads(raw) if raw and is_json else raw, dict(reply.headers))
        except _NO_ANSWER:
            answer = Answer(0)
        self._record.asked.append(Asked(door, began_at, time.monotonic() - began_at, answer.status, f"web-{web + 1}"))
        return answer

    async def until_answered(self, method: str, path: str, *, web: int, **asked: Any) -> Answer:
        """The same request, now here, now there, until somebody answers it; status 0 where the campaign ended first."""
        pause_s = 0.2
        while True:
            answer = await self.once(method, path, web=web, **asked)
            if answer.is_final or self.is_closing:
                return answer
            web += 1
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
