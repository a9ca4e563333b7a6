"""What goes over the line to the Lua twin and back: values to msgpack arrays, replies to values."""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Iterable
from typing import Any

import msgpack

from rateguard.engine.breaker.rule import BreakerState
from rateguard.engine.gate.codec import order_of, pack_member, pack_reservation, split_tree, tree_name, unpack_reservation
from rateguard.engine.gate.contract import (
    BreakerView,
    Charge,
    Configuration,
    Cooldown,
    DeploymentRecord,
    Grant,
    HeldReservation,
    Holder,
    Inspection,
    LimitReading,
    LimitUse,
    ModelRecord,
    Notice,
    NoticeKind,
    Refusal,
    Refused,
    ReservationId,
    Running,
    ScopeRecord,
    Settlement,
    Step,
    StepReply,
    Waiting,
)
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.statistics import view
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, LimitRecord


def pack(values: Any) -> bytes:
    """Arrays, numbers, text and bytes, as Lua's cmsgpack reads them."""
    packed: bytes = msgpack.packb(values, use_bin_type=False)
    return packed


def unpack(reply: bytes) -> Any:
    """The inverse; text comes back as bytes."""
    return msgpack.unpackb(reply, raw=True, strict_map_key=False)


def settings_fields(settings: GateSettings) -> list[int]:
    """In the order in which holders.lua reads them."""
    return [settings.send_by_ms, settings.dead_after_ms, settings.unsent_per_worker, settings.most_nodes]


def step_fields(step: Step, settings: GateSettings) -> list[Any]:
    """In the order in which step.lua reads them."""
    return [
        step.channel,
        step.number,
        step.want,
        _flat((pack_reservation(sent.reservation), sent.holder, sent.ago_ms) for sent in step.sent),
        _flat(map(_settlement, step.settle)),
        _flat((tree_name(job.model, job.work_class, job.lane), job.path, pack_member(job)) for job in step.withdraw),
        waiting_fields(step.enqueue),
        settings_fields(settings),
    ]


def waiting_fields(jobs: Iterable[Waiting]) -> list[Any]:
    """Flat: tree, path, member, order."""
    return _flat((tree_name(job.model, job.work_class, job.lane), job.path, pack_member(job), order_of(job)) for job in jobs)


def _settlement(settlement: Settlement) -> tuple[Any, ...]:
    cooldown = settlement.cooldown or Cooldown("", 0)
    counted_ago = -1 if settlement.counted_ago_ms is None else settlement.counted_ago_ms
    return (
        pack_reservation(settlement.reservation),
        int(settlement.used),
        settlement.input_tokens,
        settlement.output_tokens,
        settlement.cached_tokens,
        settlement.cost,
        counted_ago,
        cooldown.target,
        cooldown.for_ms,
        cooldown.reason,
        int(settlement.verdict),
        settlement.latency_ms,
        reading_fields(settlement.readings) if settlement.readings else False,
    )


def reading_fields(readings: Iterable[LimitReading]) -> list[Any]:
    """Flat: limit, told, remaining, reset_ms (-1 for what is not told), ago_ms."""
    return _flat((one.limit, _or_none(one.told), _or_none(one.remaining), _or_none(one.reset_ms), one.ago_ms) for one in readings)


def _or_none(figure: int | None) -> int:
    return -1 if figure is None else figure


