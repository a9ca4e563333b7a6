"""What is over does not change: a quarter that ended a while ago is written no more, so its sums are kept and only what follows is read.

A correction counts in the quarter in which it is written, so it changes nothing that is past. A process keeps the last answers and lets
them grow; the figures are exact at any moment, but for rows that somebody writes into the past by hand: those show within the hour.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from tenants.models.usage import QUARTER_S
from tenants.usage.question import Period
from tenants.usage.sums import Tallies, together

LATEST_WRITE = dt.timedelta(minutes=5)
"""So long after its end a quarter may still be written: a transaction that began in it ends, and clocks differ."""
MOST_KEPT = 64
KEPT_S = 3_600.0
"""Older answers are read anew as a whole."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    until: dt.datetime
    tallies: Tallies
    read_at: float


_lock = threading.Lock()
_all: OrderedDict[Hashable, _Kept] = OrderedDict()


def quarter_of(moment: dt.datetime) -> dt.datetime:
    """The start of the quarter that holds a moment, in UTC."""
    return dt.datetime.fromtimestamp(moment.timestamp() // QUARTER_S * QUARTER_S, dt.UTC)


def past_until(now: dt.datetime) -> dt.datetime:
    """Where the past ends: nothing is written any more into the quarters before."""
    return quarter_of(now - LATEST_WRITE)


def past(key: Hashable, span: Period, read: Callable[[Period], Tallies]) -> Tallies:
    """What is known of a span that lies in the past: read once; of a longer one with the same start and key only what is new is read.

    key: all that the answer depends on beside the span. The answer is for looking at alone.
    """
    name, now = (key, span.start), time.monotonic()
    with _lock:
        known = _all.get(name)
    if known is None or known.until > span.end or now - known.read_at > KEPT_S:
        known = _Kept(span.end, read(span), now)
    elif known.until < span.end:
        known = _Kept(span.end, together(known.tallies, read(Period(known.until, span.end))), known.read_at)
    with _lock:
        _all[name] = known
        _all.move_to_end(name)
        while len(_all) > MOST_KEPT:
            _all.popitem(last=False)
    return known.tallies


def forget() -> None:
    """Read everything anew."""
    with _lock:
        _all.clear()
