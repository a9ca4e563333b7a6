"""The adapters by which calls are written and read, and their credentials where those have to be fetched: on a loop of its own, beside."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import threading
from collections.abc import AsyncIterator

from django.core.signals import setting_changed

from rateguard.engine.providers.base import OnSent, Request, Target, Wire
from rateguard.engine.providers.http import HttpClient, OpenReply
from rateguard.engine.providers.provider import Provider
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.providers import known
from tenants.directory import Place

FETCH_S = 30.0
"""Credentials that have not come by then are an error."""


class _Tokens(HttpClient):
    """Opens where a token is fetched, and nowhere else: calls go through the official client's own connections."""

    @contextlib.asynccontextmanager
    async def exchange(self, wire: Wire, request: Request, on_sent: OnSent | None = None) -> AsyncIterator[OpenReply]:
        """Its connections live as long as the exchange: a token is asked for once an hour."""
        async with HttpClient() as http, http.exchange(wire, request, on_sent) as reply:
            yield reply


@functools.cache
def _registry() -> ProviderRegistry:
    return ProviderRegistry(_Tokens(), known())


def provider_of(place: Place) -> Provider:
    """Who speaks to a deployment. Raises ConfigurationError."""
    return _registry().get(place.target.provider)


def is_ready(provider: Provider) -> bool:
    """Whether what it writes needs no token or signature."""
    return type(provider).authorize is Provider.authorize


def authorized(provider: Provider, target: Target, wire: Wire) -> Wire:
    """The request with its token or signature; waits in this thread. Raises ProviderError (AUTH)."""
    return wire if is_ready(provider) else _on_loop(provider, target, wire).result(FETCH_S)


async def authorized_async(provider: Provider, target: Target, wire: Wire) -> Wire:
    """The same from an event loop."""
    if is_ready(provider):
        return wire
    return await asyncio.wrap_future(_on_loop(provider, target, wire))


def _on_loop(provider: Provider, target: Target, wire: Wire) -> concurrent.futures.Future[Wire]:
    return asyncio.run_coroutine_threadsafe(_authorize(provider, target, wire), _loop())


async def _authorize(provider: Provider, target: Target, wire: Wire) -> Wire:
    return await provider.authorize(target, wire)


_loops: list[asyncio.AbstractEventLoop] = []
_making = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _making:
        if not _loops:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="rateguard-transport", daemon=True).start()
            _loops.append(loop)
        return _loops[0]


def _forget_loop() -> None:
    """Threads and connections stay with the parent."""
    global _making  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _making = threading.Lock()
    _loops.clear()
    _registry.cache_clear()


os.register_at_fork(after_in_child=_forget_loop)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "RATEGUARD":
        _registry.cache_clear()


setting_changed.connect(_forget, dispatch_uid="rateguard.transport.providers")
