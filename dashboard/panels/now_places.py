"""Provider accounts and deployments as the page Now shows them: bars for limits, one badge for what a deployment does."""

from __future__ import annotations

import dataclasses

from dashboard.queries.now_places import AccountNow, DeploymentNow
from dashboard.templatetags.rateguard_pages import duration
from rateguard.engine.breaker.rule import BreakerState, Forced
from rateguard.engine.limits.limit import Kind
from rateguard.jobs.insight.binding import Effective
from rateguard.jobs.insight.heldwords import as_typed


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """A limit: as it is typed, how much of it is used, as a share (None: not known or not told) and in words."""

    text: str
    share: float | None
    words: str


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentPanel:
    """A deployment. level: `good`, `warn`, `bad`, or "" for what nobody knows; state, more: what it does, and until when."""

    name: str
    models: str
    level: str
    state: str
    more: str
    breaker: str
    bars: tuple[Bar, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class AccountPanel:
    """An account with the limits that its deployments share."""

    name: str
    provider: str
    bars: tuple[Bar, ...]
    deployments: tuple[DeploymentPanel, ...]


def span(ms: float) -> str:
    """A time to wait in whole seconds: it changes each second and no faster."""
    return f"{-(-ms // 1_000):.0f} s" if ms < 60_000 else duration(ms)


def account_panel(now: AccountNow) -> AccountPanel:
    """Make it."""
    bars = tuple(_bar(one, now) for one in now.limits if one.record.kind != Kind.PAUSE)
    return AccountPanel(now.name, now.provider, bars, tuple(_deployment(one, now) for one in now.deployments))


def _bar(limit: Effective, now: AccountNow) -> Bar:
    """Of what others use too, who is no operator sees whether there is room, and no amount."""
    if now.is_shared:
        kind = limit.record.metric.name.lower().replace("_", " ").replace("provider ", "")
        if not now.is_known:
            return Bar(f"a limit of {kind}", None, "")
        next_ms = limit.use.next_ms
        words = "has room" if next_ms == 0 else "is full" if next_ms is None else f"is full, room in {span(next_ms)}"
        return Bar(f"a limit of {kind}", None, words)
    text = as_typed(limit)
    if not now.is_known:
        return Bar(text, None, "")
    others = f", {limit.use.foreign:,} by others" if limit.use.foreign else ""
    return Bar(text, min(1.0, limit.use.used / max(limit.amount, 1)), f"{limit.use.used:,} of {limit.amount:,}{others}")


def _deployment(one: DeploymentNow, now: AccountNow) -> DeploymentPanel:
    level, state, more = _doing(one, now)
    bars = tuple(_bar(limit, now) for limit in one.state.limits if limit.record.kind != Kind.PAUSE)
    return DeploymentPanel(one.name, ", ".join(one.models) or "no model", level, state, more, _breaker(one, now), bars)


def _doing(one: DeploymentNow, now: AccountNow) -> tuple[str, str, str]:
    """Level, word, and when that ends."""
    closed_by = one.closed_by
    if closed_by is None:
        if not now.is_known:
            return "", "not known", ""
        return ("warn", "on trial", "one probe at a time") if one.is_on_trial else ("good", "open", "")
    until = "until somebody acts" if closed_by.wait_ms is None else f"for {span(closed_by.wait_ms)}"
    match closed_by.kind:
        case "breaker":
            return "bad", "breaker open", until
        case "cooldown":
            return "warn", "cooling down", until
        case "pause":
            return "warn", "paused", until
        case _:
            return "warn", "full", f"room in {span(closed_by.wait_ms)}" if closed_by.wait_ms else ""


def _breaker(one: DeploymentNow, now: AccountNow) -> str:
    """What its breaker counted, where it says something, and not of others' calls."""
    if one.state.forced != Forced.NO:
        return f"held {one.state.forced.name.lower()} by hand"
    view = one.state.breaker
    if not now.is_known or now.is_shared or view is None:
        return ""
    if view.state == BreakerState.CLOSED and not view.failures:
        return ""
    slow = f", {view.slow:,} slow" if view.slow else ""
    return f"{view.failures:,} of {view.calls:,} calls failed{slow}" if view.calls else ""
