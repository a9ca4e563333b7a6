"""Why a deployment is asked first, as callers see it, and in words."""

from __future__ import annotations

from typing import Any

from rateguard.api.limits.rendering import render_obstacle, time_of
from rateguard.engine.gate.contract import DeploymentStatistics
from rateguard.engine.routing.contract import Mode
from rateguard.jobs.insight.binding import Obstacle
from rateguard.jobs.insight.routes import Explained, Ranked

_HOW = {Mode.FIRST: "the first with room", Mode.TURNS: "by turns", Mode.LOTS: "by lot"}


def render_explained(found: Explained) -> dict[str, Any]:
    """A model's choice. What others' use shows is null for a tenant."""
    routing = found.routing
    return {
        "object": "route",
        "model": found.question.model,
        "at": time_of(found.now_ms),
        "lane": found.question.lane.label,
        "list": found.gate_list,
        "own_lists_of": list(found.tenants) if found.question.viewer is None else None,
        "strategy": routing.strategy.value,
        "mode": found.mode.name.lower(),
        "regions": list(routing.regions),
        "closed_by": render_obstacle(found.above, found.now_ms),
        "deployments": [_render_ranked(one, found.now_ms) for one in found.ranked],
        "sticky": routing.is_sticky,
        "session_stays_at": found.home.name if found.home else None,
        "hedges": routing.hedges,
        "fallbacks": [{"on": one.on, "to": one.to} for one in routing.fallbacks],
        "max_fallbacks": routing.max_fallbacks,
        "choice": None if found.first is None else _render_choice(found, found.first),
    }


def _render_ranked(one: Ranked, now_ms: int) -> dict[str, Any]:
    choice = one.choice
    return {
        "deployment": one.place.name,
        "region": one.place.target.region,
        "tier": choice.tier,
        "after_ms": choice.after_ms,
        "weight": choice.weight if one.is_told else None,
        "score": round(choice.score, 3) if one.is_told else None,
        "why": choice.why if one.is_told else None,
        "share_permille": one.share_permille if one.is_told else None,
        "open": one.closed_by is None,
        "closed_by": render_obstacle(one.closed_by, now_ms),
        "statistics": None if one.statistics is None else _render_statistics(one.statistics),
    }


def _render_statistics(seen: DeploymentStatistics) -> dict[str, Any]:
    return {
        "calls": seen.calls,
        "latency_ms": seen.latency_ms,
        "failed_permille": seen.failed_permille,
        "used_ago_ms": seen.used_ago_ms,
    }


def _render_choice(found: Explained, first: Ranked) -> dict[str, Any]:
    return {"deployment": first.place.name, "why": _why(found, first)}


def _why(found: Explained, first: Ranked) -> str:
    """In words."""
    if found.home is first.place:
        return "the session stays here"
    if found.mode is Mode.FIRST or first.share_permille == 1_000:
        return "the first with room" if found.mode is Mode.FIRST else "the only one with room in its tier"
    return f"{_HOW[found.mode]}: {first.share_permille} of 1000" if first.is_told else _HOW[found.mode]


def explained_in_words(found: Explained) -> str:
    """As a shell prints it: the choice, then each deployment in order."""
    routing = found.routing
    lines = [f"{found.question.model}: {routing.strategy.value}, {_HOW[found.mode]} of the first tier that has room"]
    lines += [f"  regions: {', '.join(routing.regions)}"] if routing.regions else []
    lines += [_line(one) for one in found.ranked]
    lines += [f"  lists of their own have: {', '.join(found.tenants)} (--tenant NAME)"] if found.tenants else []
    lines += [f"  fallback on {one.on}: {one.to}" for one in routing.fallbacks]
    lines += [f"  hedged in the critical lane: {'yes' if routing.hedges else 'no'}; sticky: {'yes' if routing.is_sticky else 'no'}"]
    if found.above is not None:
        return "\n".join([*lines, f"nobody is asked now: {_obstacle(found.above)}"])
    asked = "nobody has room now" if found.first is None else f"asked first: {found.first.place.name} ({_why(found, found.first)})"
    return "\n".join([*lines, asked])


def _line(one: Ranked) -> str:
    parts = [f"tier {one.choice.tier}", f"weight {one.choice.weight}", one.choice.why]
    parts += [f"after {one.choice.after_ms} ms"] if one.choice.after_ms else []
    if seen := one.statistics:
        latency = "no answer yet" if seen.latency_ms is None else f"{seen.latency_ms} ms"
        parts.append(f"{seen.calls} calls, {latency}, {seen.failed_permille / 10:g} % failed")
    parts.append("open" if one.closed_by is None else f"closed: {_obstacle(one.closed_by)}")
    return f"  {one.place.name}: {'; '.join(parts)}"


def _obstacle(found: Obstacle) -> str:
    """`limit l3 of account main, for 1200 ms`."""
    what = " ".join(part for part in (found.kind, found.id, f"of {found.scope_kind} {found.scope}".rstrip()) if part)
    if found.is_never:
        return f"{what}, such a request never fits"
    return f"{what}, until somebody acts" if found.wait_ms is None else f"{what}, for {found.wait_ms} ms"
