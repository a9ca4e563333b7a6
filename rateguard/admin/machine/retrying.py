"""Let jobs wait again that failed, were cancelled or expired."""

from __future__ import annotations

from collections import Counter

from rateguard.admin.machine.choosing import choice_of, sentences
from rateguard.admin.machine.verb import Chosen, Look, Order, Told, Tone, Verb, Walk, count, not_reached, reasons
from rateguard.jobs.intake.refusals import Refusals
from rateguard.jobs.intake.retry_many import PAGE, retry_many, retryable
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job
from rateguard.jobs.states import RESUBMIT, State
from tenants.access import Access, Power

WHY_NOT = {
    State.SUCCEEDED.value: "{n} {has} succeeded: submit a new one for another answer.",
    State.RUNNING.value: "{n} {is_} running.",
    State.QUEUED.value: "{n} {is_} waiting already.",
    State.SCHEDULED.value: "{n} {is_} waiting already, for a later time.",
    **{state.value: "{n} ended since you looked, or {has} no request any more: look again." for state in sorted(RESUBMIT.sources)},
}


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
        choice = choice_of(chosen, retryable(chosen.seen_at))
        told = sentences(choice, chosen, "retried", why_not=WHY_NOT)
        if choice.ids:
            told.insert(1, "Each waits again under its id, at the end of its lane. What its earlier attempts cost stays charged.")
        return Look(choice.ids, tuple(told))

    def do(self, order: Order) -> list[Told]:
        """Page by page; each is judged as a new one is: its budget, its queue, its model. As long as a go may take."""
        walk = Walk(order, retry_many(order.look.touches, process_pump(), order.chosen.seen_at, by=order.by), PAGE)
        waiting = 0
        refused = Refusals()
        for page in walk:
            waiting += len(page.ids)
            refused.add_all(page.refused)
        told = [Told(Tone.DONE, f"{count(waiting, 'job')} waiting again.")] if waiting else []
        if meanwhile := walk.reached - waiting - refused.total:
            told.append(Told(Tone.BESIDE, f"{count(meanwhile, 'job')} had moved on meanwhile, and stay as they are."))
        why = Counter({str(refusal): refused.jobs[code] for code, refusal in refused.first.items()})
        told += reasons(why, lambda number: f"{count(number, 'job')} refused")
        return told + not_reached(len(order.look.touches) - walk.reached, "job")


RETRY_JOBS = RetryJobs()
