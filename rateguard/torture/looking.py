"""How far the work is, by the rows: asked once a second in a thread of its own, because the database may be frozen."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping

import psycopg

EVERY_S = 1.0
_ASK = "SELECT state, count(*) FROM rateguard_jobs_job GROUP BY state"
_PATIENCE = "-c statement_timeout=5000"


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """Jobs by state, as last seen. answers: whether the database told it just now."""

    states: Mapping[str, int]
    answers: bool


class Looker:
    """Looks until stopped."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looker", daemon=True)
        self.seen = Progress({}, answers=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a look under way is not waited for."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._url, connect_timeout=2, options=_PATIENCE, autocommit=True) as connection:
                    while not self._stopping.wait(EVERY_S):
                        self.seen = Progress(dict(connection.execute(_ASK).fetchall()), answers=True)
            except psycopg.Error:
                self.seen = dataclasses.replace(self.seen, answers=False)
                self._stopping.wait(EVERY_S)
