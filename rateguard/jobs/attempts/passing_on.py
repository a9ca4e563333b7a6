"""A deployment whose adapter has no words for a request, although submit took it: the job goes on to another one, and no try is counted.

So it is where what a deployment can do was changed since, or where only the whole request shows it. Nothing left this process.
"""

from __future__ import annotations

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.gate.contract import ReservationId, Settlement
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.attempts.elsewhere import marks_without
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.attempts.settle import Ended
from rateguard.jobs.states import PASS_ON, AttemptState
from tenants.directory import Place


def passed_on(claimed: Claimed, place: Place, refusal: InvalidRequest, latency_ms: int) -> Finished | None:
    """The end of such an attempt: its job waits again, and is never asked here any more. None: there is no other deployment."""
    marks = marks_without(claimed, place)
    if marks is None:
        return None
    ended = Ended(
        job=claimed.job,
        attempt=claimed.attempt,
        state=AttemptState.FAILED,
        transition=PASS_ON,
        usage=Usage(),
        nano_usd=0,
        error_code=refusal.code[:64],
        error_message=str(refusal),
        latency_ms=latency_ms,
        queue_ms=claimed.queue_ms,
        route_marks=marks,
        told={"deployment": place.name},
    )
    return Finished(ended, Settlement(ReservationId(claimed.job, claimed.attempt), used=False), None)
