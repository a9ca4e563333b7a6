"""The figures of a run, from the provider's own log and our rows: pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rateguard.engine.lanes import Lane


class Served(NamedTuple):
    """One request as the provider counted it, in epoch milliseconds and tokens (input + max_tokens)."""

    job: str
    tenant: str
    lane: Lane
    at_ms: float
    tokens: int


class Bound(NamedTuple):
    """The limit that bound, and the mean of load ÷ limit over the windows inside the backlog (None where it was shorter than one)."""

    name: str
    utilisation: float | None


def shares(served: Sequence[Served]) -> dict[str, float]:
    """Each tenant's part (0–1) of the tokens sent while every tenant still had waiting jobs in the lane being served; over all lanes.

    In each lane the log is cut after the arrival with which the first tenant had none left.
    """
    tokens: Counter[str] = Counter({one.tenant: 0 for one in served})
    for lane in Lane:
        for one in contested([one for one in served if one.lane == lane]):
            tokens[one.tenant] += one.tokens
    total = sum(tokens.values())
    return {tenant: amount / total if total else 0.0 for tenant, amount in tokens.items()}


def contested(of_lane: Iterable[Served]) -> list[Served]:
    """The arrivals of one lane up to the one with which the first tenant had no waiting job left. A job may arrive more than once."""
    ordered = sorted(of_lane, key=lambda one: one.at_ms)
    last_new: dict[str, int] = {}
    seen: set[str] = set()
    for place, one in enumerate(ordered):
        if one.job not in seen:
            seen.add(one.job)
            last_new[one.tenant] = place
    return ordered[: min(last_new.values()) + 1] if last_new else []


def backlog(served: Iterable[Served]) -> tuple[float, float] | None:
    """From the first arrival to the one with which the last waiting job had been sent, epoch ms; None where nothing arrived."""
    first_of: dict[str, float] = {}
    for one in served:
        first_of[one.job] = min(one.at_ms, first_of.get(one.job, math.inf))
    return (min(first_of.values()), max(first_of.values())) if first_of else None


def binding(limits: Iterable[Mapping[str, object]], largest: Mapping[str, int]) -> Bound | None:
    """Of the provider's limits (as its stats tell them) the one that bound: the fullest of those that had not always room for the largest.

    largest: the most that one request takes of a metric. None where every limit had room for every request at all times.
    """
    tight = [limit for limit in limits if _worst(limit) * _amount(limit) + largest[str(limit["metric"])] > _amount(limit)]
    if not tight:
        return None
    found = max(tight, key=_worst)
    mean = found.get("mean_window_ratio")
    name = f"{found['metric']} {_amount(found):,} in {int(str(found['window_ms'])) / 1000:g} s"
    return Bound(name, float(str(mean)) if mean is not None else None)


def percentile(values: Sequence[int], percent: int) -> int | None:
    """The smallest value that so many percent do not exceed (nearest rank); None of nothing.

    >>> percentile([40, 10, 20, 30], 50), percentile([40, 10, 20, 30], 95), percentile([], 50)
    (20, 40, None)
    """
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def _worst(limit: Mapping[str, object]) -> float:
    return float(str(limit["worst_window_ratio"]))


def _amount(limit: Mapping[str, object]) -> int:
    return int(str(limit["amount"]))
