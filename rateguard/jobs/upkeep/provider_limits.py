"""What is known of providers' limits, kept: they are asked again where that costs nothing, and what was learned is written down."""

from __future__ import annotations

from django.db.models import QuerySet

from rateguard import wiring
from rateguard.engine.gate.contract import Gate
from rateguard.jobs.controls.syncing import Asked, ask
from rateguard.jobs.within import Look
from tenants.directory import Place
from tenants.models import Limit, LimitKind

AT_ONCE = 8
"""Providers asked at the same time."""


class Resync:
    """Asks one deployment of each account whose limits an answer may tell of; who tells nothing is not asked again."""

    def __init__(self) -> None:
        self._due: list[Place] = []
        self._looks: list[tuple[Place, Look[Asked]]] = []
        self._silent: set[tuple[int, str]] = set()

    def begin(self) -> None:
        """A new round of questions, where the last one is over."""
        if self._due or self._looks:
            return
        found = wiring.directory()
        accounts = {place.account_id: place for place in found.places.values() if found.readable_at(place.id).limits}
        self._due = [place for place in accounts.values() if _asked_as(place) not in self._silent]

    def go_on(self, gate: Gate) -> None:
        """Take what was answered, ask the next. It waits for nobody. Raises GateError."""
        still = []
        for place, look in self._looks:
            try:
                asked = look.wait(0)
            except TimeoutError:
                still.append((place, look))
                continue
            self._take(gate, place, asked)
        self._looks = still
        while self._due and len(self._looks) < AT_ONCE:
            place = self._due.pop()
            self._looks.append((place, ask(place.target)))

    def _take(self, gate: Gate, place: Place, asked: Asked) -> None:
        """What one told of its limits; an answer that tells nothing says that no other will."""
        if asked.listing.readings:
            gate.sync((), asked.readings(place))
        elif asked.listing.is_good or not asked.listing.was_asked:
            self._silent.add(_asked_as(place))


def _asked_as(place: Place) -> tuple[int, str]:
    return place.account_id, place.target.base_url


def note_learned(gate: Gate) -> int:
    """Write down where the learned limits stand, so that a rebuilt gate begins there. Returns how many moved. Raises GateError."""
    rows = {f"l{row.pk}": row for row in Limit.objects.filter(kind=LimitKind.LEARNED)}
    moved = 0
    for use in gate.inspect(tuple(rows)).limits if rows else ():
        row = rows[use.id]
        if use.amount != (row.learned_amount or row.amount):
            moved += QuerySet(Limit).filter(pk=row.pk).update(learned_amount=use.amount)  # the gate knows it already
    return moved