def _flat(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    return list(itertools.chain.from_iterable(rows))


def step_reply(reply: bytes) -> StepReply:
    """What step.lua answered."""
    now_ms, epoch, version, granted, refused, next_ready_ms, has_more, binding = unpack(reply)
    return StepReply(
        now_ms=int(now_ms),
        epoch=int(epoch),
        version=int(version),
        granted=tuple(map(_grant, granted or ())),
        refused=tuple(_refused(refused[at : at + 4]) for at in range(0, len(refused or ()), 4)),
        next_ready_ms=int(next_ready_ms) or None,
        has_more=bool(has_more),
        binding=binding.decode(),
    )


def _grant(fields: list[Any]) -> Grant:
    reservation, tree, deployment, cost, send_by_ms, input_tokens, max_output_tokens = fields
    model, work_class, lane = split_tree(tree.decode())
    return Grant(
        reservation=unpack_reservation(reservation),
        model=model,
        deployment=deployment.decode(),
        lane=lane,
        work_class=work_class,
        cost=int(cost),
        send_by_ms=int(send_by_ms),
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
    )


def _refused(fields: list[Any]) -> Refused:
    job, attempt, reason, binding = fields
    return Refused(uuid.UUID(bytes=job), attempt, Refusal(reason.decode()), binding.decode())


def held_reservations(rows: list[Any]) -> tuple[HeldReservation, ...]:
    """What suspects.lua and held.lua answered."""
    return tuple(map(_held, rows))


def _held(fields: list[Any]) -> HeldReservation:
    reservation, holder, is_alive, age_ms, path, tree, deployment, *figures = fields
    model, work_class, _ = split_tree(tree.decode())
    cost, input_tokens, output_tokens, max_output_tokens = map(int, figures)
    return HeldReservation(
        unpack_reservation(reservation),
        holder.decode(),
        bool(is_alive),
        int(age_ms),
        path=path.decode(),
        model=model,
        deployment=deployment.decode(),
        cost=cost,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        max_output_tokens=max_output_tokens,
        work_class=work_class,
    )


def configuration_fields(configuration: Configuration, *, is_last: bool) -> list[Any]:
    """In the order in which configure.lua reads them; is_last: the whole configuration is written with it."""
    lanes = configuration.paused_lanes
    return [
        configuration.version,
        [[record.id, _limit(record)] for record in configuration.limits],
        [[record.id, pack(_scope(record))] for record in configuration.scopes],
        [[model.name, pack(_model(model))] for model in configuration.models],
        list(configuration.forget_limits),
        list(configuration.forget_scopes),
        list(configuration.forget_models),
        False if lanes is None else _flat((int(paused.lane), paused.until_ms) for paused in lanes),
        is_last,
    ]


_RECORD = struct.Struct("<BBBBBHBddHHHHII")


def _limit(record: LimitRecord) -> bytes:
    """As limits.lua reads it; of a budget, periods and thresholds follow."""
    slices = record.slices if record.kind == Kind.WINDOW else 1
    fields = _RECORD.pack(
        record.kind,
        record.metric,
        record.level,
        record.gives_back + (0 if record.counts_cached else 2),
        record.reserve_lane,
        record.reserve_permille,
        record.on_exhausted,
        record.amount,
        record.window_ms,
        record.burst_permille,
        slices,
        record.ring,
        record.output_permille,
        record.learns_from,
        record.learns_floor,
    )
    return fields + pack([list(record.periods), list(record.thresholds)]) if record.kind == Kind.BUDGET else fields


def _scope(record: ScopeRecord) -> list[Any]:
    defaults = [[kind, list(limits)] for kind, limits in record.defaults]
    return [list(record.limits), record.weight, list(record.without), defaults]


def _model(model: ModelRecord) -> list[Any]:
    return [model.pool, [_deployment(deployment) for deployment in model.deployments], int(model.mode)]


def _deployment(record: DeploymentRecord) -> list[Any]:
    rule = record.breaker
    counts = [rule.failures, rule.failure_permille, rule.window_ms, rule.open_ms, rule.slow_ms, rule.slow_permille, rule.probes]
    place = record.tier, record.weight, record.after_ms
    return [record.id, list(record.limits), list(record.cools), record.input_pico, record.output_pico, [*counts, int(rule.forced)], *place]


def charge_fields(charges: tuple[Charge, ...]) -> list[Any]:
    """Flat: limit, amount, ago_ms, tenant."""
    return _flat((charge.limit, charge.amount, charge.ago_ms, charge.tenant) for charge in charges)


def running_fields(running: tuple[Running, ...]) -> list[Any]:
    """In the order in which rebuild.lua reads them."""
    return [
        [
            pack_reservation(ReservationId(attempt.waiting.job, attempt.waiting.attempt)),
            attempt.waiting.path,
            tree_name(attempt.waiting.model, attempt.waiting.work_class, attempt.waiting.lane),
            attempt.waiting.input_tokens,
            attempt.waiting.output_tokens,
            attempt.waiting.max_output_tokens,
            attempt.cost,
            attempt.ago_ms,
            attempt.holder,
            attempt.deployment,
        ]
        for attempt in running
    ]


def inspection(reply: bytes) -> Inspection:
    """What inspect answered."""
    now_ms, limits, waiting, reservations, unsent, holders, cooling, breakers, nodes, defaults, statistics = unpack(reply)
    return Inspection(
        now_ms=int(now_ms),
        limits=tuple(map(_use, limits or ())),
        waiting=waiting,
        reservations=reservations,
        unsent=unsent,
        holders=tuple(
            sorted((Holder(h.decode(), slots, tuple(map(Lane, lanes or ()))) for h, slots, lanes in holders or ()), key=lambda h: h.id)
        ),
        cooling=tuple(sorted((Cooldown(target.decode(), int(for_ms)) for target, for_ms in cooling or ()), key=lambda c: c.target)),
        breakers=tuple(map(_breaker, breakers or ())),
        nodes=_counts(nodes),
        defaults=_counts(defaults),
        statistics=tuple(
            view(name.decode(), (int(n), int(us), int(bad), int(used)), int(now_ms)) for name, n, us, bad, used in statistics or ()
        ),
    )


def _counts(flat: list[Any]) -> tuple[tuple[str, int], ...]:
    """From a flat list of names and counts."""
    return tuple(sorted((flat[at].decode(), int(flat[at + 1])) for at in range(0, len(flat or ()), 2)))


def _use(fields: list[Any]) -> LimitUse:
    name, used, amount, reserved, next_ms, foreign = fields
    return LimitUse(name.decode(), int(used), int(amount), int(reserved), None if next_ms < 0 else int(next_ms), int(foreign))


def _breaker(fields: list[Any]) -> BreakerView:
    deployment, state, generation, calls, failures, slow, until_ms, is_probing = fields
    figures = int(generation), int(calls), int(failures), int(slow), int(until_ms)
    return BreakerView(deployment.decode(), BreakerState(state), *figures, bool(is_probing))


def notices(reply: bytes) -> tuple[Notice, ...]:
    """What notices answered."""
    return tuple(
        Notice(notice.decode(), NoticeKind(kind.decode()), subject.decode(), int(value), int(period), int(at_ms), detail.decode())
        for notice, kind, subject, value, period, at_ms, detail in unpack(reply) or ()
    )
