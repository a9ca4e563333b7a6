"""The web process: `uvicorn rateguard.asgi:application`.

A small dispatcher maps prefixes to applications and owns `lifespan`, which Django's own handler refuses. Django answers the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import django

from rateguard.api.layers.asgi import Application, Receive, Scope, Send

if TYPE_CHECKING:
    from rateguard.api.layers.departure import Departure

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rateguard.settings")


STOP_S = 3.0
"""How long what was submitted last may take to reach the gate; the sweeper brings in the rest."""
TELL_S = 1.0
"""How long what hangs on the last ends may take; another process tells the rest."""

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
        departure: Departure | None = None,
    ) -> None:
        self._default = default
        self._mounts = sorted(mounts.items(), key=lambda mount: -len(mount[0]))
        self._on_start = on_start
        self._on_stop = on_stop
        self._departure = departure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the connection to whom it belongs."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            application = self._application_for(scope["path"])
            if self._departure is None:
                await application(scope, receive, send)
            else:
                await self._departure.pass_on(application, scope, receive, send)
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
            if phase == "startup" and self._departure is not None:
                self._departure.begin_at_sigterm()
            try:
                await asyncio.to_thread(self._on_start if phase == "startup" else self._on_stop)
            except Exception as error:
                logger.exception("%s failed", phase)
                await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
                return
            await send({"type": f"lifespan.{phase}.complete"})
            if phase == "shutdown":
                return


def _start() -> None:
    """Open this process's line to the gate, and load what the first request would wait for: it takes seconds where the machine is busy."""
    from django.urls import get_resolver  # noqa: PLC0415 -- Django is ready only now

    from rateguard.api.layers.prompt import stay_prompt  # noqa: PLC0415 -- as above
    from rateguard.engine.encodings import O200K, get_encoding  # noqa: PLC0415 -- as above
    from rateguard.jobs.line.pump import process_pump  # noqa: PLC0415 -- as above

    process_pump()
    get_resolver().url_patterns  # noqa: B018 -- reading it imports every view
    get_encoding(O200K)
    stay_prompt()


def _stop() -> None:
    """Send what is gathered, a few seconds at most."""
    from rateguard.jobs.ends.follow import stop_following  # noqa: PLC0415 -- as above
    from rateguard.jobs.ends.outbox import process_teller  # noqa: PLC0415 -- as above
    from rateguard.jobs.line.pump import process_pump  # noqa: PLC0415 -- as above

    stop_following(1.0)
    process_pump().stop(STOP_S)
    process_teller().flush(TELL_S)


def _leave() -> None:
    """Who waits gets the answer as it is now, and asks another process."""
    from rateguard.jobs.ends.follow import let_waiters_go  # noqa: PLC0415 -- as above

    let_waiters_go()


def _dispatcher() -> Dispatcher:
    """Django, whose answers may wait, and beside it what must answer while all of Django is busy."""
    django.setup(set_prefix=False)
    from rateguard.api import health  # noqa: PLC0415 -- as above
    from rateguard.api.layers.bounded import bounded  # noqa: PLC0415 -- as above
    from rateguard.api.layers.departure import Departure  # noqa: PLC0415 -- as above
    from rateguard.api.layers.guarded import guarded  # noqa: PLC0415 -- as above
    from rateguard.api.layers.one_thread import OneThread  # noqa: PLC0415 -- as above
    from rateguard.api.layers.paced import paced  # noqa: PLC0415 -- as above
    from rateguard.api.layers.waiting import waits  # noqa: PLC0415 -- as above

    mounts: dict[str, Application] = {health.ALIVE: health.health, health.READY: health.health}
    return Dispatcher(
        paced(waits(guarded(bounded(OneThread())))), mounts, on_start=_start, on_stop=_stop, departure=Departure(_leave, _stop)
    )


application = _dispatcher()
