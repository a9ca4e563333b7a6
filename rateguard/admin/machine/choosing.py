"""Of the jobs that a person chose: which a verb can move, and why not the others. Counted up to a bound, by looking and not by COUNT."""

from __future__ import annotations

import dataclasses
from collections import Counter
from uuid import UUID

from django.db.models import Q

from rateguard.admin.machine.verb import AT_ONCE, Chosen, count, of_the_chosen
from rateguard.jobs.insight.search import HEAVY
from tenants.access import Power


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """ids: what can be moved, the newest first, at most AT_ONCE. possible, chosen: how many, counted up to one more than that.

    others: of the first AT_ONCE that were chosen, those that cannot be moved, by state. foreign: those that only others may move.
    """

    ids: tuple[UUID, ...]
    states: Counter[str]
    possible: int
    chosen: int
    others: Counter[str]
    foreign: int


def choice_of(chosen: Chosen, movable: Q) -> Choice:
    """What was chosen, as a verb with this condition sees it. Three statements at most."""
    rows = chosen.rows.filter(submitted_at__lte=chosen.seen_at).select_related(None).order_by("-submitted_at", "-pk").defer(*HEAVY)
    mine = chosen.access.within(rows.filter(movable), power=Power.WORK)
    found = list(mine.values_list("pk", "state")[: AT_ONCE + 1])
    ids = tuple(pk for pk, _ in found[:AT_ONCE])
    seen = list(rows.values_list("pk", "state", "tenant_id")[: AT_ONCE + 1])
    moved = {pk for pk, _ in found}
    left = [(state, tenant) for pk, state, tenant in seen if pk not in moved]
    foreign = sum(not chosen.access.may(Power.WORK, tenant) for _, tenant in left)
    others = Counter(state for state, tenant in left if chosen.access.may(Power.WORK, tenant))
    return Choice(ids, Counter(state for _, state in found[:AT_ONCE]), len(found), len(seen), others, foreign)


def sentences(choice: Choice, chosen: Chosen, can_be: str, *, why_not: dict[str, str]) -> list[str]:
    """How many can be moved, and why not the others. why_not: by state, with {n} and {has}."""
    told = [of_the_chosen(choice.possible, choice.chosen, "job", can_be, is_all=chosen.is_all)]
    if choice.possible > AT_ONCE:
        told.append(f"One go takes {count(AT_ONCE, 'job')}: the newest are taken now. Do it again for the rest.")
    told += [
        why_not[state].format(n=f"{number:,}", has="has" if number == 1 else "have", is_="is" if number == 1 else "are")
        for state, number in choice.others.most_common()
        if state in why_not
    ]
    if choice.foreign:
        told.append(f"{count(choice.foreign, 'job')} of tenants for which you only look: those stay as they are.")
    return told
