"""Limits, budgets, pauses and what is in the way, as callers see them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rateguard.api.rendering import time_text, usd
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Metric
from rateguard.jobs.insight.binding import Asked, DeploymentState, Effective, Obstacle, breaker_wait_ms, judge_deployment
from rateguard.jobs.insight.inquiry import Finding

_METRICS = {Metric.COST: "cost", Metric.PROVIDER_TOKENS: "tokens"}
_UNITS = {Metric.REQUESTS: "requests", Metric.CONCURRENCY: "places", Metric.COST: "nano_usd"}


def render_finding(finding: Finding) -> dict[str, Any]:
    """What stands on a path, and what a request meets first."""
    asked = finding.asked
    return {
        "object": "limits",
        "at": time_of(asked.now_ms),
        "lane": asked.lane.label,
        "request": {
            "input_tokens": asked.need.input_tokens,
            "max_tokens": asked.need.max_output_tokens,
            "fits": finding.binding is None or finding.binding.fits,
            "binding": render_obstacle(finding.binding, asked.now_ms),
        },
        "limits": [render_limit(one, asked) for one in finding.standing.path],
        "deployments": [render_place(place, asked) for place in finding.standing.places],
    }


def render_limit(limit: Effective, asked: Asked) -> dict[str, Any]:
    """One limit, budget or pause. What others use too has no figures for a tenant."""
    record, use, is_pause = limit.record, limit.use, limit.record.kind == Kind.PAUSE
    metric = _METRICS.get(record.metric, record.metric.name.lower())
    return {
        "id": record.id,
        "scope": {"kind": limit.scope_kind, "id": limit.scope},
        "kind": "learned" if record.learns_from else record.kind.name.lower(),
        "metric": None if is_pause else metric,
        "unit": None if is_pause else _UNITS.get(record.metric, "tokens"),
        "shared": limit.is_shared,
        **_figures(limit, asked.lane),
        "window_ms": record.window_ms or None,
        **_period(limit, asked.now_ms),
        "next_ms": use.next_ms,
        "next_at": _after(use.next_ms, asked.now_ms),
        "reserve": {"permille": record.reserve_permille, "lane": Lane(record.reserve_lane).label} if record.reserve_permille else None,
        "on_exhausted": record.on_exhausted.name.lower() if record.kind == Kind.BUDGET else None,
        "downgrade_to": limit.downgrade_to or None,
        "reason": limit.reason if is_pause else None,
    }


def _figures(limit: Effective, lane: Lane) -> dict[str, Any]:
    names = ("amount", "used", "reserved", "left")
    if limit.is_shared or limit.record.kind == Kind.PAUSE:
        return dict.fromkeys((*names, "left_usd"))
    left = limit.left(lane)
    reserved = limit.use.reserved if limit.record.kind == Kind.BUDGET else None
    values = (limit.amount, limit.use.used, reserved, left)
    return {**dict(zip(names, values, strict=True)), "left_usd": usd(left) if limit.record.metric == Metric.COST else None}


def _period(limit: Effective, now_ms: int) -> dict[str, Any]:
    """Of a budget: its period, when that began and ends; both null for one that counts in total."""
    began_ms, next_ms = limit.record.period_began_ms(now_ms), limit.record.next_period_ms(now_ms)
    return {
        "period": limit.period or None,
        "period_starts_at": time_of(began_ms) if began_ms else None,
        "resets_at": None if next_ms is None else time_of(next_ms),
    }


def render_place(place: DeploymentState, asked: Asked) -> dict[str, Any]:
    """A deployment: whether it is open to the request, what closes it, its limits."""
    closed_by = max(judge_deployment(place, asked), key=lambda one: one.severity, default=None)
    is_open = closed_by is None or closed_by.fits
    return {
        "deployment": place.name,
        "open": is_open,
        "closed_by": None if is_open else render_obstacle(closed_by, asked.now_ms),
        "breaker": breaker_word(place),
        "breaker_ms": breaker_wait_ms(place, asked.now_ms),
        "cooling_ms": place.cooling_ms,
        "limits": [render_limit(one, asked) for one in place.limits],
    }


def breaker_word(place: DeploymentState) -> str:
    """`closed`, `open`, `half_open`; `forced_…` where a person set it."""
    if place.forced:
        return f"forced_{place.forced.name.lower()}"
    return place.breaker.state.name.lower() if place.breaker else "closed"


def render_obstacle(obstacle: Obstacle | None, now_ms: int) -> dict[str, Any] | None:
    """What is in the way, and until when at the latest."""
    if obstacle is None:
        return None
    return {
        "kind": obstacle.kind,
        "id": obstacle.id or None,
        "scope": {"kind": obstacle.scope_kind, "id": obstacle.scope},
        "never": obstacle.is_never,
        "wait_ms": obstacle.wait_ms,
        "wait_until": _after(obstacle.wait_ms, now_ms),
        "headroom": obstacle.headroom,
    }


def time_of(ms: int) -> str | None:
    """A moment of the gate's clock."""
    try:
        return time_text(dt.datetime.fromtimestamp(ms / 1000, dt.UTC))
    except (OverflowError, ValueError, OSError):
        return None  # beyond the year 9999


def _after(wait_ms: int | None, now_ms: int) -> str | None:
    return None if wait_ms is None else time_of(now_ms + wait_ms)
