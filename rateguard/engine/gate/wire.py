"""What goes over the line to the Lua twin and back: values to msgpack arrays, replies to values."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable
from typing import Any

import msgpack

from rateguard.engine.gate.codec import pack_member, pack_reservation, split_tree, tree_name, unpack_reservation
from rateguard.engine.gate.contract import (
    Charge,
    Configuration,
    Cooldown,
    Grant,
    HeldReservation,
    Holder,
    Inspection,
    LimitUse,
    ModelRecord,
    PathRecord,
    Refusal,
    Refused,
    ReservationId,
    Running,
    Settlement,
    Step,
    StepReply,
    Waiting,
)
from rateguard.engine.gate.holders import GateSettings
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
    return [settings.send_by_ms, settings.dead_after_ms, settings.unsent_per_worker]


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
    return _flat((tree_name(job.model, job.work_class, job.lane), job.path, pack_member(job), job.order_ms) for job in jobs)


def _settlement(settlement: Settlement) -> tuple[Any, ...]:
    cooldown = settlement.cooldown or Cooldown("", 0)
    counted_ago = -1 if settlement.counted_ago_ms is None else settlement.counted_ago_ms
    return (
        pack_reservation(settlement.reservation),
        int(settlement.used),
        settlement.input_tokens,
        settlement.output_tokens,
        settlement.cost,
        counted_ago,
        cooldown.target,
        cooldown.for_ms,
    )


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
    return tuple(HeldReservation(unpack_reservation(rid), holder.decode(), bool(alive), int(age)) for rid, holder, alive, age in rows)


def configuration_fields(configuration: Configuration) -> list[Any]:
    """In the order in which configure.lua reads them."""
    return [
        configuration.version,
        [_limit(record) for record in configuration.limits],
        [[path.id, pack(_path(path))] for path in configuration.paths],
        [[model.name, pack(_model(model))] for model in configuration.models],
        list(configuration.forget_limits),
        list(configuration.forget_models),
    ]


def _limit(record: LimitRecord) -> list[Any]:
    is_window = record.kind == Kind.WINDOW
    slices, ring = (record.slices, record.ring) if is_window else (1, 0)
    fields = [record.id, int(record.kind), int(record.metric), record.amount, int(record.level), record.window_ms]
    return [*fields, record.burst_permille, int(record.gives_back), slices, ring]


def _path(path: PathRecord) -> list[Any]:
    return [path.tenant, path.weight, list(path.limits)]


def _model(model: ModelRecord) -> list[Any]:
    deployments = [[d.id, list(d.limits), list(d.cools), d.input_pico, d.output_pico] for d in model.deployments]
    return [model.pool, deployments]


def charge_fields(charges: tuple[Charge, ...]) -> list[Any]:
    """Flat: limit, amount, ago_ms."""
    return _flat((charge.limit, charge.amount, charge.ago_ms) for charge in charges)


def running_fields(running: tuple[Running, ...]) -> list[Any]:
    """In the order in which restore.lua reads them."""
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
    """What inspect.lua answered."""
    now_ms, limits, waiting, reservations, unsent, holders, cooling = unpack(reply)
    return Inspection(
        now_ms=int(now_ms),
        limits=tuple(LimitUse(name.decode(), int(used), int(amount), int(reserved)) for name, used, amount, reserved in limits or ()),
        waiting=waiting,
        reservations=reservations,
        unsent=unsent,
        holders=tuple(
            sorted((Holder(h.decode(), slots, tuple(map(Lane, lanes or ()))) for h, slots, lanes in holders or ()), key=lambda h: h.id)
        ),
        cooling=tuple(sorted((Cooldown(target.decode(), int(for_ms)) for target, for_ms in cooling or ()), key=lambda c: c.target)),
    )
