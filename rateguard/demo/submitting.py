"""The two doors by which the demo's jobs come in: REST with a tenant's key, and `.delay()` from the shop."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.db import close_old_connections

from rateguard.demo.shop.questions import ask
from rateguard.demo.workload import MODEL, Call
from rateguard.engine.errors import RateguardError

CALLERS = 3
"""REST callers at the same time."""


class SubmitRefused(RateguardError):
    """The web process did not accept a job."""

    code = "submit_refused"


class RestCaller:
    """Submits by `POST /api/v1/jobs` over kept connections, one a thread."""

    def __init__(self, url: str, keys: Mapping[str, str]) -> None:
        self._address = urlsplit(url).netloc
        self._keys = keys
        self._mine = threading.local()

    def submit(self, call: Call) -> None:
        """Submit one job. Raises SubmitRefused."""
        headers = {"Authorization": f"Bearer {self._keys[call.tenant]}", "Content-Type": "application/json"}
        connection = self._connection()
        connection.request("POST", "/api/v1/jobs", orjson.dumps(body_of(call)), headers)
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 202:
            raise SubmitRefused(f"POST /api/v1/jobs answered {reply.status}: {answer[:500].decode(errors='replace')}")

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._mine, "connection"):
            self._mine.connection = http.client.HTTPConnection(self._address, timeout=30)
        found: http.client.HTTPConnection = self._mine.connection
        return found


def body_of(call: Call) -> dict[str, Any]:
    """The body of a REST job."""
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": call.prompt}],
        "max_tokens": call.max_tokens,
        "job": {"lane": call.lane.label, "user": call.user, "team": call.team, "labels": {"feature": "api"}},
    }


def submit_all(calls: Sequence[Call], rest: RestCaller, is_stopped: Callable[[], bool]) -> None:
    """Submit every call through its door, both doors at once; ends early when stopped. Raises what a door raised."""

    def by_rest(call: Call) -> None:
        if not is_stopped():
            rest.submit(call)

    def by_delay(own: Sequence[Call]) -> None:
        for call in own:
            if is_stopped():
                break
            ask(call)
        close_old_connections()

    with ThreadPoolExecutor(CALLERS + 1) as pool:
        shop = pool.submit(by_delay, [call for call in calls if not call.is_rest])
        for _ in pool.map(by_rest, [call for call in calls if call.is_rest]):
            pass
        shop.result()
