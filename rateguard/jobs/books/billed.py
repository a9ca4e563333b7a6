"""What a bill by attempts says differently from the ledger, and what that probably is."""

from __future__ import annotations

from collections.abc import Iterator

from rateguard.jobs.books.days import places_of
from rateguard.jobs.books.span import day_of
from rateguard.jobs.books.values import Found, Kind
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState
from rateguard.jobs.upkeep.bill import NOTHING, Amount, Bill, attempt_id, parse_attempt_id
from rateguard.jobs.upkeep.corrections import Correction
from rateguard.jobs.upkeep.reconcile import Report

LATE = "its answer came after its worker was given up for dead, and says what it used"
DIED = "nobody saw its end: its worker died, or its answer never came, and it was charged as reserved"
NEVER_SENT = "it never reached the provider, or was not billed; it had been charged as reserved"
UNHEARD = "the provider billed a call that ended badly for us: its answer got lost"
COUNTED = "an estimate: the stream ended without the provider's own count"
PRICE = "the same tokens at another price: the price in force here is not the provider's"
TOKENS = "the provider counted other tokens than its answer said"
NOT_IN_BILL = "the bill is not complete, or of another account or time; otherwise ask the provider"
STRANGER = "no row knows it: somebody else uses this key, or the database was restored from a backup"
RUNS = "it still runs, or its end has not been written: run this again later"
LOST = "it ended and was never charged: its settle was lost or undone"


def differing(report: Report, bill: Bill, *, is_applied: bool) -> Iterator[Found]:
    """All that a comparison of ledger and bill found."""
    corrections = {one.key: one for one in report.corrections}
    for key, row in places_of(corrections):
        one = corrections[key]
        cause = _cause(one, row, is_billed=bill.get(key, NOTHING) != NOTHING)
        day, name = day_of(row.started_at), attempt_id(key)
        yield Found(Kind.BILL_DIFFERS, day, row.deployment, one.difference, cause, name, is_corrected=is_applied)
    for key, row in places_of(parse_attempt_id(name) for name in report.unbilled):
        amount = NOTHING - _amount(row)
        yield Found(Kind.NOT_BILLED, day_of(row.started_at), row.deployment, amount, NOT_IN_BILL, attempt_id(key))
    for key, row in places_of(parse_attempt_id(name) for name in report.still_open):
        is_open = row.state == AttemptState.RUNNING
        yield Found(Kind.NOT_ENDED, day_of(row.started_at), row.deployment, bill[key], RUNS if is_open else LOST, attempt_id(key))
    for name in report.unknown:
        yield Found(Kind.NEVER_OURS, None, "", bill[parse_attempt_id(name)], STRANGER, name)


def _cause(one: Correction, row: Attempt, *, is_billed: bool) -> str:
    """The likeliest story that fits the attempt's row and the difference."""
    if row.late_usage is not None and is_billed:
        return LATE
    if one.was_estimated:
        if not is_billed:
            return NEVER_SENT
        return DIED if row.state != AttemptState.SUCCEEDED else COUNTED
    if row.state != AttemptState.SUCCEEDED and is_billed:
        return UNHEARD
    return PRICE if one.difference.input_tokens == one.difference.output_tokens == 0 else TOKENS


def _amount(row: Attempt) -> Amount:
    return Amount(row.input_tokens + row.cached_tokens + row.cache_write_tokens, row.output_tokens, row.nano_usd)
