"""What lives on the pool's event loop: functions to call when the worker starts, begins to leave and stops.

    @lifecycle.at_start
    async def open_session() -> None: ...

Modules register at import. The pool calls; under other pools nobody does, and `loop()` is None.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

logger = logging.getLogger(__name__)

Hook = Callable[[], Awaitable[None]]

_at_start: Final[list[Hook]] = []
_at_drain: Final[list[Hook]] = []
_at_stop: Final[list[Hook]] = []
_loops: Final[list[asyncio.AbstractEventLoop]] = []


def at_start(hook: Hook) -> Hook:
    """Call `hook` on the loop before the first message is accepted, in the order of registration. If it raises, the worker shuts down."""
    return _register(_at_start, hook)


def at_drain(hook: Hook) -> Hook:
    """Call `hook` on the loop when the worker begins to leave (SIGTERM): claim nothing new. Work in flight still runs."""
    return _register(_at_drain, hook)


def at_stop(hook: Hook) -> Hook:
    """Call `hook` on the loop after the last task has ended, in reverse order of registration: close what at_start opened."""
    return _register(_at_stop, hook)


def loop() -> asyncio.AbstractEventLoop | None:
    """The running pool's event loop, for `asyncio.run_coroutine_threadsafe` from other threads; None under any other pool."""
    return _loops[-1] if _loops else None


def set_loop(running: asyncio.AbstractEventLoop | None) -> None:
    """Say which loop runs. For the pool."""
    _loops.clear()
    if running is not None:
        _loops.append(running)


async def start() -> None:
    """Run the hooks of `at_start`. For the pool. Raises what the first failing hook raises."""
    for hook in _at_start:
        await hook()


async def drain() -> None:
    """Run the hooks of `at_drain` side by side. For the pool. A failing hook is logged and stops no other."""
    await asyncio.gather(*(_guarded(hook) for hook in _at_drain))


async def stop() -> None:
    """Run the hooks of `at_stop`. For the pool. A failing hook is logged and stops no other."""
    for hook in reversed(_at_stop):
        await _guarded(hook)


def _register(hooks: list[Hook], hook: Hook) -> Hook:
    if hook not in hooks:
        hooks.append(hook)
    return hook


async def _guarded(hook: Hook) -> None:
    try:
        await hook()
    except Exception:
        logger.exception("worker hook %r failed", hook)
