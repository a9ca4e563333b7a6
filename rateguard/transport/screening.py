"""Middlewares that are to see answers: they see each whole, before the caller does, and what was a stream is kept back until then.

Whatever they do, the call is charged: who refuses an answer has paid for it. What they change goes on where the answer is one of OpenAI's
dialect in one piece; of another form they may refuse it, but have no words to write it in.
"""

from __future__ import annotations

import orjson

from rateguard.screening.chain import chain
from rateguard.screening.contract import Body, Context, MiddlewareBroke
from rateguard.transport.attempt import Attempt, as_object
from rateguard.transport.prepare import VIA

Given = tuple[Body, Body, Context]


def screens_answers() -> bool:
    """Whether there are any."""
    return chain().has_after


def given_to(attempt: Attempt, answer: bytes) -> Given:
    """What they get: copies of the answer and of the request, in OpenAI's shape. answer: as the adapter reads it."""
    prepared = attempt.prepared
    context = Context(
        tenant_id=prepared.call.tenant_id,
        model=prepared.asked.model,
        endpoint=prepared.asked.endpoint.value,
        via=VIA,
        deployment=attempt.place.name,
    )
    return as_object(answer), as_object(orjson.dumps(prepared.asked.view)), context


def told_on(attempt: Attempt, answer: bytes, body: bytes, screened: Body, *, is_streamed: bool) -> bytes:
    """What the caller gets. body: what the provider sent. Raises MiddlewareBroke."""
    if screened == as_object(answer):
        return body
    if is_streamed or attempt.prepared.asked.native is not attempt.prepared.asked.view:
        raise MiddlewareBroke("a middleware changed an answer that has a form of its own: ask without a stream, through OpenAI's client")
    return orjson.dumps(screened)
