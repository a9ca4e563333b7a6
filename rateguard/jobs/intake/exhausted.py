"""People hear that a budget is all spent when the first request finds that it cannot pay, also where no job comes to the gate any more."""

from __future__ import annotations

from django.db import transaction

from rateguard.engine.gate.contract import LimitUse, Notice, NoticeKind
from rateguard.engine.limits.limit import LimitRecord
from tenants.events import store_notices

MOST_KEPT = 10_000
_told: set[str] = set()


def note_exhausted(record: LimitRecord, use: LimitUse, wanted: int, now_ms: int) -> None:
    """Write the notices that the gate gives of such a request, under their ids, so that each stands once whoever writes it first.

    A need above the whole budget tells nothing of what is spent.
    """
    if not wanted <= record.amount < use.used - use.reserved + wanted:
        return
    period = record.period_began_ms(now_ms)
    kind = NoticeKind.THRESHOLD
    found = [Notice(f"{kind}|{record.id}|{share}|{period}", kind, record.id, share, period, now_ms, "") for share in record.thresholds]
    new = [notice for notice in found if notice.id not in _told]
    if new:
        store_notices(new)
        if len(_told) > MOST_KEPT:
            _told.clear()
        transaction.on_commit(lambda: _told.update(notice.id for notice in new))


def forget() -> None:
    """Write them again."""
    _told.clear()
