"""A run under a provider's limit that takes half of the jobs a window, and what must be true after any fault in it."""

from __future__ import annotations

from rateguard.engine.errors import GateUnavailable
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import State
from tests.line import Line, Live, assert_books_close, states, wait_for


def under_a_limit(live: Live, jobs: int = 120) -> Line:
    """A line whose account takes half of the jobs a window; the provider keeps and counts the same limit."""
    live.line.account_limit("tokens", 15 * jobs, 50 * jobs)
    live.line.provider.control.configure(latency={"base_ms": 100, "jitter": 0.5})
    return live.line


def wait_until_done(least: int, within_s: float = 40) -> None:
    """Until so many jobs have succeeded."""
    wait_for(lambda: states()[State.SUCCEEDED] >= least, within_s)


def assert_all_is_well(live: Live, jobs: int, *, attempts: int | None = None, within_s: float = 60) -> None:
    """Every job succeeded, at one attempt each (or so many in all); no window over by the provider's log, books closed, nothing held."""
    wait_for(lambda: states() == {State.SUCCEEDED: jobs}, within_s)
    stats = live.line.provider.control.stats()
    assert (stats["worst_window_ratio"] <= 1.0, stats["replies_429"]) == (True, 0), stats
    assert_books_close()
    assert Attempt.objects.count() == (attempts or jobs)
    assert len(live.line.provider.control.log()) == Attempt.objects.count()
    assert_nothing_is_held(live.line)


def assert_nothing_is_held(line: Line) -> None:
    """The gate holds nothing for anybody, and counts nothing as reserved, soon after all has ended."""

    def is_drained() -> bool:
        try:
            found = line.gate.inspect()
        except GateUnavailable:  # this client's server is no longer the one to ask; the next call finds the other
            return False
        held = [use for use in found.limits if use.reserved]
        return (found.reservations, found.unsent, found.waiting, held) == (0, 0, 0, [])

    wait_for(is_drained, 15)
