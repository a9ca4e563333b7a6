"""What the project's middlewares make of an answer: once, when it is whole, before anything of it is stored or told.

Whatever they do, the attempt ends as an answered call, at the price that the provider asks: who refuses an answer has paid for it.
"""

from __future__ import annotations

import asyncio
import dataclasses

import orjson

from rateguard.engine.errors import RateguardError
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.bodies import opened
from rateguard.jobs.states import FAIL, AttemptState
from rateguard.screening.chain import chain
from rateguard.screening.contract import Body, Context, MiddlewareBroke, Refused
from tenants.directory import Place


async def screened(claimed: Claimed, place: Place, finished: Finished) -> Finished:
    """The end with the answer as it is to be stored; or a failure, where a middleware refuses it or breaks: the job is not tried again."""
    if not chain().has_after or finished.ended.result is None:
        return finished
    passing = asyncio.ensure_future(chain().after(*_bodies(claimed, finished.ended.result), _context_of(claimed, place)))
    try:
        return _with(finished, await _to_its_end(passing))
    except (Refused, MiddlewareBroke) as error:
        return _without(finished, error)


def screened_here(claimed: Claimed, place: Place, finished: Finished) -> Finished:
    """The same from a thread without an event loop."""
    if not chain().has_after or finished.ended.result is None:
        return finished
    try:
        return _with(finished, chain().after_here(*_bodies(claimed, finished.ended.result), _context_of(claimed, place)))
    except (Refused, MiddlewareBroke) as error:
        return _without(finished, error)


async def _to_its_end(passing: asyncio.Future[Body]) -> Body:
    """The answer is here and paid for: nobody gives the call up any more."""
    while True:
        try:
            return await asyncio.shield(passing)
        except asyncio.CancelledError:
            if passing.cancelled():
                raise


def _bodies(claimed: Claimed, answer: str) -> tuple[Body, Body]:
    return orjson.loads(answer), orjson.loads(opened(claimed.request))


def _with(finished: Finished, answer: Body) -> Finished:
    return dataclasses.replace(finished, ended=dataclasses.replace(finished.ended, result=orjson.dumps(answer).decode()))


def _without(finished: Finished, error: RateguardError) -> Finished:
    ended = dataclasses.replace(
        finished.ended,
        state=AttemptState.FAILED,
        transition=FAIL,
        result=None,
        error_code=error.code,
        error_message=str(error),
        counts_try=True,
    )
    return dataclasses.replace(finished, ended=ended)


def _context_of(claimed: Claimed, place: Place) -> Context:
    return Context(
        tenant_id=claimed.tenant_id,
        model=claimed.model,
        endpoint=claimed.endpoint,
        job=claimed.job,
        attempt=claimed.attempt,
        deployment=place.name,
    )
