"""What a spent budget can no longer pay is refused when it is submitted, where the budget rejects: nobody waits for a certain no.

Asked only where such a budget is on the path: one call of the gate for all rows of a submit. If the gate does not answer, the row is
taken and the gate decides later; it is not asked again for a moment, so that a long transaction does not wait once for each of its jobs.
Nor is it asked again for a moment where a budget holds a hundred times what is asked for: only a fresh figure refuses anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from rateguard import wiring
from rateguard.engine.errors import GateError, LimitInTheWay
from rateguard.engine.gate.contract import LimitUse
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind, Level, LimitRecord, Metric, Need
from rateguard.engine.money import format_usd
from rateguard.jobs.insight.effective import path_sources
from rateguard.jobs.insight.naming import in_words
from rateguard.jobs.intake.exhausted import note_exhausted
from rateguard.jobs.intake.fits import need_of
from rateguard.jobs.marked import places_of_row
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

AWAY_S = 1.0

FRESH_S = 0.25
"""So long a figure serves where it is far from deciding."""
FAR = 100
MOST_KEPT = 10_000

_away_until = 0.0
_seen: dict[str, tuple[float, LimitUse]] = {}
"""Budgets as the gate told them, and when (time.monotonic())."""


def check_budgets(rows: Sequence[Job]) -> None:
    """Compare what rows reserve with the rest of the budgets on their paths. Raises LimitInTheWay: `budget_exhausted`."""
    asked = {path: _budgets_on(path) for path in {row.path for row in rows}}
    names = {record.id for records in asked.values() for record in records}
    if all(_is_far(row, asked[row.path]) for row in rows):
        return
    uses = _uses_of(names)
    if uses is not None:
        for row in rows:
            _check(row, asked[row.path], *uses)


def _budgets_on(path: str) -> tuple[LimitRecord, ...]:
    """The budgets of a path that end or move what they cannot pay; none where none of them ends it."""
    found = tuple(record for record in wiring.limits_of_path(path) if record.kind == Kind.BUDGET and record.on_exhausted != Exhausted.HOLD)
    return found if any(record.on_exhausted == Exhausted.REJECT for record in found) else ()


def _uses_of(names: Iterable[str]) -> tuple[dict[str, LimitUse], int] | None:
    """How budgets stand, and the gate's time; None where the gate does not answer."""
    global _away_until  # noqa: PLW0603 - a lost race costs one more call
    if time.monotonic() < _away_until:
        return None
    try:
        seen = wiring.gate().inspect(tuple(sorted(names)))
    except GateError:
        _away_until = time.monotonic() + AWAY_S
        return None
    uses = {use.id: use for use in seen.limits}
    if len(_seen) + len(uses) > MOST_KEPT:
        _seen.clear()
    _seen.update({name: (time.monotonic(), use) for name, use in uses.items()})
    return uses, seen.now_ms


def _is_far(row: Job, records: Sequence[LimitRecord]) -> bool:
    """Whether what was seen a moment ago pays the row a hundred times over."""
    if not records:
        return True
    need, lane, fresh_at = _need(row), Lane(row.lane), time.monotonic() - FRESH_S
    for record in records:
        seen_at, use = _seen.get(record.id, (0.0, None))
        if use is None or seen_at < fresh_at or use.used + FAR * need.of(record.metric) > record.amount_for(lane):
            return False
    return True


def _need(row: Job) -> Need:
    return need_of(row, places_of_row(row))


def _check(row: Job, records: Sequence[LimitRecord], uses: Mapping[str, LimitUse], now_ms: int) -> None:
    """As the gate will judge: what only reservations are in the way of waits for them to settle."""
    if not records:
        return
    need, lane = _need(row), Lane(row.lane)
    for record in records:
        use, wanted = uses.get(record.id), need.of(record.metric)
        if use is None or use.used - use.reserved + wanted <= record.amount_for(lane) or _starts_anew_before(row, record, now_ms):
            continue
        if record.on_exhausted == Exhausted.DOWNGRADE:
            return  # it goes to a cheaper model, at which the budgets are asked again
        note_exhausted(record, use, wanted, now_ms)
        raise _refusal(record, use, wanted, lane, now_ms)


def _starts_anew_before(row: Job, record: LimitRecord, now_ms: int) -> bool:
    """Whether a period of the budget begins before a scheduled job does."""
    if row.state != State.SCHEDULED or row.run_at is None:
        return False
    begins_ms = record.next_period_ms(now_ms)
    return begins_ms is not None and begins_ms <= row.run_at.timestamp() * 1000


def _refusal(record: LimitRecord, use: LimitUse, wanted: int, lane: Lane, now_ms: int) -> LimitInTheWay:
    """A budget of all tenants is named without its figures."""
    is_money, is_shared = record.metric == Metric.COST, record.level == Level.SHARED
    begins_ms = record.next_period_ms(now_ms)
    amount = record.amount_for(lane)
    left = max(0, amount - use.used + use.reserved)
    needs, rest = (format_usd(wanted), format_usd(left)) if is_money else (f"{wanted:,}", f"{left:,}")
    node = next(iter(path_sources([record.id])), None)
    words = in_words(record.id).partition(":")[0] if is_shared else in_words(record.id)
    of_it = "" if is_shared else f" of which {rest} is left,"
    return LimitInTheWay(
        f"this request reserves {needs}, and the budget ({words}),{of_it} cannot pay it: ask for less, or raise the budget",
        code="budget_exhausted",
        scope_kind=node.scope_kind if node else "",
        scope=node.scope if node else "",
        limit=words,
        amount=None if is_shared else amount,
        left=None if is_shared else left,
        unit="nano_usd" if is_money else "requests" if record.metric == Metric.REQUESTS else "tokens",
        retry_after_ms=None if begins_ms is None else max(0, begins_ms - now_ms),
    )


def forget() -> None:
    """Ask the gate again."""
    global _away_until  # noqa: PLW0603 - as above
    _away_until = 0.0
    _seen.clear()
