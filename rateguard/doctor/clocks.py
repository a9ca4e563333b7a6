"""Clocks: this machine's, the database's and Redis's. Rows use the database's time, decisions Redis's; a request's age is measured here."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

import redis
from django.db import DatabaseError, connection

from rateguard import wiring
from rateguard.doctor.finding import Finding, fail, ok, warn

NOTABLE_S = 0.5
BROKEN_S = 5.0
REMEDY = "let all machines follow one time server (chrony, systemd-timesyncd)"
_TURNS = 3


def look() -> list[Finding]:
    """How far each is from this machine's, as well as the way there lets one see."""
    found = []
    for name, ask in (("the database", _database_s), ("Redis", _redis_s)):
        try:
            found.append(_judged(name, _offset_s(ask)))
        except (redis.RedisError, DatabaseError, OSError):
            found.append(warn(f"the clock of {name} cannot be read", "mend it first"))
    return found


def _judged(name: str, offset: tuple[float, float]) -> Finding:
    seconds, doubt = offset
    if abs(seconds) <= max(NOTABLE_S, doubt):
        return ok(f"the clock of {name} agrees with this machine's (within {max(abs(seconds), doubt) * 1_000:.0f} ms)")
    told = f"the clock of {name} is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    return (fail if abs(seconds) > BROKEN_S else warn)(told, REMEDY)


def _offset_s(ask: Callable[[], float]) -> tuple[float, float]:
    """The offset, and by how much it may be wrong: of a few questions the one that came back soonest."""
    answers = []
    for _ in range(_TURNS):
        began_at = time.time()
        theirs = ask()
        ended_at = time.time()
        answers.append(((ended_at - began_at) / 2, theirs - (began_at + ended_at) / 2))
    doubt, offset = min(answers)
    return offset, doubt


def _database_s() -> float:
    query = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')" if connection.vendor == "sqlite" else "SELECT clock_timestamp()"
    with connection.cursor() as cursor:
        cursor.execute(query)
        value = cursor.fetchone()[0]
    time_ = dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC) if isinstance(value, str) else value
    return float(time_.timestamp())


def _redis_s() -> float:
    seconds, micros = wiring.redis_client().time()
    return float(seconds) + float(micros) / 1_000_000
