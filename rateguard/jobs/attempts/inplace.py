"""Jobs that run where they are submitted: at once, in the caller's thread, without gate, Redis and worker. For tests and development.

The rows are those of a real run: claim, attempts, ledger entries, rollups, events, what hangs on the end. What waits is left out: limits,
budgets, breakers, the time of a scheduled job. Never beside a worker on the same database, whose caretaker takes such a job for an orphan.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

import orjson
from celery import Celery

from rateguard.conf import conf
from rateguard.engine.errors import ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.money import most_nano_usd
from rateguard.engine.providers.base import Endpoint, Outcome, Request
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.engine.routing.marks import read
from rateguard.jobs.attempts.claim import Claimed, claim
from rateguard.jobs.attempts.outcome import Finished, failed, succeeded
from rateguard.jobs.attempts.passing_on import passed_on
from rateguard.jobs.attempts.retrying import as_provider_error, settings_of
from rateguard.jobs.attempts.screened import screened_here
from rateguard.jobs.attempts.settle import settle
from rateguard.jobs.bodies import opened
from rateguard.jobs.ends import outbox
from rateguard.jobs.ends.transition import end
from rateguard.jobs.marked import places_of_row
from rateguard.jobs.models import Job
from rateguard.jobs.states import EXPIRE, FAIL, HOLD_BACK, REFUSE, RELEASE, TERMINAL
from rateguard.providers import known
from tenants.directory import Place
from tenants.models import GateEpoch, Tenant

MOST_HELD_BACK = 20
"""So often a provider's limit may send a job back."""
LONGEST_PAUSE_S = 5.0
"""Before another attempt, whatever the provider asks for: somebody sits before it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """How a call is made here: `call` gives the answer or raises ProviderError; `pause` waits so many seconds before another attempt.

    make_tenant: gives a tenant where there is none of that name, or none is named; None: that is an error.
    """

    call: Callable[[Place, Request, Job], Outcome]
    pause: Callable[[float], object]
    make_tenant: Callable[[str | None], Tenant] | None = None


def _call_provider(place: Place, request: Request, _: Job) -> Outcome:
    """The real one, on an event loop of its own."""

    async def exchange() -> Outcome:
        async with HttpClient() as http:
            return await ProviderRegistry(http, known()).get(place.target.provider).call(place.target, request)

    return asyncio.run(exchange())


REAL = Caller(_call_provider, time.sleep)

Onward = Callable[[Sequence[Finished]], Sequence[Finished]]

_here: ContextVar[bool] = ContextVar("rateguard_inplace", default=False)
_installed: list[Caller] = []
"""Those of tests, the innermost last; for all threads of the process, because a test's web server is one."""


# ---- who asks for it


def caller() -> Caller | None:
    """How jobs that are submitted here are to run at once; None: they go into the line."""
    if _installed:
        return _installed[-1]
    return REAL if _here.get() else None


@contextlib.contextmanager
def always() -> Iterator[None]:
    """What is submitted inside runs at once."""
    token = _here.set(True)
    try:
        yield
    finally:
        _here.reset(token)


def if_eager(app: Celery) -> contextlib.AbstractContextManager[None]:
    """The same where the app is CELERY_TASK_ALWAYS_EAGER."""
    return always() if app.conf.task_always_eager else contextlib.nullcontext()


@contextlib.contextmanager
def installed(one: Caller) -> Iterator[None]:
    """Every job that this process submits runs at once, by this caller."""
    _installed.append(one)
    try:
        yield
    finally:
        _installed.remove(one)


# ---- the run


def run_here(rows: Sequence[Job], by: Caller, onward: Onward) -> None:
    """Run these, just inserted, to their ends, one after the other; what hangs on the end of each goes on.

    onward: what becomes of ends before they are written: a job may go on at another model.
    """
    for row in rows:
        try:
            _run(row.pk, by, onward)
        finally:
            outbox.deliver([row.pk])


