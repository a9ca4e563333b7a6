"""When there was no room for a job: every account's windows were full, its team's was, nobody could take it, or more urgent work did."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.log_file import Written
from rateguard.torture.checks.evidence import Evidence, JobSeen
from rateguard.torture.checks.spans import Span, of_faults
from rateguard.torture.checks.windows import LIMITED, amount_of, job_of

GUARD_S = 0.3
"""A window is closed a little longer than it is full: its slices and its guard."""
COOLED_S = 2.0
"""A scripted 429 cools its account for about so long."""
A_TURN_S = 1.0
"""Room that more urgent work took was not there for so long before."""
NEED_TOKENS = 120
"""The most that one of the work's jobs needs of a window of tokens."""


def full_spans(rule: LimitRule, calls: Iterable[Written]) -> list[Span]:
    """When one more job would not have fitted into this window."""
    window_s = rule.window_ms / 1_000 + GUARD_S
    need = NEED_TOKENS if rule.metric == "tokens" else 1
    steps = sorted(
        step for one in calls for step in ((one.monotonic_s, amount_of(rule, one)), (one.monotonic_s + window_s, -amount_of(rule, one)))
    )
    spans: list[Span] = []
    total, began = 0, None
    for at, amount in steps:
        total += amount
        is_full = total + need > rule.amount
        if is_full and began is None:
            began = at
        elif not is_full and began is not None:
            spans.append((began, at))
            began = None
    return spans


def within_all(many: Sequence[Sequence[Span]]) -> list[Span]:
    """The spans in which every one of these has one.

    >>> within_all([[(0, 5), (8, 9)], [(3, 8.5)]])
    [(3, 5), (8, 8.5)]
    """
    if not many:
        return []
    found = list(many[0])
    for other in many[1:]:
        found = [(max(a[0], b[0]), min(a[1], b[1])) for a in found for b in other if max(a[0], b[0]) < min(a[1], b[1])]
    return found


@dataclasses.dataclass
class Room:
    """Answers for one campaign's evidence; what many jobs ask for is found once."""

    evidence: Evidence

    @functools.cached_property
    def _accounts(self) -> list[Span]:
        """When no account had room."""
        return within_all([self._lacking(key, rules) for key, rules in self.evidence.limits.items()])

    def _lacking(self, key: str, rules: Sequence[LimitRule]) -> list[Span]:
        mine = [one for one in self.evidence.log if one.arrival.key == key]
        cooled = [(one.monotonic_s, one.monotonic_s + COOLED_S) for one in mine if one.fault and one.arrival.status == LIMITED]
        return _joined(cooled + [span for rule in rules for span in full_spans(rule, (one for one in mine if one.arrival.is_accepted))])

    @functools.cached_property
    def _teams(self) -> dict[tuple[str, str], list[Span]]:
        calls: dict[tuple[str, str], list[Written]] = {}
        for one in self.evidence.log:
            job = job_of(self.evidence, one)
            if job is not None:
                calls.setdefault((job.tenant, job.team), []).append(one)
        return {team: full_spans(rule, calls.get(team, ())) for team, rule in self.evidence.own_limits.items()}

    @functools.cached_property
    def _workers(self) -> list[Span]:
        """When no worker could take anything."""
        names = sorted({life.process for life in self.evidence.record.lives if life.process.startswith("worker")})
        return within_all([self._down(name) for name in names])

    def _down(self, name: str) -> list[Span]:
        """A worker's freezes, and from each death until it took work again: the fault that killed it ends then."""
        mine = [fault for fault in self.evidence.faults if fault.target == name]
        return _joined(of_faults(mine, A_TURN_S))

    @functools.cached_property
    def _starts(self) -> list[tuple[float, int]]:
        """Every start of an attempt, and its lane."""
        jobs = self.evidence.jobs
        return sorted((attempt.began_at, jobs[attempt.job].lane) for attempt in self.evidence.attempts.values() if attempt.job in jobs)

    def lacking(self, job: JobSeen, span: Span) -> list[Span]:
        """When there was none for this job, near this span."""
        urgent = [(at - A_TURN_S, at) for at, lane in self._starts if span[0] <= at <= span[1] and lane < job.lane]
        return [*self._accounts, *self._teams.get((job.tenant, job.team), ()), *self._workers, *urgent]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same time as spans that do not touch."""
    found: list[Span] = []
    for began, ended in sorted(spans):
        if found and began <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return found
