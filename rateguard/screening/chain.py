"""The middlewares of RATEGUARD["MIDDLEWARE"] as one chain: requests pass from the first to the last, answers from the last to the first.

Whoever is asynchronous runs on one event loop a process, in a thread of its own, so that its connections stay on their loop. A synchronous
`before` runs where the job is submitted, a synchronous `after` in a thread, which keeps no connection of the database.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import orjson
from django.core.signals import setting_changed
from django.db import connections
from django.utils.module_loading import import_string

from rateguard.conf import conf
from rateguard.screening.contract import Body, Context, MiddlewareBroke, Refused

logger = logging.getLogger(__name__)

AFTER_S = 60.0
"""What has not let an answer through by then broke."""

Step = tuple[str, Callable[..., Any]]
"""The name of a middleware, for the log, and what it does."""
Result = TypeVar("Result")


class Chain:
    """An empty one costs nothing: ask `has_before` and `has_after` before a body is read for it."""

    def __init__(self, named: Sequence[tuple[str, object]]) -> None:
        self._before: list[Step] = [(name, one.before) for name, one in named if hasattr(one, "before")]
        self._after: list[Step] = [(name, one.after) for name, one in reversed(named) if hasattr(one, "after")]
        self.has_before = bool(self._before)
        self.has_after = bool(self._after)

    def before(self, request: Body, context: Context) -> Body:
        """What is to be stored and sent. The request that is given stays as it is. Raises Refused, MiddlewareBroke."""
        passed = _copy(request)
        for name, step in self._before:
            try:
                given = _waited_for(step(passed, context))
            except Refused:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a project's own code raises
                raise _broke(name, error) from None
            passed = _taken(name, passed, given)
        return passed

    async def after(self, answer: Body, request: Body, context: Context) -> Body:
        """What is to be stored and told. Bodies are the chain's own. Raises Refused, MiddlewareBroke. From any event loop."""
        running = asyncio.run_coroutine_threadsafe(self._after_all(answer, request, context), _loop())
        return await asyncio.wrap_future(running)

    def after_here(self, answer: Body, request: Body, context: Context) -> Body:
        """The same from a thread without a loop."""
        return _on_loop(self._after_all(answer, request, context))

    async def _after_all(self, answer: Body, request: Body, context: Context) -> Body:
        for name, step in self._after:
            try:
                async with asyncio.timeout(AFTER_S):
                    given = await _called(step, answer, request, context)
            except Refused:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                raise _broke(name, error) from None
            answer = _taken(name, answer, given)
        return answer


def _broke(name: str, error: Exception) -> MiddlewareBroke:
    logger.error("middleware %s broke", name, exc_info=_without_values(error))
    return MiddlewareBroke(f"the middleware {name} broke: whoever runs this service finds in the log where")


def _taken(name: str, body: Body, given: Any) -> Body:
    """What a middleware made of a body."""
    if given is None:
        return body
    if not isinstance(given, dict):
        logger.error("middleware %s gave a %s, which is no request or answer", name, type(given).__name__)
        raise MiddlewareBroke(f"the middleware {name} gave what is no request or answer")
    return given


def _without_values(error: Exception) -> tuple[type[Exception], Exception, Any]:
    """Where it broke, and of which kind; what an error says may hold a caller's words."""
    return RuntimeError, RuntimeError(f"{type(error).__name__}, whose words are not logged"), error.__traceback__


def _copy(body: Body) -> Body:
    copied: Body = orjson.loads(orjson.dumps(body))
    return copied


# ---- who waits for whom


async def _called(step: Callable[..., Any], *given: Any) -> Any:
    if inspect.iscoroutinefunction(step):
        return await step(*given)
    found = await asyncio.to_thread(_in_thread, step, *given)
    return await found if inspect.isawaitable(found) else found


def _in_thread(step: Callable[..., Any], *given: Any) -> Any:
    try:
        return step(*given)
    finally:
        connections.close_all()


def _waited_for(found: Any) -> Any:
    return _on_loop(_as_coroutine(found)) if inspect.isawaitable(found) else found


async def _as_coroutine(found: Any) -> Any:
    return await found


def _on_loop(coroutine: Coroutine[Any, Any, Result]) -> Result:
    loop = _loop()
    if threading.get_ident() == _thread_of.get(loop):
        coroutine.close()
        raise RuntimeError("an asynchronous middleware cannot wait for the chain itself: use a thread for that")
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


_thread_of: dict[asyncio.AbstractEventLoop, int | None] = {}
_making = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """The loop of asynchronous middlewares: made at the first use."""
    with _making:
        if not _thread_of:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="rateguard-middleware", daemon=True)
            thread.start()
            _thread_of[loop] = thread.ident
        return next(iter(_thread_of))


def _forget_loop() -> None:
    """Threads stay with the parent."""
    global _making  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _making = threading.Lock()
    _thread_of.clear()


os.register_at_fork(after_in_child=_forget_loop)


# ---- what the settings name


@functools.cache
def chain() -> Chain:
    """The one of this process. Raises what a module of the project's raises; `manage.py check` says it first."""
    return Chain([(path, made(import_string(path))) for path in conf().middleware])


def made(found: Any) -> object:
    """What a dotted path leads to, as an object: a class is made, without arguments."""
    return found() if isinstance(found, type) else found


def is_middleware(found: object) -> bool:
    """Whether what a path leads to has something to do."""
    return any(callable(getattr(found, name, None)) for name in ("before", "after"))


def _forget_chain(*, setting: str, **_: object) -> None:
    if setting == "RATEGUARD":
        chain.cache_clear()


setting_changed.connect(_forget_chain, dispatch_uid="rateguard.screening.chain")
