"""Who must not wait: a request that could not start in time is not taken, and the answer names what is in its way and when to come."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rateguard.engine.errors import InvalidRequest, LimitInTheWay
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Metric, Need
from rateguard.jobs.insight.binding import Asked, Effective, Obstacle, binding
from rateguard.jobs.insight.effective import Standing, standing
from rateguard.jobs.insight.naming import in_words
from rateguard.jobs.intake.fits import need_of
from rateguard.jobs.marked import places_of_row
from rateguard.jobs.models import Job
from tenants.directory import Place

_UNITS = {Metric.REQUESTS: "requests", Metric.CONCURRENCY: "requests", Metric.COST: "nano_usd"}


def check_start(row: Job, within_s: int) -> None:
    """Two calls of the gate. Raises LimitInTheWay: `no_room_in_time`; InvalidRequest where it asks to start later; GateError."""
    if row.run_at is not None and row.run_at > row.submitted_at + dt.timedelta(seconds=within_s):
        message = f"it is to start within {within_s} s, and run_at is later: leave one of them out"
        raise InvalidRequest(message, code="invalid_field", pointer="/job/run_at")
    lane, places = Lane(row.lane), places_of_row(row)
    found = standing(row.path, lane, places, row.tenant_id, row.model)
    asked = Asked(need_of(row, places), lane, found.now_ms)
    obstacle = binding(found.path, found.places, asked)
    if obstacle is not None and not obstacle.fits and (obstacle.is_never or obstacle.wait_ms is None or obstacle.wait_ms > within_s * 1000):
        raise _refusal(obstacle, found, lane, within_s)


def no_room(*, path: str, lane: Lane, places: Sequence[Place], tenant_id: int, model: str, need: Need, within_s: float) -> LimitInTheWay:
    """Why what has waited for so long has not begun. Where nothing is in its way by now, it waited behind others. Raises GateError."""
    found = standing(path, lane, places, tenant_id, model)
    obstacle = binding(found.path, found.places, Asked(need, lane, found.now_ms))
    if obstacle is not None and not obstacle.fits:
        return _refusal(obstacle, found, lane, within_s)
    return LimitInTheWay(
        f"it could not start within {within_s:g} s: others were before it in line, and there is room again now",
        code="no_room_in_time",
        scope_kind="model",
        scope=model,
        limit="others before it in line",
        retry_after_ms=0,
    )


def _refusal(obstacle: Obstacle, found: Standing, lane: Lane, within_s: float) -> LimitInTheWay:
    """What others use too is named without its figures."""
    everything = (*found.path, *(limit for place in found.places for limit in place.limits))
    limit = next((one for one in everything if obstacle.id and one.use.id == obstacle.id), None)
    wait_ms = None if obstacle.is_never else obstacle.wait_ms
    words = _words(obstacle, limit)
    when = "it does not open by itself" if wait_ms is None else f"there is room in {-(-wait_ms // 1000)} s at the latest"
    shown = None if limit is None or limit.is_shared or not limit.record.amount else limit
    return LimitInTheWay(
        f"it could not start within {within_s:g} s: {words} is in the way, and {when}",
        code="no_room_in_time",
        scope_kind=obstacle.scope_kind,
        scope=obstacle.scope,
        limit=words,
        amount=shown.record.amount_for(lane) if shown else None,
        left=shown.left(lane) if shown else None,
        unit=_UNITS.get(shown.record.metric, "tokens") if shown else "requests",
        window_ms=shown.record.window_ms if shown else 0,
        retry_after_ms=wait_ms,
    )


def _words(obstacle: Obstacle, limit: Effective | None) -> str:
    node = f"{obstacle.scope_kind} {obstacle.scope}".strip()
    if limit is None or limit.is_shared or obstacle.kind == "pause":
        return f"a {obstacle.kind.replace('_', ' ')} of {node}"
    return in_words(limit.record.id)
