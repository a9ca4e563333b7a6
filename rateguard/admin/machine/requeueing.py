"""Put jobs back in line: what runs is given up and waits again, what waits for its time goes on now."""

from __future__ import annotations

from rateguard.admin.machine.choosing import choice_of, sentences
from rateguard.admin.machine.verb import Chosen, Look, Order, Told, Tone, Verb, Walk, count, not_reached
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, State
from rateguard.jobs.steering.requeue import PAGE, REQUEUEABLE, is_requeueable, requeue_many
from tenants.access import Access, Power

WHY_NOT = {
    **{state.value: "{n} {has} ended already (" + state.value + "): retry those that are to be done again." for state in sorted(TERMINAL)},
    State.RUNNING.value: "{n} {is_} running and asked to end or to come back already, or may never be sent twice.",
    State.QUEUED.value: "{n} {is_} in line already.",
}


class RequeueJobs(Verb):
    """The verb."""

    name = "requeue_jobs"
    label = "Requeue"
    button = "Requeue"

    def fits(self, row: Job, access: Access) -> bool:
        """What runs or waits for its time."""
        return access.may(Power.WORK, row.tenant_id) and is_requeueable(row)

    def look(self, chosen: Chosen) -> Look:
        """How many run, how many wait for their time."""
        choice = choice_of(chosen, REQUEUEABLE)
        told = sentences(choice, chosen, "put back in line", why_not=WHY_NOT)
        if running := choice.states[State.RUNNING]:
            what = "runs: its call is given up and it waits" if running == 1 else "run: their calls are given up and they wait"
            told.insert(1, f"{count(running, 'job')} {what} again in place. What has left is charged as it was reserved.")
        if later := choice.states[State.SCHEDULED]:
            told.insert(1, f"{count(later, 'job')} {'waits for its time and goes' if later == 1 else 'wait for their time and go'} on now.")
        return Look(choice.ids, tuple(told))

    def do(self, order: Order) -> list[Told]:
        """Page by page, as long as a go may take."""
        walk = Walk(order, requeue_many(order.look.touches, process_pump(), by=order.by), PAGE)
        asked = released = 0
        for page in walk:
            asked, released = asked + len(page.asked), released + len(page.released)
        told = []
        if asked:
            told.append(Told(Tone.DONE, f"{count(asked, 'running job')} asked to come back, within seconds."))
        if released:
            told.append(Told(Tone.DONE, f"{count(released, 'job')} in line now."))
        if (asked or released) and (meanwhile := walk.reached - asked - released):
            told.append(Told(Tone.BESIDE, f"{count(meanwhile, 'job')} had moved on meanwhile, and stay as they are."))
        return told + not_reached(len(order.look.touches) - walk.reached, "job")


REQUEUE_JOBS = RequeueJobs()
