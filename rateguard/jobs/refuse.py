"""What can never be granted ends as failed, with the limit in the way. Where the gate lacks configuration, that is pushed instead."""

from __future__ import annotations

from collections.abc import Iterable

from rateguard import wiring
from rateguard.engine.gate.contract import Refusal, Refused
from rateguard.jobs.finished import announce
from rateguard.jobs.models import Job
from rateguard.jobs.states import REFUSE
from rateguard.jobs.transition import end

_MESSAGES = {
    Refusal.EXCEEDS_LIMIT: "the request needs more than the whole limit {binding}: make it smaller, or raise the limit",
    Refusal.BUDGET_EXHAUSTED: "the most that it can cost does not fit the rest of budget {binding}: raise the budget, or ask for less",
}


def refuse(refused: Iterable[Refused]) -> None:
    """Write refusals. What the gate did not know yet is configured; its rows wait for the sweeper."""
    ended = []
    for one in refused:
        if one.reason == Refusal.NOT_CONFIGURED:
            wiring.push_configuration()
            continue
        queued = Job.objects.filter(pk=one.job, attempt=one.attempt)
        message = _MESSAGES[one.reason].format(binding=one.binding)
        ended += end(queued, REFUSE, error_code=one.reason.value, error_message=message)
    announce(ended)
