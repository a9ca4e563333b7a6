"""Spans of time: unions of them, and how much of one lies outside of others."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rateguard.torture.record import Fault

Span = tuple[float, float]
"""From, to; seconds."""


def of_faults(faults: Iterable[Fault], after_s: float = 0.0) -> list[Span]:
    """When faults lasted, and so long after each."""
    return [(fault.began_at, math.inf if fault.ended_at is None else fault.ended_at + after_s) for fault in faults]


def overlaps(span: Span, others: Iterable[Span]) -> bool:
    """Whether any of them touches the span."""
    return any(one[0] <= span[1] and span[0] <= one[1] for one in others)


def uncovered_s(span: Span, others: Iterable[Span]) -> float:
    """How much of a span none of the others covers.

    >>> uncovered_s((0, 10), [(1, 3), (2, 4), (9, 20)])
    6.0
    """
    left, at = 0.0, span[0]
    for began, ended in sorted(others):
        if ended <= at:
            continue
        if began >= span[1]:
            break
        left += max(0.0, began - at)
        at = max(at, ended)
    return left + max(0.0, span[1] - at)


def p99(values: Iterable[float]) -> float | None:
    """The 99th percentile, by nearest rank; None of nothing.

    >>> p99([3.0, 1.0, 2.0])
    3.0
    """
    ordered = sorted(values)
    return ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else None
