"""The right moment for a fault: a worker that dies idle takes nothing with it, so who strikes one waits a little until it has work."""

from __future__ import annotations

import threading
import time

import psycopg

from rateguard.torture.site import Site

WITHIN_S = 5.0
"""So long it is waited for at most: the schedule goes on."""
_POLL_S = 0.05
_ASK = "SELECT count(*) FROM rateguard_jobs_attempt WHERE state = 'running' AND holder LIKE %s"
_PATIENCE = "-c statement_timeout=1000"


def wait_until_busy(site: Site, worker: str, stopping: threading.Event, within_s: float = WITHIN_S) -> None:
    """Until a call of this worker's is under way, by the rows; where nobody can tell, as while PostgreSQL is away, there is no wait."""
    deadline = time.monotonic() + within_s
    try:
        with psycopg.connect(site.direct_database_url, connect_timeout=1, options=_PATIENCE, autocommit=True) as connection:
            while time.monotonic() < deadline and not stopping.is_set():
                (running,) = connection.execute(_ASK, [f"%:{site.processes[worker].pid}:%"]).fetchone() or (0,)
                if running:
                    return
                stopping.wait(_POLL_S)
    except psycopg.Error:
        return
