"""Move waiting jobs to another lane."""

from __future__ import annotations

from typing import Any

from django import forms

from rateguard.admin.inputs import dress
from rateguard.admin.machine.choosing import choice_of, sentences
from rateguard.admin.machine.verb import Chosen, Look, Order, Told, Tone, Verb, Walk, count, not_reached
from rateguard.engine.lanes import Lane
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, WAITING, State
from rateguard.jobs.steering.lane import PAGE, WAITS, change_lane_many
from tenants.access import Access, Power

WHY_NOT = {
    **{state.value: "{n} {has} ended already (" + state.value + ")." for state in sorted(TERMINAL)},
    State.RUNNING.value: "{n} {is_} running, and {has} a lane no more.",
}


class LaneForm(forms.Form):
    """Where to."""

    lane = forms.ChoiceField(label="To lane", choices=[(lane.label, lane.label) for lane in Lane])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self)


class MoveJobs(Verb):
    """The verb."""

    name = "move_jobs"
    label = "Change the lane"
    button = "Change the lane"
    form = LaneForm

    def fits(self, row: Job, access: Access) -> bool:
        """What waits."""
        return access.may(Power.WORK, row.tenant_id) and row.state in WAITING

    def look(self, chosen: Chosen) -> Look:
        """How many wait."""
        choice = choice_of(chosen, WAITS)
        told = sentences(choice, chosen, "moved", why_not=WHY_NOT)
        if choice.ids:
            told.insert(1, "Each keeps its place in time: on its new lane it stands before what came in after it.")
        return Look(choice.ids, tuple(told))

    def do(self, order: Order) -> list[Told]:
        """Page by page, as long as a go may take."""
        lane = Lane[str(order.fields["lane"]).upper()]
        walk = Walk(order, change_lane_many(order.look.touches, lane, process_pump(), by=order.by), PAGE)
        moved = refused = 0
        reason = ""
        for page in walk:
            moved, refused = moved + len(page.ids), refused + page.refused.total
            reason = reason or next((str(refusal) for refusal in page.refused.first.values()), "")
        told = [Told(Tone.DONE, f"{count(moved, 'job')} moved to lane {lane.label}.")] if moved else []
        if refused:
            told.append(Told(Tone.REFUSED, f"{count(refused, 'job')} refused: {reason}"))
        if moved and (rest := walk.reached - moved - refused):
            told.append(Told(Tone.BESIDE, f"{count(rest, 'job')} on that lane already, or no longer waiting."))
        return told + not_reached(len(order.look.touches) - walk.reached, "job")


MOVE_JOBS = MoveJobs()
