"""Moves this process's clock: Python imports a module of this name at its start where its folder is first on PYTHONPATH.

Everything in Python that tells the wall clock is ahead by PROOF_CLOCK_AHEAD_S seconds (behind, where negative): `time.time`, `time_ns`,
`localtime` and their kin, `datetime.now`, `utcnow`, `today`, and with them `django.utils.timezone.now`. Monotonic clocks stay, as on a
machine whose wall clock is wrong, and so does the time that SQLite tells, as a database's server on another machine would.
"""

import ctypes
import datetime as dt
import gc
import os
import time
from collections.abc import Callable
from typing import Any

AHEAD_S = int(os.environ.get("PROOF_CLOCK_AHEAD_S", "0"))
_AHEAD = dt.timedelta(seconds=AHEAD_S)


def _move_time() -> None:
    now, now_ns, read, read_ns = time.time, time.time_ns, time.clock_gettime, time.clock_gettime_ns
    time.time = lambda: now() + AHEAD_S
    time.time_ns = lambda: now_ns() + AHEAD_S * 1_000_000_000
    time.clock_gettime = lambda clock: read(clock) + (AHEAD_S if clock == time.CLOCK_REALTIME else 0)
    time.clock_gettime_ns = lambda clock: read_ns(clock) + (AHEAD_S * 1_000_000_000 if clock == time.CLOCK_REALTIME else 0)
    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, _of_now(getattr(time, name)))
    write, local = time.strftime, time.localtime
    time.strftime = lambda form, *moment: write(form, *(moment or (local(),)))


def _of_now(original: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose default is the moved time instead of the true one."""
    return lambda moment=None: original(time.time() if moment is None else moment)


def _move_datetime() -> None:
    """In the types themselves, so that whoever imported them, C or Python, sees it: subclasses would be other types."""
    now, utcnow = dt.datetime.now, dt.datetime.utcnow
    _replace(dt.datetime, "now", lambda tz=None: now(tz) + _AHEAD)
    _replace(dt.datetime, "utcnow", lambda: utcnow() + _AHEAD)
    _replace(dt.datetime, "today", lambda: now() + _AHEAD)
    _replace(dt.date, "today", lambda: dt.datetime.now(dt.UTC).astimezone().date())


def _replace(kind: type, name: str, function: Callable[..., Any]) -> None:
    (own,) = gc.get_referents(kind.__dict__)  # the dictionary behind the read-only view
    own[name] = staticmethod(function)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


if AHEAD_S:
    _move_time()
    _move_datetime()
