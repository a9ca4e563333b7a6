"""Let jobs wait again that failed, were cancelled or expired."""

from __future__ import annotations

from collections import Counter

from django.db.models import Q

from rateguard.admin.machine.choosing import choice_of, sentences
from rateguard.admin.machine.verb import Chosen, Look, Order, Told, Tone, Verb, count, not_reached, reasons
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.models import Job
from rateguard.jobs.states import RESUBMIT, State
from tenants.access import Access, Power

WHY_NOT = {
    State.SUCCEEDED.value: "{n} {has} succeeded: submit a new one for another answer.",
    State.RUNNING.value: "{n} {is_} running.",
    State.QUEUED.value: "{n} {is_} waiting already.",
    State.SCHEDULED.value: "{n} {is_} waiting already, for a later time.",
    **{state.value: "{n} {has} ended since you looked: look at the list again." for state in sorted(RESUBMIT.sources)},
}
MOVED_ON = "not_retryable"


class RetryJobs(Verb):
    """The verb. A job that ended again after the page in between was shown is not touched: a second click does not retry twice."""

    name = "retry_jobs"
    label = "Retry"
    button = "Retry"

    def fits(self, row: Job, access: Access) -> bool:
        """What ended otherwise than well."""
        return access.may(Power.WORK, row.tenant_id) and row.state in RESUBMIT.sources

    def look(self, chosen: Chosen) -> Look:
        """How many ended otherwise than well."""
        choice = choice_of(chosen, _movable(chosen))
        told = sentences(choice, chosen, "retried", why_not=WHY_NOT)
        if choice.ids:
            told.insert(1, "Each waits again under its id, at the end of its lane. What its earlier attempts cost stays charged.")
        return Look(choice.ids, tuple(told))

    def do(self, order: Order) -> list[Told]:
        """One by one, for each is judged as a new one is: its budget, its queue, its model; as long as a go may take."""
        done, meanwhile, tried = 0, 0, 0
        refused: Counter[str] = Counter()
        for pk in order.look.touches:
            tried += 1
            try:
                if Job.objects.filter(_movable(order.chosen), pk=pk).exists():
                    retry(Job(pk=pk), by=order.by)
                    done += 1
                else:
                    meanwhile += 1
            except InvalidRequest as error:
                meanwhile += error.code == MOVED_ON
                refused.update([str(error)] if error.code != MOVED_ON else [])
            if order.is_late:
                break
        told = [Told(Tone.DONE, f"{count(done, 'job')} waiting again.")] if done else []
        if meanwhile:
            told.append(Told(Tone.BESIDE, f"{count(meanwhile, 'job')} had moved on meanwhile, and stay as they are."))
        told += reasons(refused, lambda number: f"{count(number, 'job')} refused")
        return told + not_reached(len(order.look.touches) - tried, "job")


def _movable(chosen: Chosen) -> Q:
    return Q(state__in=sorted(RESUBMIT.sources), finished_at__lte=chosen.seen_at)


RETRY_JOBS = RetryJobs()
