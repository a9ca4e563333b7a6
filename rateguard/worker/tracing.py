"""Celery's tracer for a coroutine that has ended: results, signals, links, chains, chords and retries come from Celery itself.

The stock tracer calls a task's function and stores what that returns, for a coroutine function a coroutine. So the pool awaits
first and lets the tracer trace a stand-in whose call returns or raises what the await gave. Signals before the task's run and
`before_start` therefore come after the await, and `worker_deduplicate_successful_tasks` notices a double only then.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from celery import Celery, Task
from celery.app.autoretry import add_autoretry_behaviour
from celery.app.task import Context, get_actual_ignore_result  # type: ignore[attr-defined]  # not in the stubs
from celery.app.trace import build_tracer
from celery.local import Proxy
from kombu.serialization import loads, prepare_accept_content

from rateguard.worker.delivery import Delivery

_at_decode: Final[list[Callable[..., object]]] = []
_LINKS = ("callbacks", "errbacks", "chain", "chord")


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What the await gave, and when the coroutine began (seconds, monotonic clock)."""

    began_s: float
    value: Any = None
    error: BaseException | None = None

    def replay(self) -> Any:
        """Return the value or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A decoded message: the task's arguments and its request, as `task.request` shows it."""

    args: list[Any]
    kwargs: dict[str, Any]
    context: Context
    is_hot: bool


class RequestStack:
    """A task's request stack for one execution: coroutines of one thread would share Celery's, which is kept by thread."""

    def __init__(self, context: Context) -> None:
        self.stack = [context]

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def top(self) -> Context:
        """The request that runs."""
        return self.stack[-1]

    def push(self, context: Context) -> None:
        """Enter a direct call of the task."""
        self.stack.append(context)

    def pop(self) -> Context:
        """Leave it."""
        return self.stack.pop()


def at_decode(hook: Callable[..., object]) -> None:
    """Call `hook(args=…, kwargs=…)` with what a coroutine is to get, before it begins; Celery's own `task_prerun` comes after the await."""
    if hook not in _at_decode:
        _at_decode.append(hook)


def decode(delivery: Delivery, app: Celery, hostname: str) -> Call:
    """Decode a message as Celery's `trace_task_ret` does. Raises kombu's errors on content that is not accepted or not readable."""
    _, task_id, request, body, content_type, encoding = delivery.payload
    if content_type:
        # The setting itself (["json"]) names serialisers; `loads` wants content types.
        body = loads(body, content_type, encoding, accept=prepare_accept_content(app.conf.accept_content))
    args, kwargs, embed = body
    for hook in _at_decode:
        hook(args=args, kwargs=kwargs)
    request.update({"args": args, "kwargs": kwargs, "hostname": hostname, "is_eager": False}, **embed or {})
    context = Context(request, id=task_id, args=args, called_directly=False, kwargs=kwargs)
    return Call(args, kwargs, context, is_hot=_is_hot(delivery.task, context))


def bind(task: Task[..., Any], context: Context) -> tuple[Task[..., Any], Callable[..., Any]]:
    """A copy of the task whose `request` is `context` wherever its coroutine goes, and the coroutine function bound to that copy."""
    own = object.__new__(type(task))
    vars(own).update(vars(task))
    own.request_stack = RequestStack(context)  # type: ignore[assignment]  # the same few methods as Celery's
    run = coroutine_function(task)
    function = getattr(run, "__func__", None)
    return own, run if function is None else function.__get__(own)


def coroutine_function(task: Task[..., Any]) -> Callable[..., Any]:
    """The function as its author wrote it: `autoretry_for` puts a synchronous wrapper around it.

    A task may name a coroutine function of its own, `on_loop`, for this pool; its `run` serves the others.
    """
    own: Callable[..., Any] | None = getattr(task, "on_loop", None)
    if own is not None:
        return own
    written: Callable[..., Any] = getattr(task, "_orig_run", task.run)
    return written


class Tracer:
    """Traces ended coroutines, in any thread. One tracer a task is built and kept."""

    def __init__(self, app: Celery, hostname: str) -> None:
        self._app = app
        self._hostname = hostname
        self._tracers: dict[str, Callable[..., Any]] = {}

    def trace(self, delivery: Delivery, call: Call, outcome: Outcome) -> tuple[int, Any, float]:
        """Store and announce an outcome. Returns Celery's (failed, result or ExceptionInfo, runtime in seconds)."""
        tracer = self._tracers.get(delivery.task.name) or self._build(delivery.task)
        _replayed.outcome = outcome
        result, info, runtime, shown = tracer(delivery.task_id, call.args, call.kwargs, vars(call.context))
        return (1, result, runtime) if info else (0, shown, runtime)

    def _build(self, task: Task[..., Any]) -> Callable[..., Any]:
        stand_in: Any = _AwaitedTask(task)
        tracer = build_tracer(task.name, stand_in, hostname=self._hostname, app=self._app, monotonic=_clock)
        self._tracers[task.name] = tracer
        return tracer


class _Replayed(threading.local):
    """What the tracer of this thread is to see."""

    outcome: Outcome | None = None


_replayed = _Replayed()


def _replay(*_args: Any, **_kwargs: Any) -> Any:
    outcome, _replayed.outcome = _replayed.outcome, None
    if outcome is None:
        raise RuntimeError("the tracer called a coroutine task twice")
    return outcome.replay()


def _clock() -> float:
    """The tracer's clock: its first look, before the call, shows when the coroutine began, so that runtimes are true."""
    outcome = _replayed.outcome
    return time.monotonic() if outcome is None else outcome.began_s


class _AwaitedTask(Proxy):  # type: ignore[type-arg]  # generic in the stubs only
    """The stand-in. Celery's signals take a Proxy for the task itself, so receivers that ask for one sender hear it."""

    __slots__ = ("_replaying",)

    def __init__(self, task: Task[..., Any]) -> None:
        super().__init__(lambda: task)
        object.__setattr__(self, "_replaying", _AutoRetry(task))  # a Proxy's own setattr would set it on the task

    @property
    def run(self) -> Callable[..., Any]:
        """What the tracer calls."""
        replaying: _AutoRetry = object.__getattribute__(self, "_replaying")
        return replaying.run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)


class _AutoRetry:
    """`_replay` as a method of the task, wrapped by Celery's own `autoretry_for` where the task declares it."""

    def __init__(self, task: Task[..., Any]) -> None:
        self._task = task
        self.run: Callable[..., Any] = _replay
        add_autoretry_behaviour(self)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_run":  # the task's, which is wrapped already
            raise AttributeError(name)
        return getattr(self._task, name)

    def __delattr__(self, name: str) -> None:
        delattr(self._task, name)


def _is_hot(task: Task[..., Any], context: Context) -> bool:
    if not getattr(task, "is_hot", False) or not get_actual_ignore_result(task, context):
        return False
    return not any(getattr(context, link) for link in _LINKS)
