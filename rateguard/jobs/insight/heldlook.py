"""One look at the gate for a page or a round: how the paths of waiting jobs and the deployments stand, and who works."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rateguard import wiring
from rateguard.engine.gate.contract import Gate, Inspection, LimitUse
from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.binding import DeploymentState, Effective
from rateguard.jobs.insight.effective import Rows, deployment_states, limit_rows, of_pause, path_sources, place_sources, with_use
from rateguard.jobs.insight.heldrows import Groups
from tenants.directory import Place
from tenants.models import Pause, PauseKind

MOST_PATHS = 30
"""Paths that the gate is asked for."""
PATIENCE_S = 0.5
"""For all of them together; a slow gate is asked for fewer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What the gate said when it was asked once. paths: those that it was asked for, None where it does not know the tenant or the run.

    free: slots that a lane's workers have left, by lane; a lane without a worker is absent.
    """

    seen: Inspection
    paths: Mapping[str, tuple[Effective, ...] | None]
    places: Mapping[int, DeploymentState]
    paused_models: Mapping[str, Effective]
    paused_lanes: Mapping[Lane, Effective]
    free: Mapping[Lane, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What was read of the rows already. running: attempts by holder; forced: breakers by hand, by deployment; None: read them."""

    running: Mapping[str, int]
    forced: Mapping[int, str] | None = None
    pauses: Sequence[Pause] | None = None


def look(groups: Groups, places: Sequence[Place], known: Known, gate: Gate | None = None) -> Look:
    """Ask the gate of the paths of the most telling groups and of these deployments. Raises GateError."""
    gate = gate or wiring.gate()
    ids = dict(_limits_of(gate, telling_paths(groups)))
    pauses = list(Pause.objects.filter(target_kind__in=_NOT_ON_PATHS).order_by("pk")) if known.pauses is None else known.pauses
    named = {one for found in ids.values() for one in found or ()}
    rows = Rows(limit_rows(named, places), known.pauses)
    on_paths = {source.record.id: source for source in path_sources(named, rows)}
    at_places = place_sources(places, dataclasses.replace(rows, pauses=pauses))
    models = {row.target: of_pause(row) for row in pauses if row.target_kind == PauseKind.MODEL}
    lanes = {Lane[row.target.upper()]: of_pause(row) for row in pauses if row.target_kind == PauseKind.LANE}
    asked = {*on_paths, *(one.record.id for found in at_places.values() for one in found), *(one.record.id for one in models.values())}
    seen = gate.inspect(tuple(sorted(asked)))
    used = {one.record.id: one for one in with_use(on_paths.values(), seen)}
    return Look(
        seen,
        {path: None if found is None else tuple(used[one] for one in found if one in used) for path, found in ids.items()},
        {state.id: state for state in deployment_states(places, at_places, seen, known.forced)},
        {name: one for name, found in models.items() for one in with_use([found], seen)},
        {lane: use for lane, found in lanes.items() for use in _paused(found, seen.now_ms)},
        free_slots(seen, known.running),
    )


_NOT_ON_PATHS = (PauseKind.MODEL, PauseKind.LANE, PauseKind.ACCOUNT, PauseKind.DEPLOYMENT)


def telling_paths(groups: Groups) -> list[str]:
    """Of each tenant, model and lane its largest path, then the next largest, MOST_PATHS in all."""
    of_kinds: dict[tuple[int, str, Lane], str] = {}
    for group in groups.groups:
        of_kinds.setdefault((group.tenant_id, group.model, group.lane), group.path)
    in_order = (*of_kinds.values(), *(group.path for group in groups.groups))
    return list(dict.fromkeys(in_order))[:MOST_PATHS]


def _limits_of(gate: Gate, paths: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    ends = time.monotonic() + PATIENCE_S
    for path in paths:
        yield path, gate.limits_of(path)
        if time.monotonic() > ends:
            return


def _paused(pause: Effective, now_ms: int) -> Iterator[Effective]:
    """A lane's pause is no limit of the gate's; its row says until when."""
    until_ms = pause.record.amount
    if not until_ms or until_ms > now_ms:
        yield dataclasses.replace(pause, use=LimitUse(pause.record.id, 0, 0, next_ms=until_ms - now_ms if until_ms else None))


def free_slots(seen: Inspection, running: Mapping[str, int]) -> dict[Lane, int]:
    """Slots that live workers have left for a lane. What is granted and not started yet has a slot too."""
    workers = [one for one in seen.holders if one.slots]
    return {
        lane: sum(max(0, one.slots - running.get(one.id, 0)) for one in workers if lane in one.lanes) - seen.unsent
        for lane in Lane
        if any(lane in one.lanes for one in workers)
    }
