"""A job's answer: what its row keeps, or, where it is not to be stored, what its stream of events still has for who waited."""

from __future__ import annotations

from rateguard.jobs.bodies import opened
from rateguard.jobs.ends.event_stream import read_answer
from rateguard.jobs.models import Job
from rateguard.jobs.states import State


def answer_of(job: Job) -> str | None:
    """The provider's JSON; None where there is none, or none any more. Raises SecretUnreadable."""
    if job.state != State.SUCCEEDED:
        return None
    if job.result is not None:
        return opened(job.result)
    return None if job.is_stored else read_answer(job.pk, job.attempt)
