"""A job that its model gives up goes on at another one, which the model names for such an error, and at most so often.

It is decided in the database's thread, right before the ends are written: the request is counted anew for the other model. What was tried
stays charged at the model where it ran.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import orjson
from django.db import DatabaseError

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest, RateguardError
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.attempts.settle import Ended, Moved
from rateguard.jobs.bodies import opened
from rateguard.jobs.intake.allowed import may_use
from rateguard.jobs.intake.fits import check_limits
from rateguard.jobs.intake.rerouting import been_at, reroute
from rateguard.jobs.models import Job
from rateguard.jobs.states import FAIL, FALL_BACK, HOLD_BACK, State
from tenants.routing import PLAIN

logger = logging.getLogger(__name__)


def with_fallbacks(ends: Sequence[Finished]) -> Sequence[Finished]:
    """These ends, but a job that may go on at another model does so instead of failing, or of waiting for a passing limit."""
    if not any(one.falls_back_on for one in ends):
        return ends
    return [_with_fallback(one) if one.falls_back_on and one.ended.transition in {FAIL, HOLD_BACK} else one for one in ends]


def _with_fallback(one: Finished) -> Finished:
    """Whatever breaks here, the job ends; but the database's absence is for whoever asks again."""
    try:
        return _moved_on(one)
    except DatabaseError:
        raise
    except Exception:
        logger.exception("job %s fails, for nobody could say whether another model may do it", one.ended.job)
        return one


def _moved_on(one: Finished) -> Finished:
    row = Job.objects.filter(pk=one.ended.job, attempt=one.ended.attempt, state=State.RUNNING).defer("result", "canvas").first()
    if row is None or row.cancel_requested or row.fallbacks >= _most(row):
        return one
    told = {"from": row.model, "on": one.falls_back_on}
    moved = _moved(row, one.falls_back_on)
    return one if moved is None else dataclasses.replace(one, ended=_fallen_back(one.ended, moved, row.route_marks, told))


def _most(row: Job) -> int:
    """As the model says that was asked for; where that is gone, the one where it is."""
    found = wiring.directory().routing
    return found.get(row.asked_model, found.get(row.model, PLAIN)).max_fallbacks


def _moved(row: Job, kind: str) -> Moved | None:
    """The first model of those named for this kind of error that can do it, counted for it; None: none can."""
    asked, before = row.asked_model, been_at(row)
    try:
        body = orjson.loads(opened(row.request))
    except RateguardError:
        return None
    for model in wiring.directory().routing.get(row.model, PLAIN).fallbacks_on(kind):
        if model in before or not may_use(row.api_key_id, model):
            continue
        try:
            check_limits(row, reroute(row, model, body))
        except InvalidRequest as refusal:
            logger.info("job %s does not fall back to %s: %s", row.pk, model, refusal.code)
        else:
            return Moved(model, asked, row.counted_tokens, row.input_tokens, row.output_tokens)
    return None


def _fallen_back(ended: Ended, moved: Moved, route_marks: str, told: dict[str, str]) -> Ended:
    told = {**told, "to": moved.model}
    return dataclasses.replace(ended, transition=FALL_BACK, counts_try=False, route_marks=route_marks, moved=moved, told=told)
