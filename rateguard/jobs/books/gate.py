"""The gate against the ledger: what each budget counts as spent, and reservations that nobody holds any more.

What was settled a moment ago is still on its way to the gate. So what differs is looked at again, and only what stays is told.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from django.db.models import Q
from django.db.models.functions import Now

from rateguard import wiring
from rateguard.engine.gate.contract import Gate, HeldReservation, WorkClass
from rateguard.engine.limits.limit import Kind as LimitKind
from rateguard.engine.limits.limit import Metric
from rateguard.jobs.books.values import Found, Kind
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState
from rateguard.jobs.upkeep.bill import NOTHING, Amount, Key, attempt_id
from rateguard.jobs.upkeep.charged import booked
from rateguard.jobs.upkeep.compare import ON_ITS_WAY
from tenants.models import Budget

LOOKS = 3
BETWEEN_S = 0.4
PAGE = 500
MISSED = "an end or a correction that the gate has not heard of; the next rebuild of the gate takes the ledger's figure"
LEFT = "the gate was not told of its end; the caretaker mends it within half a minute where a worker runs"
_BUDGET = re.compile(r"b(\d+)(?:@(.*))?")


def differing(gate: Gate) -> Iterator[Found]:
    """What stays in three looks. Raises GateError where the gate does not answer."""
    found = _budgets(gate)
    left = _left(gate)
    for _ in range(LOOKS - 1):
        if not found and not left:
            return
        time.sleep(BETWEEN_S)
        again = _budgets(gate)
        found = {name: amount for name, amount in found.items() if again.get(name) == amount}
        left &= _left(gate)
    units = {record.id: record.metric for record in wiring.whole_configuration().limits}
    for name, amount in sorted(found.items()):
        is_money = units.get(name.partition("@")[0]) == Metric.COST
        yield Found(
            Kind.GATE_DIFFERS, None, "", Amount(nano_usd=amount) if is_money else Amount(input_tokens=amount), MISSED, where=_named(name)
        )
    for key in sorted(left):
        yield Found(Kind.RESERVATION_LEFT, None, "", NOTHING, LEFT, attempt_id(key))


def _budgets(gate: Gate) -> dict[str, int]:
    """By a limit's id in the gate: what the gate counts as spent less what the ledger says, where that is not 0."""
    configuration = wiring.whole_configuration()
    ours = {charge.limit: charge.amount for charge in booked(configuration)}
    plain = {record.id for record in configuration.limits if record.kind == LimitKind.BUDGET}
    uses = {use.id: use for use in gate.inspect(tuple(sorted({*ours} | plain))).limits}
    spent = {name: use.used - use.reserved for name, use in uses.items()}
    differences = {name: spent.get(name, 0) - ours.get(name, 0) for name in {*ours} | {*spent}}
    return {name: amount for name, amount in differences.items() if amount}


def _left(gate: Gate) -> set[Key]:
    """Held reservations whose attempt neither runs nor ended a moment ago."""
    left: set[Key] = set()
    cursor = 0
    while True:
        cursor, page = gate.held(cursor, PAGE)
        left |= _not_running([held for held in page if held.holder])
        if cursor == 0:
            return left


def _not_running(page: list[HeldReservation]) -> set[Key]:
    """A synchronous call of a live process runs as long as it has no row."""
    keys: set[Key] = {(held.reservation.job, held.reservation.attempt) for held in page}
    calls = {(one.reservation.job, one.reservation.attempt) for one in page if one.work_class == WorkClass.SYNC and one.is_alive}
    rows = Attempt.objects.filter(reservation_id__in={job for job, _ in keys})
    right = rows.filter(Q(state=AttemptState.RUNNING) | Q(finished_at__gt=Now() - ON_ITS_WAY))
    running = calls - set(rows.values_list("reservation_id", "number")) if calls else set()
    return keys - set(right.values_list("reservation_id", "number")) - running


def _named(limit_id: str) -> str:
    """`budget 4 of tenant acme`; a run's budgets stay as the gate calls them."""
    found = _BUDGET.fullmatch(limit_id)
    row = Budget.objects.select_related("scope").filter(pk=int(found[1])).first() if found else None
    if found is None or row is None:
        return limit_id
    return f"budget {row.pk} of {row.scope}" + (f" at {found[2]}" if found[2] else "")
