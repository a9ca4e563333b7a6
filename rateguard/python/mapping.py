"""`complete.map`: a job for each of many, submitted in chunks, their answers in order as they come."""

from __future__ import annotations

import collections
import contextlib
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connection

from rateguard.engine.errors import InvalidRequest, JobNotCommitted
from rateguard.jobs.attempts import inplace
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.completion import Completion
from rateguard.jobs.inherit import carried, current_run, resumed
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, WAITING
from rateguard.python.job_result import JobResult

if TYPE_CHECKING:
    from rateguard.python.delay import JobTask

AT_ONCE = 100
"""Answers that are read by one query."""


class Submitter:
    """Submits chunks for a task, with the context of the call that made it, wherever the iterator is used."""

    def __init__(self, task: JobTask, model: str, options: Mapping[str, Any]) -> None:
        self._task = task
        self._model = model
        self._options = options
        self._around, self._run = carried(), current_run()

    def submit(self, chunk: list[Any]) -> list[JobResult]:
        """A job for each, in one insert; none for none."""
        if not chunk:
            return []
        with resumed(self._around, self._run):
            return self._task.delay_many(chunk, model=self._model, **self._options)

    def refuse_transaction(self) -> None:
        """Raises JobNotCommitted."""
        if connection.in_atomic_block and not self._task.app.conf.task_always_eager and inplace.caller() is None:
            raise JobNotCommitted("map waits for its jobs, and none starts before this transaction commits: call it outside, or delay_many")


def ordered(many: Iterable[Any], by: Submitter, *, chunk: int, window: int, return_exceptions: bool) -> Iterator[Completion]:
    """The answers in the order of `many`; with return_exceptions an error stands in its place, else the first is raised.

    Nothing is submitted before the first answer is asked for. At most `window` jobs are ahead of the answers that were taken. Where the
    iteration ends early (a break, an error), what has not started is cancelled; what runs ends by itself, and is paid for.
    Raises JobNotCommitted in a transaction: its jobs would not start before that commits.
    """
    bounds = _Bounds(chunk, window)
    by.refuse_transaction()
    items, ahead = iter(many), _Ahead()
    try:
        while True:
            while wanted := bounds.wanted(len(ahead.results)):
                taken = list(itertools.islice(items, wanted))
                bounds.is_through = len(taken) < wanted
                ahead.results.extend(by.submit(taken))
            if not ahead.results:
                return
            yield _outcome(ahead.next(), return_exceptions=return_exceptions)
    finally:
        ahead.leave()


async def aordered(
    many: Iterable[Any] | AsyncIterable[Any], by: Submitter, *, chunk: int, window: int, return_exceptions: bool
) -> AsyncIterator[Completion]:
    """The same for `async for`. To end it early at a known moment, close it: `async with contextlib.aclosing(…)`."""
    bounds = _Bounds(chunk, window)
    await sync_to_async(by.refuse_transaction)()
    items, ahead = _as_async(many), _Ahead()
    try:
        while True:
            while wanted := bounds.wanted(len(ahead.results)):
                taken = [item async for item in _first(items, wanted)]
                bounds.is_through = len(taken) < wanted
                ahead.results.extend(await sync_to_async(by.submit)(taken))
            if not ahead.results:
                return
            result = ahead.results[0]
            await result.aget(propagate=False)
            yield _outcome(await sync_to_async(ahead.next)(), return_exceptions=return_exceptions)
    finally:
        await sync_to_async(ahead.leave)()


class _Bounds:
    """How many to submit at once."""

    def __init__(self, chunk: int, window: int) -> None:
        for name, value in (("chunk", chunk), ("window", window)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidRequest(f"{name} is {value!r}: write a whole number from 1", code="invalid_field")
        self._chunk = min(chunk, window)
        self._window = window
        self.is_through = False

    def wanted(self, ahead: int) -> int:
        """The size of the next chunk; 0: there is no room for a whole one, or nothing is left."""
        return 0 if self.is_through or ahead + self._chunk > self._window else self._chunk


class _Ahead:
    """What was submitted and not taken yet, in order."""

    def __init__(self) -> None:
        self.results: collections.deque[JobResult] = collections.deque()

    def next(self) -> JobResult:
        """The first of them, ended. It stays here until it has, so that leaving early finds it."""
        if not self.results[0].is_known:
            self._read_ended()
        self.results[0].get(propagate=False)
        return self.results.popleft()

    def _read_ended(self) -> None:
        """Those at the front that ended already, by one query."""
        front = [one for one in itertools.islice(self.results, AT_ONCE) if not one.is_known]
        found = {str(row.pk): row for row in Job.objects.filter(pk__in=[one.id for one in front], state__in=TERMINAL).defer("request")}
        for result in front:
            if (row := found.get(str(result.id))) is not None:
                result.know(row)

    def leave(self) -> None:
        """Nobody will take these: what has not started is cancelled."""
        left, self.results = [one.id for one in self.results], collections.deque()
        for page in _pages(left, 500):
            for job in Job.objects.filter(pk__in=page, state__in=WAITING):
                cancel(job, by="map")


def _outcome(result: JobResult, *, return_exceptions: bool) -> Completion:
    return result.get(propagate=not return_exceptions)  # type: ignore[no-any-return]  # or an error, as was asked for


def _pages(many: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(many), size):
        yield many[at : at + size]


def _as_async(many: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(many, AsyncIterable):
        return aiter(many)

    async def each() -> AsyncIterator[Any]:
        for one in many:
            yield one

    return each()


async def _first(items: AsyncIterator[Any], count: int) -> AsyncIterator[Any]:
    """At most so many of them."""
    for _ in range(count):
        with contextlib.suppress(StopAsyncIteration):
            yield await anext(items)
            continue
        return
