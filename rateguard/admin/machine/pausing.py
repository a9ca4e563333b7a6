"""Pause and resume what stands in a list: tenants, models, deployments, accounts, runs.

class DeploymentAdmin(VerbAdmin, …):
verbs = (PauseRows(PauseKind.DEPLOYMENT), ResumeRows(PauseKind.DEPLOYMENT))
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from django import forms

from rateguard.admin.inputs import dress
from rateguard.admin.machine.verb import AT_ONCE, Chosen, Look, Order, Told, Tone, Verb, count, not_reached, of_the_chosen, reasons
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.controls.pauses import LONGEST_REASON, pause, pauses_in_force, resume, resume_row
from tenants.access import Access, Power
from tenants.models import Pause, PauseKind, Run

SPANS = {"": "until it is resumed", "15": "15 minutes", "60": "1 hour", "240": "4 hours", "1440": "1 day", "10080": "7 days"}
WORDS = {PauseKind.ACCOUNT: "account", PauseKind.DEPLOYMENT: "deployment", PauseKind.MODEL: "model", PauseKind.RUN: "run"}


class PauseForm(forms.Form):
    """For how long, and why."""

    minutes = forms.ChoiceField(label="For how long", choices=list(SPANS.items()), required=False)
    reason = forms.CharField(label="Why", max_length=LONGEST_REASON, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self)

    def span(self) -> dt.timedelta | None:
        """How long; None: until it is resumed."""
        return span_of(self.cleaned_data)


def span_of(fields: Any) -> dt.timedelta | None:
    """How long a pause lasts; None: until it is resumed."""
    return dt.timedelta(minutes=int(fields["minutes"])) if fields.get("minutes") else None


class _OfKind(Verb):
    """What both verbs know: what kind of thing it is, who may, and by which name the pause is known."""

    def __init__(self, kind: PauseKind) -> None:
        self.kind = kind
        self.word = WORDS.get(kind, kind.value)

    def may(self, access: Access) -> bool:
        """Operators; of runs also who works for the tenant."""
        return access.may_anywhere(Power.WORK) if self.kind == PauseKind.RUN else access.is_operator

    def owns(self, row: Any, access: Access) -> bool:
        """Whether it is theirs to switch."""
        return access.may(Power.WORK, row.tenant_id) if self.kind == PauseKind.RUN else access.is_operator

    def paused(self, rows: list[Any]) -> set[str]:
        """The targets among these rows that are paused now."""
        found = pauses_in_force().filter(target_kind=self.kind.value, target__in=[self.target(row) for row in rows])
        return set(found.values_list("target", flat=True))

    def target(self, row: Any) -> str:
        """As the pause's row names it."""
        if self.kind == PauseKind.RUN:
            return str(row.pk.hex)
        return str(row.name if self.kind == PauseKind.MODEL else row.pk)

    def named(self, row: Any) -> str:
        """As people, and `find_target`, name it."""
        return str(row.pk) if self.kind == PauseKind.RUN else str(row.name)

    def rows(self, chosen: Chosen) -> tuple[list[Any], int]:
        """Those that are theirs to switch, at most AT_ONCE, and how many were chosen."""
        rows = list(chosen.rows[: AT_ONCE + 1])
        return [row for row in rows[:AT_ONCE] if self.owns(row, chosen.access)], len(rows)


class PauseRows(_OfKind):
    """The verb. Pausing what is paused gives it the new end and the new reason."""

    name = "pause_rows"
    label = button = "Pause"
    form = PauseForm

    def fits(self, row: Any, access: Access) -> bool:
        """What is theirs and is not paused; what is gets a new end from the list."""
        return self.owns(row, access) and not self.paused([row])

    def look(self, chosen: Chosen) -> Look:
        """How many, and how many of them are paused already."""
        rows, seen = self.rows(chosen)
        told = [of_the_chosen(len(rows), seen, self.word, "paused", is_all=chosen.is_all)]
        if rows:
            told.append("Nothing of a paused one starts; what runs goes on to its end, and what waits goes on waiting.")
        if already := len(self.paused(rows)):
            told.append(f"{count(already, self.word)} paused already: the new end and reason take the place of the old.")
        return Look(tuple(self.named(row) for row in rows), tuple(told), self.word)

    def do(self, order: Order) -> list[Told]:
        """Each, as long as a go may take."""
        done, refused = 0, Counter[str]()
        for name in order.look.touches:
            try:
                pause(self.kind.value, name, span_of(order.fields), order.fields.get("reason", ""), order.by)
                done += 1
            except InvalidRequest as error:
                refused.update([str(error)])
            if order.is_late:
                break
        told = [Told(Tone.DONE, f"{count(done, self.word)} paused {_until(order)}.")] if done else []
        told += reasons(refused, lambda number: f"{count(number, self.word)} not paused")
        return told + not_reached(len(order.look.touches) - done - sum(refused.values()), self.word)


