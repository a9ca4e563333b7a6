"""What people and checks look at: limits in use, holders, breakers, notices. Part of the contract."""

from __future__ import annotations

import dataclasses
import enum

from rateguard.engine.breaker.rule import BreakerState
from rateguard.engine.lanes import Lane


@dataclasses.dataclass(frozen=True, slots=True)
class Cooldown:
    """A provider said "not before": the target ("a3" an account, "d7" a deployment) takes nothing for `for_ms`.

    reason: "" a passing limit; else why it takes nothing for long, in words that people are told once.
    """

    target: str
    for_ms: int
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds reservations. slots: jobs it can run at once, 0 for a web process. lanes: those it serves."""

    id: str
    slots: int
    lanes: tuple[Lane, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class LimitUse:
    """A limit's state. used: what counts now (budget: settled + reserved). amount: the limit itself, or a bucket's capacity.

    A provider's limit counts what others use there too, `foreign`; its amount is what is granted now: what people set, or less where the
    provider tells less, or what was learned. next_ms: how long until one more fits; 0: now; None: not before somebody settles, a period
    begins or a person acts.
    """

    id: str
    used: int
    amount: int
    reserved: int = 0
    next_ms: int | None = 0
    foreign: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker as it stands. calls, failures, slow: in its window. until_ms: gate time at which an open one lets a probe through."""

    deployment: str
    state: BreakerState
    generation: int
    calls: int
    failures: int
    slow: int
    until_ms: int
    is_probing: bool


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentStatistics:
    """What a deployment's calls showed. calls: since the gate's state began. used_ago_ms: since its last one ended, None: never.

    latency_ms: of a call that succeeded, a moving mean over about eight; None before the first. failed_permille: what failed, of those that
    say something of their deployment, a moving mean alike.
    """

    deployment: str
    calls: int
    latency_ms: int | None
    failed_permille: int
    used_ago_ms: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Inspection:
    """The gate at a glance, for views and for checks. breakers, statistics: of those that have seen calls. nodes: live ones of each tenant.

    defaults: of each default that was asked for by its nodes (`l17@*`), how many nodes have a state by it.
    """

    now_ms: int
    limits: tuple[LimitUse, ...]
    waiting: int
    reservations: int
    unsent: int
    holders: tuple[Holder, ...]
    cooling: tuple[Cooldown, ...]
    breakers: tuple[BreakerView, ...] = ()
    nodes: tuple[tuple[str, int], ...] = ()
    defaults: tuple[tuple[str, int], ...] = ()
    statistics: tuple[DeploymentStatistics, ...] = ()


class NoticeKind(enum.StrEnum):
    """What a notice is about.

    THRESHOLD: a budget's use reached a share (value: per cent; period: when its period began).
    BREAKER: a transition (value: the generation; detail: `closed>open: 5 of 8 calls failed`).
    COOLED: an account or a deployment takes nothing for long (period: until when; detail: why).
    """

    THRESHOLD = "threshold"
    BREAKER = "breaker"
    COOLED = "cooled"


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """Something that people want to hear of. It stays with the gate until it is acknowledged; `id` is the same each time it is read.

    subject: the limit's id (of a default: `b3@user:alice`), the deployment's, or what is cooled ("a3", "d7").
    """

    id: str
    kind: NoticeKind
    subject: str
    value: int
    period: int
    at_ms: int
    detail: str


MOST_NODES = 100_000
"""Live nodes of a tenant: those for which a default limit holds state."""

MOST_NOTICES = 10_000
"""Notices kept for whoever collects them; beyond that the new ones are dropped."""
