"""What the project's middlewares make of a request, before anything is counted or stored."""

from __future__ import annotations

import dataclasses
import logging

from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.intake.checking import check
from rateguard.jobs.intake.submission import NAMES, Submission
from rateguard.screening.chain import chain
from rateguard.screening.contract import Context, MiddlewareBroke

logger = logging.getLogger(__name__)


def screened(submission: Submission) -> Submission:
    """The submission with the request as it is to be stored and sent. Raises Refused, MiddlewareBroke."""
    if not chain().has_before:
        return submission
    body = chain().before(submission.body, _context_of(submission))
    if body == submission.body:
        return submission
    changed = dataclasses.replace(submission, body=body)
    try:
        check(changed)
    except InvalidRequest as refusal:
        logger.error("the middlewares made a request that is none: %s at %s", refusal.code, refusal.pointer)  # noqa: TRY400 - no prompt in a log
        raise MiddlewareBroke("a middleware made a request that is none: whoever runs this service finds in the log why") from None
    return changed


def _context_of(submission: Submission) -> Context:
    return Context(
        tenant_id=submission.tenant.pk,
        model=str(submission.body["model"]),
        endpoint=submission.endpoint.value,
        via=submission.via,
        names={name: getattr(submission, name) for name in NAMES},
        labels=submission.labels,
        metadata=submission.metadata,
    )
