"""The web process: `uvicorn rateguard.asgi:application`.

A small dispatcher maps prefixes to applications and owns `lifespan`, which Django's own handler refuses. Django answers the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType

import django

from rateguard.api.layers.asgi import Application, Receive, Scope, Send

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rateguard.settings")


STOP_S = 5.0
"""How long what was submitted last may take to reach the gate; the sweeper brings in the rest."""

logger = logging.getLogger(__name__)


class Dispatcher:
    """One ASGI application out of several. `mounts`: by prefix of the path, the longest that fits wins; `default` gets the rest."""

    def __init__(
        self,
        default: Application,
        mounts: Mapping[str, Application],
        *,
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
        on_leave: Callable[[], None] | None = None,
    ) -> None:
        self._default = default
        self._mounts = sorted(mounts.items(), key=lambda mount: -len(mount[0]))
        self._on_start = on_start
        self._on_stop = on_stop
        self._on_leave = on_leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the connection to whom it belongs."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._application_for(scope["path"])(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def _application_for(self, path: str) -> Application:
        for prefix, application in self._mounts:
            if path == prefix or path.startswith(f"{prefix}/"):
                return application
        return self._default

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start what a web process needs beside its requests, and end it; both may block, so both in a thread."""
        while True:
            message = await receive()
            phase = message["type"].removeprefix("lifespan.")
            if phase == "startup" and self._on_leave is not None:
                _at_sigterm(self._on_leave)
            try:
                await asyncio.to_thread(self._on_start if phase == "startup" else self._on_stop)
            except Exception as error:
                logger.exception("%s failed", phase)
                await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
                return
            await send({"type": f"lifespan.{phase}.complete"})
            if phase == "shutdown":
                return


def _at_sigterm(act: Callable[[], None]) -> None:
    """Do this on the loop when the server is asked to end: it sends `shutdown` only after its last answer, and some of those wait."""
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        before(number, frame)

    signal.signal(signal.SIGTERM, handle)


def _start() -> None:
    """Open this process's line to the gate."""
    from rateguard.jobs.line.pump import process_pump  # noqa: PLC0415 -- Django is ready only now

    process_pump()


def _stop() -> None:
    """Send what is gathered, a few seconds at most."""
    from rateguard.jobs.ends.follow import stop_following  # noqa: PLC0415 -- as above
    from rateguard.jobs.line.pump import process_pump  # noqa: PLC0415 -- as above

    stop_following()
    process_pump().stop(STOP_S)


def _leave() -> None:
    """Who waits gets the answer as it is now, and asks another process."""
    from rateguard.jobs.ends.follow import let_waiters_go  # noqa: PLC0415 -- as above

    let_waiters_go()


def _dispatcher() -> Dispatcher:
    """Django, whose answers may wait, and beside it what must answer while all of Django is busy."""
    django.setup(set_prefix=False)
    from rateguard.api import health  # noqa: PLC0415 -- as above
    from rateguard.api.layers.bounded import bounded  # noqa: PLC0415 -- as above
    from rateguard.api.layers.one_thread import OneThread  # noqa: PLC0415 -- as above
    from rateguard.api.layers.waiting import waits  # noqa: PLC0415 -- as above

    mounts: dict[str, Application] = {health.ALIVE: health.health, health.READY: health.health}
    return Dispatcher(waits(bounded(OneThread())), mounts, on_start=_start, on_stop=_stop, on_leave=_leave)


application = _dispatcher()
