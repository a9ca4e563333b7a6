"""How the doors answered while a server was away, by what the callers noted."""

from __future__ import annotations

from rateguard.torture.checks.evidence import Evidence, Found
from rateguard.torture.checks.spans import Span, of_faults, overlaps, p99
from rateguard.torture.record import ACCEPT_S, DATABASE_GONE_S, Asked

DOOR = "jobs"
"""A job posted without a wait."""
REDIS_AWAY = ("freeze", "redis_restart")
DATABASE_AWAY = "postgres_restart"
RECOVERED_S = 5.0
"""A web process that was struck, or whose database was, may be slow for so long afterwards: it catches up."""
STARTED_S = 12.0
"""So long after its start a process may be slow."""
NEVER_S = 60.0
"""What a request counts that should have been taken and was not."""
BACK_WITHIN_S = 10.0


def accept_p99_frozen(evidence: Evidence) -> Found:
    """Seconds in which a job is taken while Redis is frozen or gone, p99. Requests that another fault struck as well do not count."""
    away = of_faults(fault for fault in evidence.faults if fault.target == "valkey" and fault.kind.startswith(REDIS_AWAY))
    took: list[float] = []
    found = Found(None)
    for asked in evidence.record.asked:
        span = (asked.at, asked.at + asked.took_s)
        if asked.door != DOOR or not overlaps(span, away) or _is_struck(evidence, asked, "postgres"):
            continue
        is_taken = 0 < asked.status < 500
        took.append(asked.took_s if is_taken else NEVER_S)
        if not is_taken or asked.took_s > ACCEPT_S:
            found.lines.append(_words(evidence, asked))
    found.value = _rounded(p99(took))
    return found


def database_gone(evidence: Evidence) -> Found:
    """The longest that anybody waited for an answer while PostgreSQL was gone; or, if longer than it may be, until work was taken again.

    Whoever was answered once it was back had no answer until then.
    """
    gone = [fault for fault in evidence.faults if fault.kind == DATABASE_AWAY]
    found = Found(None)
    for began, ended in of_faults(gone):
        took = [
            asked
            for asked in evidence.record.asked
            if asked.door == DOOR and began <= asked.at <= ended and not _is_struck(evidence, asked, "")
        ]
        for asked in took:
            waited_s = min(asked.took_s, ended - asked.at)
            found.value = max(found.value or 0.0, round(waited_s, 3))
            if waited_s > DATABASE_GONE_S:
                found.lines.append(_words(evidence, asked))
        back_s = _back_after_s(evidence, ended)
        if back_s > BACK_WITHIN_S:
            found.value = max(found.value or 0.0, back_s)
            found.lines.append(f"nothing was taken for {back_s:.1f} s after PostgreSQL was back at {evidence.record.since(ended).strip()}")
    return found


def _back_after_s(evidence: Evidence, ended: float) -> float:
    """How long after it was back the first job was taken; 0 where nobody asked."""
    taken = [asked.at + asked.took_s for asked in evidence.record.asked if asked.door == DOOR and 200 <= asked.status < 300]
    return next((at - ended for at in sorted(taken) if at > ended), 0.0)


def _is_struck(evidence: Evidence, asked: Asked, server: str) -> bool:
    """Whether its web process, or the server that is named, was under a fault too, or the process had only begun to live."""
    also: list[Span] = of_faults((fault for fault in evidence.faults if fault.target in {asked.address, server}), RECOVERED_S)
    also += [(life.began_at, life.began_at + STARTED_S) for life in evidence.record.lives if life.process == asked.address]
    return overlaps((asked.at, asked.at + asked.took_s), also)


def _words(evidence: Evidence, asked: Asked) -> str:
    when = evidence.record.since(asked.at).strip()
    return f"{asked.address} answered {asked.status or 'nothing'} after {asked.took_s:.2f} s, asked at {when}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