def _run(job_id: uuid.UUID, by: Caller, onward: Onward) -> None:
    number = held_back = 0
    while held_back < MOST_HELD_BACK:
        end(Job.objects.filter(pk=job_id), RELEASE)
        job = Job.objects.get(pk=job_id)
        place, claimed = _claim(job, number)
        if claimed is None:
            end(Job.objects.filter(pk=job_id), EXPIRE)  # its deadline has passed; one that a worker took is not waiting, and stays
            return
        finished = _attempt(job, claimed, place, by, onward)
        if finished.ended.transition.target in TERMINAL:
            return
        number += 1
        held_back += finished.ended.transition is HOLD_BACK
        by.pause(min(_pause_s(finished), LONGEST_PAUSE_S))
    message = f"the provider's limit was in the way {MOST_HELD_BACK} times"
    end(Job.objects.filter(pk=job_id), REFUSE, error_code=ErrorKind.RATE_LIMITED.value, error_message=message)


def _claim(job: Job, number: int) -> tuple[Place, Claimed | None]:
    """Open the next attempt at the next of the model's deployments that may do it, and that the job is not to spare."""
    marks = read(job.route_marks)
    able = places_of_row(job)
    in_front = [place for place in able if str(place.id) == marks.first] or [place for place in able if str(place.id) not in marks.last]
    places = in_front or able
    place = places[number % len(places)]
    cost = most_nano_usd(place.price, job.input_tokens, job.max_output_tokens, terms=job.price_words.split())
    epoch, _ = GateEpoch.objects.get_or_create(pk=1)
    entry = [job.pk.hex, job.attempt + 1, place.id, cost, 0]
    found = claim([entry], epoch.number, f"here-{os.getpid()}", {place.id: place.name})
    return place, next(iter(found), None)


def _attempt(job: Job, claimed: Claimed, place: Place, by: Caller, onward: Onward) -> Finished:
    """One call and its end, written. What is no error of the provider's ends the job, and is raised."""
    began_s = time.monotonic()
    request = Request(
        endpoint=Endpoint(claimed.endpoint),
        body=orjson.loads(opened(claimed.request)),
        attempt_id=f"{claimed.job}.{claimed.attempt}",
        total_timeout_s=claimed.timeout_s,
        connect_timeout_s=claimed.connect_timeout_s or conf().connect_timeout_s,
        first_token_timeout_s=claimed.first_token_timeout_s or claimed.timeout_s,
    )
    try:
        finished = screened_here(claimed, place, succeeded(claimed, place, by.call(place, request, job), _since_ms(began_s)))
    except ProviderError as error:
        finished = _failed(claimed, place, error, began_s)
    except BaseException as error:
        finished = _unforeseen(claimed, place, error, began_s)
        if finished.ended.transition is FAIL:
            settle([finished.ended])
            raise
    (finished,) = onward([finished])
    settle([finished.ended])
    return finished


def _unforeseen(claimed: Claimed, place: Place, error: BaseException, began_s: float) -> Finished:
    """What is no error of the provider's: a refusal of its adapter sends the job to another deployment."""
    onward = passed_on(claimed, place, error, _since_ms(began_s)) if isinstance(error, InvalidRequest) else None
    return onward or _failed(claimed, place, as_provider_error(error, has_left=False), began_s)


def _failed(claimed: Claimed, place: Place, error: ProviderError, began_s: float) -> Finished:
    has_left = error.kind != ErrorKind.CONNECT
    settings = settings_of(claimed.model, claimed.max_tries)
    return failed(claimed, place, error, _since_ms(began_s), has_left=has_left, chance=1.0, settings=settings)


def _since_ms(began_s: float) -> int:
    return int((time.monotonic() - began_s) * 1_000)


def _pause_s(finished: Finished) -> float:
    cooldown = finished.settlement.cooldown
    return max(finished.ended.retry_ms, 0 if cooldown is None else cooldown.for_ms) / 1_000
