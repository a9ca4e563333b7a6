"""Limits where requests arrive: over every sliding window, by the provider's own log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from rateguard.engine.providers.sim.config import TOKENS, LimitRule
from rateguard.engine.providers.sim.log_file import Written
from rateguard.jobs.upkeep.bill import parse_attempt_id
from rateguard.torture.checks.evidence import Evidence, Found, JobSeen

LIMITED = 429


def window_violations(evidence: Evidence) -> Found:
    """One for each arrival that takes a window over its amount.

    What counts is what the provider let in, and what it refused because a window was full. A request that met a scripted fault before
    it was counted took nothing of a provider's limit.
    """
    found = Found()
    log = sorted(evidence.log, key=lambda one: one.monotonic_s)
    for key, rules in evidence.limits.items():
        for rule in rules:
            mine = [one for one in log if one.arrival.key == key and rule.model in {"", one.arrival.model} and _is_counted(one)]
            _look(evidence, f"account {key[-6:]}", rule, mine, found)
    for (tenant, team), rule in evidence.own_limits.items():
        mine = [one for one in log if one.arrival.status and _is_of(job_of(evidence, one), tenant, team)]
        _look(evidence, f"team {team} of {tenant}", rule, mine, found)
    return found


def _is_counted(one: Written) -> bool:
    return one.arrival.is_accepted or (one.arrival.status == LIMITED and not one.fault)


def job_of(evidence: Evidence, one: Written) -> JobSeen | None:
    """The job that a call was for."""
    try:
        job: uuid.UUID = parse_attempt_id(one.arrival.attempt_id)[0]
    except ValueError:
        return None
    return evidence.jobs.get(job)


def _is_of(job: JobSeen | None, tenant: str, team: str) -> bool:
    return job is not None and (job.tenant, job.team) == (tenant, team)


def amount_of(rule: LimitRule, one: Written) -> int:
    """What a call takes of a limit."""
    return one.arrival.counted_tokens if rule.metric == TOKENS else 1


def _look(evidence: Evidence, whose: str, rule: LimitRule, calls: Sequence[Written], found: Found) -> None:
    """Two pointers over the arrivals in their order."""
    total = first = 0
    for one in calls:
        total += amount_of(rule, one)
        while calls[first].monotonic_s <= one.monotonic_s - rule.window_ms / 1_000:
            total -= amount_of(rule, calls[first])
            first += 1
        if total > rule.amount:
            when = evidence.record.since(one.monotonic_s).strip()
            found.add(
                f"{whose}: {total} {rule.metric} in {rule.window_ms} ms, limit {rule.amount}, with {one.arrival.attempt_id} at {when}"
            )