class ResumeRows(_OfKind):
    """The verb."""

    name = "resume_rows"
    label = button = "Resume"

    def fits(self, row: Any, access: Access) -> bool:
        """What is theirs and is paused."""
        return self.owns(row, access) and bool(self.paused([row]))

    def look(self, chosen: Chosen) -> Look:
        """How many of them are paused."""
        rows, seen = self.rows(chosen)
        paused = self.paused(rows)
        mine = [row for row in rows if self.target(row) in paused]
        told = [of_the_chosen(len(mine), seen, self.word, "resumed", is_all=chosen.is_all)]
        if mine:
            told.append("What waits goes on within a second.")
        if rest := len(rows) - len(mine):
            told.append(f"{count(rest, self.word)} not paused.")
        return Look(tuple(self.named(row) for row in mine), tuple(told), self.word)

    def do(self, order: Order) -> list[Told]:
        """Each, as long as a go may take."""
        done = tried = 0
        for name in order.look.touches:
            tried += 1
            done += resume(self.kind.value, name, order.by)
            if order.is_late:
                break
        told = [Told(Tone.DONE, f"{count(done, self.word)} resumed.")] if done else []
        if meanwhile := tried - done:
            told.append(Told(Tone.BESIDE, f"{count(meanwhile, self.word)} resumed meanwhile by somebody else."))
        return told + not_reached(len(order.look.touches) - tried, self.word)


class ResumePauses(Verb):
    """The verb on the list of pauses themselves."""

    name = "resume_pauses"
    label = button = "Resume"

    def fits(self, row: Pause, access: Access) -> bool:
        """Whether it is theirs to lift."""
        return may_switch(row.target_kind, row.target, access)

    def look(self, chosen: Chosen) -> Look:
        """How many are theirs to lift."""
        rows = list(chosen.rows[: AT_ONCE + 1])
        mine = [row for row in rows[:AT_ONCE] if self.fits(row, chosen.access)]
        told = [of_the_chosen(len(mine), len(rows), "pause", "lifted", is_all=chosen.is_all)]
        if mine:
            told.append("What waits goes on within a second.")
        if rest := len(rows) - len(mine):
            told.append(f"{count(rest, 'pause')} made by whoever runs the service, and theirs to lift.")
        return Look(tuple(row.pk for row in mine), tuple(told), "pause")

    def do(self, order: Order) -> list[Told]:
        """Each of them."""
        rows = Pause.objects.filter(pk__in=order.look.touches)
        done = sum(resume_row(row, order.by) for row in rows)
        told = [Told(Tone.DONE, f"{count(done, 'pause')} lifted.")] if done else []
        if meanwhile := len(order.look.touches) - done:
            told.append(Told(Tone.BESIDE, f"{count(meanwhile, 'pause')} lifted meanwhile by somebody else."))
        return told


def may_switch(kind: str, target: str, access: Access) -> bool:
    """Whether somebody may pause or resume this: an operator anything, who works for a tenant the tenant's runs."""
    if access.is_operator:
        return True
    if kind != PauseKind.RUN:
        return False
    found = Run.objects.filter(pk=target).only("tenant").first()
    return found is not None and access.may(Power.WORK, found.tenant_id)


def _until(order: Order) -> str:
    words = SPANS[order.fields.get("minutes") or ""]
    return words if not order.fields.get("minutes") else f"for {words}"
