"""Cancel jobs: what waits ends at once, what runs is asked to."""

from __future__ import annotations

from django.db.models import Q

from rateguard.admin.machine.choosing import choice_of, sentences
from rateguard.admin.machine.verb import Chosen, Look, Order, Told, Tone, Verb, Walk, count, not_reached
from rateguard.jobs.ends.cancel_many import PAGE, cancel_many
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, WAITING, State
from tenants.access import Access, Power

MOVABLE = Q(state=State.QUEUED) | Q(state=State.SCHEDULED) | Q(state=State.RUNNING, cancel_requested=False)
"""One by one, for each has an index of its own."""
WHY_NOT = {
    **{state.value: "{n} {has} ended already (" + state.value + ")." for state in sorted(TERMINAL)},
    State.RUNNING.value: "{n} {is_} running and asked to end already.",
}


class CancelJobs(Verb):
    """The verb."""

    name = "cancel_jobs"
    label = "Cancel"
    button = "Cancel"
    is_grave = True

    def fits(self, row: Job, access: Access) -> bool:
        """What has not ended, and was not asked to."""
        return access.may(Power.WORK, row.tenant_id) and row.state not in TERMINAL and not row.cancel_requested

    def look(self, chosen: Chosen) -> Look:
        """How many wait, how many run, how many have ended."""
        choice = choice_of(chosen, MOVABLE)
        waiting, running = sum(choice.states[state] for state in WAITING), choice.states[State.RUNNING]
        told = sentences(choice, chosen, "cancelled", why_not=WHY_NOT)
        if waiting:
            told.insert(1, f"{count(waiting, 'job')} {'waits and ends' if waiting == 1 else 'wait and end'} at once, at no cost.")
        if running:
            told.insert(2 if waiting else 1, _of_running(running))
        return Look(choice.ids, tuple(told))

    def do(self, order: Order) -> list[Told]:
        """Page by page, as long as a go may take."""
        walk = Walk(order, cancel_many(order.look.touches, process_pump(), by=order.by), PAGE)
        ended = asked = 0
        for page in walk:
            ended, asked = ended + len(page.ended), asked + len(page.asked)
        told = []
        if ended:
            told.append(Told(Tone.DONE, f"{count(ended, 'job')} cancelled."))
        if asked:
            told.append(Told(Tone.DONE, f"{count(asked, 'running job')} asked to end, each within seconds; what it used is billed."))
        if meanwhile := walk.reached - ended - asked:
            told.append(Told(Tone.BESIDE, f"{count(meanwhile, 'job')} had ended meanwhile, and stay as they are."))
        return told + not_reached(len(order.look.touches) - walk.reached, "job")


def _of_running(number: int) -> str:
    what = "runs and is asked to end" if number == 1 else "run and are asked to end"
    return f"{count(number, 'job')} {what}: what the provider has done by then is billed."


CANCEL_JOBS = CancelJobs()
