"""Which limit is in the way of a request: pure functions of what the gate says and of what the request needs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from rateguard.engine.breaker.rule import BreakerState, Forced
from rateguard.engine.gate.contract import BreakerView, LimitUse
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, LimitRecord, Need

_UNUSED = LimitUse("", 0, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Effective:
    """A limit, budget or pause as it stands, and the node that it is on.

    scope_kind: `global` … `key`, `lane`, `model`, `account` or `deployment`; scope: the node's name. use: what the gate says of it.
    period: `day`, `week`, `month` or `total` of a budget; downgrade_to: its cheaper model. reason: why somebody paused.
    is_shared: others use it too, so whoever asks is told when there is room and not how much of it is used.
    """

    record: LimitRecord
    scope_kind: str
    scope: str
    use: LimitUse = _UNUSED
    period: str = ""
    downgrade_to: str = ""
    reason: str = ""
    is_shared: bool = False

    def left(self, lane: Lane) -> int:
        """What a lane may still take of it."""
        return max(0, self.most_for(lane) - self.use.used)

    @property
    def amount(self) -> int:
        """What it is now: of a provider's limit less where he tells less, of a learned one what was learned."""
        is_known = self.use.amount > 0 and self.record.kind == Kind.WINDOW
        return min(self.record.amount, self.use.amount) if is_known else self.record.learns_from or self.record.amount

    def most_for(self, lane: Lane) -> int:
        """What a lane may use of it now."""
        return self.record.amount_for(lane, self.amount)


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentState:
    """A deployment as the gate sees it: its limits and its account's, what cools it, its breaker. cooling_ms: 0 where nothing does."""

    id: int
    name: str
    account_id: int
    limits: tuple[Effective, ...]
    cooling_ms: int = 0
    breaker: BreakerView | None = None
    forced: Forced = Forced.NO


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A request that somebody thinks of."""

    need: Need
    lane: Lane
    now_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class Obstacle:
    """What one limit, cooldown or breaker says of a request.

    kind: `limit`, `budget`, `pause`, `cooldown`, `breaker` or `no_deployment`. wait_ms: 0 where it fits, else after how long it fits at the
    latest, if nobody else comes first; None: not before somebody settles, pays or lifts it. is_never: it needs more than there is in all.
    headroom: how many such requests fit one after the other; None where nobody is told.
    """

    kind: str
    id: str
    scope_kind: str
    scope: str
    wait_ms: int | None = 0
    is_never: bool = False
    headroom: int | None = None

    @property
    def fits(self) -> bool:
        """Whether the request passes here now."""
        return self.wait_ms == 0 and not self.is_never

    @property
    def severity(self) -> float:
        """What to compare obstacles by: the longest wait, then those without an end, then what never fits."""
        if self.is_never:
            return math.inf
        return 2.0**62 if self.wait_ms is None else self.wait_ms


def judge(limit: Effective, asked: Asked) -> Obstacle:
    """What one limit says of a request. Of a shared one only whether it is open at all, so that nobody measures others by asking."""
    found = Obstacle(_kind_of(limit), limit.use.id, limit.scope_kind, limit.scope)
    if limit.is_shared or limit.record.kind == Kind.PAUSE:
        return dataclasses.replace(found, wait_ms=limit.use.next_ms)
    wanted, most = asked.need.of(limit.record.metric), limit.most_for(asked.lane)
    if wanted > limit.record.amount_for(asked.lane):
        return dataclasses.replace(found, wait_ms=None, is_never=True)
    headroom = limit.left(asked.lane) // wanted if wanted else None
    if limit.use.used + wanted > most:
        return dataclasses.replace(found, wait_ms=_wait_ms(limit, wanted, most, asked.now_ms), headroom=0)
    return dataclasses.replace(found, wait_ms=limit.use.next_ms if wanted else 0, headroom=headroom)


def _kind_of(limit: Effective) -> str:
    if limit.record.kind == Kind.PAUSE:
        return "pause"
    return "budget" if limit.record.kind == Kind.BUDGET else "limit"


def _wait_ms(limit: Effective, wanted: int, most: int, now_ms: int) -> int | None:
    """After how long so much fits at the latest; it does not now."""
    record, use = limit.record, limit.use
    match record.kind:
        case Kind.WINDOW:
            return use.next_ms if wanted == 1 and use.next_ms else max(record.window_ms, use.next_ms or 0)
        case Kind.BUCKET:
            return max(1, -(-(use.used + wanted - most) * record.window_ms // record.amount))
        case Kind.BUDGET:
            begins_ms = record.next_period_ms(now_ms)
            return None if begins_ms is None else begins_ms - now_ms
        case _:
            return None


def judge_deployment(place: DeploymentState, asked: Asked) -> list[Obstacle]:
    """What everything at one deployment says of a request."""
    found = [judge(limit, asked) for limit in place.limits]
    if place.cooling_ms:
        found.append(Obstacle("cooldown", "", "deployment", place.name, place.cooling_ms))
    breaker_ms = breaker_wait_ms(place, asked.now_ms)
    if breaker_ms != 0:
        found.append(Obstacle("breaker", "", "deployment", place.name, breaker_ms))
    return found


def breaker_wait_ms(place: DeploymentState, now_ms: int) -> int | None:
    """How long the breaker lets nothing through: 0, until its next probe, or None while a person or a probe keeps it shut."""
    if place.forced != Forced.NO:
        return None if place.forced == Forced.OPEN else 0
    if place.breaker is None or place.breaker.state == BreakerState.CLOSED:
        return 0
    if place.breaker.is_probing:
        return None
    return max(0, place.breaker.until_ms - now_ms)


def is_on_trial(place: DeploymentState) -> bool:
    """Whether its breaker lets through one probe and no more."""
    return place.forced == Forced.NO and place.breaker is not None and place.breaker.state != BreakerState.CLOSED


def binding(path: Iterable[Effective], places: Sequence[DeploymentState] | None, asked: Asked) -> Obstacle | None:
    """What a request meets first: what holds it up longest, or, where it fits, what would stop its like first. None: nothing limits it.

    Of a model's deployments (None: no model was named) the one that opens first counts.
    """
    found = [judge(limit, asked) for limit in path]
    if places is not None:
        found += min((judge_deployment(place, asked) for place in places), key=_severity_of, default=[_NOWHERE])
    worst = max(found, key=lambda obstacle: obstacle.severity, default=None)
    if worst is None or not worst.fits:
        return worst
    return min((one for one in found if one.headroom is not None), key=lambda one: one.headroom or 0, default=None)


def _severity_of(obstacles: Iterable[Obstacle]) -> float:
    return max((one.severity for one in obstacles), default=0.0)


_NOWHERE = Obstacle("no_deployment", "", "model", "", wait_ms=None)
