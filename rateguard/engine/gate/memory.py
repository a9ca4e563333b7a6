"""The gate in one process, without Redis: for library use and tests, and the readable twin of redis.py and its Lua."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rateguard.engine import scopes
from rateguard.engine.errors import GateEpochLost
from rateguard.engine.gate.admission import Admission
from rateguard.engine.gate.breakers import RESTORED, Breakers
from rateguard.engine.gate.choosing import Choosing
from rateguard.engine.gate.contract import (
    MOST_SHOWN,
    Charge,
    Configuration,
    Cooldown,
    HeldReservation,
    Holder,
    Inspection,
    LimitReading,
    LimitUse,
    Notice,
    Refusal,
    Refused,
    ReservationId,
    Running,
    ScopeRecord,
    Sent,
    Step,
    StepReply,
    Waiting,
)
from rateguard.engine.gate.holders import GateSettings, Holders
from rateguard.engine.gate.notices import Notices
from rateguard.engine.gate.reservations import Reservation, Reservations
from rateguard.engine.gate.room import Room
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Need
from rateguard.engine.limits.states import FOREVER, NEVER, Budget, LimitState
from rateguard.engine.limits.table import LimitTable


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _named(record: ScopeRecord) -> list[tuple[str, str]]:
    """(kind, limit) that a node gives to nodes below it; kind "" for its own."""
    return [("", limit_id) for limit_id in record.limits] + [(kind, limit_id) for kind, ids in record.defaults for limit_id in ids]


class MemoryGate:
    """See contract.Gate. `clock_ms` is the gate's time; one lock makes each call atomic."""

    def __init__(self, settings: GateSettings | None = None, clock_ms: Callable[[], int] = _clock_ms) -> None:
        self._settings = settings or GateSettings()
        self._clock_ms = clock_ms
        self._lock = threading.RLock()
        self._empty()

    def _empty(self) -> None:
        self._epoch: int | None = None
        self._version = 0
        self._record_versions: dict[str, int] = {}
        self._limits = LimitTable()
        self._room = Room(self._limits)
        self._holders = Holders(self._settings)
        self._notices = Notices()
        self._breakers = Breakers(self._room.lists, self._notices)
        self._reservations = Reservations(self._room, self._holders, self._breakers, self._notices)
        self._credits: dict[tuple[str, Lane], int] = {}
        self._paused_lanes: dict[Lane, int] = {}
        self._last_pool = ""
        self._replies: dict[str, tuple[int, StepReply]] = {}

    # ---- decisions

    def epoch(self) -> int | None:
        """See contract.Gate."""
        return self._epoch

    def step(self, step: Step) -> StepReply:
        """See contract.Gate."""
        with self._lock:
            epoch = self._open_epoch()
            known = self._replies.get(step.channel)
            if known and known[0] >= step.number:
                return known[1]
            reply = self._run(step, epoch, self._now())
            self._replies[step.channel] = (step.number, reply)
            return reply

    def _run(self, step: Step, epoch: int, now_ms: int) -> StepReply:
        for sent in step.sent:
            self._reservations.note_sent(sent, now_ms)
        for settlement in step.settle:
            self._reservations.settle(settlement, now_ms)
        for job in step.withdraw:
            self._room.withdraw(job)
        is_reserved = self._reservations.open.__contains__
        unknown = [job for job in step.enqueue if not is_reserved(ReservationId(job.job, job.attempt + 1)) and not self._room.enqueue(job)]
        refused = [Refused(job.job, job.attempt, Refusal.NOT_CONFIGURED, self._room.paths.missing(job.path)) for job in unknown]
        admission = self._admission(step.want, now_ms)
        has_more = admission.run() if step.want else False
        self._last_pool = admission.choosing.last_pool
        first = self._room.wake.first()
        resumed = (until for until in self._paused_lanes.values() if until > now_ms)
        opens_ms = min(admission.opens_ms, first[1] if first else FOREVER, *resumed)
        return StepReply(
            now_ms=now_ms,
            epoch=epoch,
            version=self._version,
            granted=tuple(admission.granted),
            refused=(*refused, *admission.refused),
            next_ready_ms=None if opens_ms == FOREVER else max(opens_ms, now_ms + 1),
            has_more=has_more,
            binding=admission.binding,
        )

    def _admission(self, want: int, now_ms: int) -> Admission:
        return Admission(
            room=self._room,
            breakers=self._breakers,
            notices=self._notices,
            cooling=self._reservations.cooling,
            settings=self._settings,
            choosing=Choosing(self._room, self._holders, self._paused_lanes, self._credits, self._last_pool, now_ms),
            now_ms=now_ms,
            want=want,
            is_reserved=self._reservations.open.__contains__,
            reserve=self._reservations.reserve,
        )

    # ---- holders

    def beat(self, holder: Holder) -> int:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            now_ms = self._now()
            self._holders.beat(holder, now_ms)
            self._limits.sweep(now_ms)
            return now_ms

    def leave(self, holder: str) -> None:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            self._holders.leave(holder)

    def adopt(self, reservation: ReservationId, holder: str) -> None:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            held = self._reservations.open.get(reservation)
            if held is not None and not held.holder:
                self._reservations.note_sent(Sent(reservation, holder, 0), self._now())

    def suspects(self, most: int) -> tuple[HeldReservation, ...]:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            now_ms = self._now()
            self._holders.note_gap(now_ms)
            late = [
                rid for rid, send_by in sorted(self._reservations.send_by.items(), key=lambda item: (item[1], item[0])) if send_by < now_ms
            ]
            orphaned = sorted((rid for rid in self._reservations.open if self._is_orphan(rid, now_ms)), key=self._silence)
            self._forget_the_dead(now_ms)
            return tuple(self._seen(rid, now_ms) for rid in [*late, *orphaned][:most])

    def _is_orphan(self, reservation_id: ReservationId, now_ms: int) -> bool:
        holder = self._reservations.open[reservation_id].holder
        return bool(holder) and not self._holders.is_alive(holder, now_ms)

    def _silence(self, reservation_id: ReservationId) -> tuple[int, str, ReservationId]:
        """Who has been silent longest comes first."""
        holder = self._reservations.open[reservation_id].holder
        return self._holders.beats.get(holder, 0), holder, reservation_id

    def _forget_the_dead(self, now_ms: int) -> None:
        holding = {reservation.holder for reservation in self._reservations.open.values()}
        for holder in list(self._holders.beats):
            if holder not in holding and not self._holders.is_alive(holder, now_ms):
                self._holders.forget(holder)

    def held(self, cursor: int, most: int) -> tuple[int, tuple[HeldReservation, ...]]:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            now_ms = self._now()
            self._holders.note_gap(now_ms)
            page = sorted(self._reservations.open)[cursor : cursor + most]
            following = cursor + most if cursor + most < len(self._reservations.open) else 0
            return following, tuple(self._seen(rid, now_ms) for rid in page)

    def _seen(self, reservation_id: ReservationId, now_ms: int) -> HeldReservation:
        holder = self._reservations.open[reservation_id].holder
        is_alive = bool(holder) and self._holders.is_alive(holder, now_ms)
        return self._reservations.seen(reservation_id, is_alive=is_alive, now_ms=now_ms)

    # ---- configuration and rebuild

    def configure(self, configuration: Configuration) -> None:
        """See contract.Gate."""
        with self._lock:
            now_ms = self._now()
            self._write_limits(configuration, now_ms)
            self._write_scopes(configuration)
            self._write_models(configuration)
            if configuration.paused_lanes is not None and self._is_current("lanes", configuration):
                self._paused_lanes.clear()
                self._paused_lanes.update((paused.lane, paused.until_ms) for paused in configuration.paused_lanes)
            self._version = max(self._version, configuration.version)

    def _is_current(self, record: str, configuration: Configuration) -> bool:
        """Whether the record was not read from older rows than the one that stands: pushes may overtake each other."""
        if configuration.version < self._record_versions.get(record, 0):
            return False
        self._record_versions[record] = configuration.version
        return True

    def _write_limits(self, configuration: Configuration, now_ms: int) -> None:
        for record in configuration.limits:
            if self._is_current(f"limit:{record.id}", configuration):
                old = self._limits.records.get(record.id)
                for limit_id in self._limits.write(record, now_ms):
                    if old and not record.parks_as(old):
                        self._room.free_parked(limit_id)
                    else:
                        self._room.wake_at(limit_id, now_ms)
        for record_id in configuration.forget_limits:
            if self._is_current(f"limit:{record_id}", configuration):
                for limit_id in self._limits.states_of(record_id):
                    self._room.free_parked(limit_id)
                self._limits.forget(record_id)

    def _write_scopes(self, configuration: Configuration) -> None:
        """What is parked under a limit that a node has no longer is tried again."""
        records = self._room.paths.records
        for record in configuration.scopes:
            if self._is_current(f"scope:{record.id}", configuration):
                self._free_dropped(records.get(record.id), record)
                records[record.id] = record
                part = record.id.partition("|")[2] or f"tenant:{record.id}"
                for limit_id in record.without:
                    self._room.free_parked(scopes.instance_of(limit_id, part))
        for node in configuration.forget_scopes:
            if self._is_current(f"scope:{node}", configuration):
                old = records.pop(node, None)
                self._free_dropped(old, ScopeRecord(node))
                if "|run:" in node:  # a run never comes back: nothing has to be remembered of it
                    for gone in (f"scope:{node}", *(f"limit:{limit_id}" for limit_id in (old.limits if old else ()))):
                        self._record_versions.pop(gone, None)

    def _free_dropped(self, old: ScopeRecord | None, new: ScopeRecord) -> None:
        """What is parked under a limit, or by a default, that the node had and has no longer."""
        kept = set(_named(new))
        for kind, limit_id in _named(old) if old else ():
            if (kind, limit_id) not in kept:
                for state_id in self._limits.states_of(limit_id):
                    self._room.free_parked(state_id)

    def _write_models(self, configuration: Configuration) -> None:
        for model in configuration.models:
            if self._is_current(f"model:{model.name}", configuration):
                self._room.lists.write(model)
        for name in configuration.forget_models:
            if self._is_current(f"model:{name}", configuration):
                self._room.lists.forget(name)

    def clear(self) -> None:
        """See contract.Gate."""
        with self._lock:
            self._empty()

    def restore(self, charges: tuple[Charge, ...], running: tuple[Running, ...], waiting: tuple[Waiting, ...]) -> None:
        """See contract.Gate."""
        with self._lock:
            now_ms = self._now()
            for charge in charges:
                state = self._limits.get(charge.limit, now_ms)
                if state is not None:
                    state.recall(charge.amount, now_ms - charge.ago_ms)
                    self._limits.keep(charge.limit, state, charge.tenant, now_ms)
            for attempt in running:
                self._restore_running(attempt, now_ms)
            for job in waiting:
                self._room.enqueue(job)

    def _restore_running(self, attempt: Running, now_ms: int) -> None:
        job = attempt.waiting
        reservation_id = ReservationId(job.job, job.attempt)
        path, deployment = self._room.paths.resolve(job.path), self._room.lists.deployment(job.model, attempt.deployment)
        if reservation_id in self._reservations.open or path is None:
            return
        limits = path.limits + (deployment.limits if deployment else ())
        need = Need(job.input_tokens, job.output_tokens, job.max_output_tokens, attempt.cost)
        charged_ms = now_ms - attempt.ago_ms
        charges = []
        for limit_id, state in self._limits.charged(limits, now_ms):
            amount = need.of(state.record.metric)
            if isinstance(state, Budget):
                state.take(amount, now_ms)
            else:
                state.recall(amount, charged_ms)
            self._limits.keep(limit_id, state, path.tenant, now_ms)
            charges.append((limit_id, amount))
        reservation = Reservation(job.path, job.model, job.lane, job.work_class, need, charges, charged_ms, attempt.deployment, RESTORED)
        self._reservations.reserve(reservation_id, reservation, now_ms)
        self._reservations.claim(reservation_id, reservation, attempt.holder)

    def open(self, epoch: int) -> None:
        """See contract.Gate."""
        with self._lock:
            self._holders.resumed_at = self._now()
            self._breakers.epoch = epoch
            self._epoch = epoch

    # ---- looking

    def inspect(self, limits: tuple[str, ...] | None = None) -> Inspection:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            now_ms = self._now()
            named, defaults = self._limits.named(self._limits.records if limits is None else set(limits), MOST_SHOWN)
            wanted = tuple(sorted(named))
            nodes = tuple((tenant, count) for tenant, count in sorted(self._limits.nodes.items()) if count)
            return Inspection(
                now_ms=now_ms,
                limits=tuple(_use(limit_id, state, now_ms) for limit_id, state in self._limits.find(wanted, now_ms)),
                waiting=self._room.waiting,
                reservations=len(self._reservations.open),
                unsent=sum(self._holders.unsent.values()),
                holders=tuple(self._holders.records[holder] for holder in sorted(self._holders.records)),
                cooling=tuple(Cooldown(t, until - now_ms) for t, until in sorted(self._reservations.cooling.items()) if until > now_ms),
                breakers=self._breakers.views(now_ms),
                nodes=nodes,
                defaults=defaults,
                statistics=self._reservations.statistics.views(now_ms),
            )

    def limits_of(self, path: str) -> tuple[str, ...] | None:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            found = self._room.paths.resolve(path)
            return None if found is None else tuple(limit_id for limit_id, _ in self._limits.find(found.limits, self._now()))

    def notices(self, acknowledged: tuple[str, ...], most: int) -> tuple[Notice, ...]:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            return self._notices.read(acknowledged, most)

    def sync(self, lifted: tuple[str, ...], readings: tuple[LimitReading, ...]) -> None:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            for target in lifted:
                self._reservations.cooling.pop(target, None)
            self._reservations.read(readings, self._now())

    def reset_breaker(self, deployment: str) -> None:
        """See contract.Gate."""
        with self._lock:
            self._open_epoch()
            self._breakers.reset(deployment, self._now())

    # ---- time and epoch

    def _now(self) -> int:
        now_ms = self._clock_ms()
        self._room.go_on(now_ms)
        return now_ms

    def _open_epoch(self) -> int:
        if self._epoch is None:
            raise GateEpochLost("the gate is empty: rebuild it from the rows first")
        return self._epoch


def _use(limit_id: str, state: LimitState, now_ms: int) -> LimitUse:
    record, wait = state.record, state.wait_ms(1, now_ms, Lane.CRITICAL)
    amount = state.most_for(Lane.CRITICAL) if record.kind == Kind.BUCKET else state.amount
    reserved = state.reserved if isinstance(state, Budget) else 0
    used = state.used(now_ms) + state.foreign
    return LimitUse(limit_id, used, amount, reserved, wait if NEVER < wait < FOREVER else None, state.foreign)
