"""Reservations of the memory twin: made at the grant, claimed and moved when sent, adjusted at the end.

reserve.lua is the same, name by name.
"""

from __future__ import annotations

import dataclasses

from rateguard.engine import scopes
from rateguard.engine.gate.breakers import Breakers
from rateguard.engine.gate.contract import Cooldown, HeldReservation, LimitReading, ReservationId, Sent, Settlement, WorkClass
from rateguard.engine.gate.holders import Holders
from rateguard.engine.gate.notices import Notices
from rateguard.engine.gate.room import Room
from rateguard.engine.gate.statistics import Statistics
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Need, Spent
from rateguard.engine.limits.states import Budget, LimitState


@dataclasses.dataclass(slots=True)
class Reservation:
    """What a granted attempt holds. charged_ms: where its windows count it. generation: of its deployment's breaker at the grant.

    charges: what settles to what was used. settled: what counts in the end as at the grant, unless nothing was sent: requests.
    """

    path: str
    model: str
    lane: Lane
    work_class: WorkClass
    need: Need
    charges: list[tuple[str, int]]
    charged_ms: int
    deployment: str
    generation: int
    settled: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    holder: str = ""


class Reservations:
    """What is granted and not yet settled. open: by id. send_by: of those that nobody claimed. cooling: target → until when, ms."""

    def __init__(self, room: Room, holders: Holders, breakers: Breakers, notices: Notices) -> None:
        self._limits = room.table
        self._room = room
        self._holders = holders
        self._breakers = breakers
        self._notices = notices
        self.open: dict[ReservationId, Reservation] = {}
        self.send_by: dict[ReservationId, int] = {}
        self.cooling: dict[str, int] = {}
        self.statistics = Statistics()

    def reserve(self, reservation_id: ReservationId, reservation: Reservation, send_by_ms: int) -> None:
        """A grant holds what it reserved until somebody sends it, at the latest by `send_by_ms`."""
        self.open[reservation_id] = reservation
        self.send_by[reservation_id] = send_by_ms
        if reservation.work_class == WorkClass.JOB:
            self._holders.unsent[reservation.lane] += 1

    def note_sent(self, sent: Sent, now_ms: int) -> None:
        """An attempt was claimed by its holder and its request left: its windows count it then."""
        reservation = self.open.get(sent.reservation)
        if reservation is None:
            return
        self.claim(sent.reservation, reservation, sent.holder)
        self._count_at(reservation, now_ms - sent.ago_ms, now_ms)

    def claim(self, reservation_id: ReservationId, reservation: Reservation, holder: str) -> None:
        """A reservation belongs to a holder; the first claim stands."""
        if reservation.holder:
            return
        reservation.holder = holder
        self.send_by.pop(reservation_id, None)
        self._holders.claim(holder)
        if reservation.work_class == WorkClass.JOB:
            self._holders.unsent[reservation.lane] -= 1
            self._holders.running[holder] = self._holders.running.get(holder, 0) + 1

    def _count_at(self, reservation: Reservation, at_ms: int, now_ms: int) -> None:
        """Windows count the attempt at a later moment than they did."""
        if at_ms <= reservation.charged_ms:
            return
        for limit_id, amount in [*reservation.charges, *reservation.settled]:
            limit = self._limits.get(limit_id, now_ms)
            if limit is not None and limit.move(amount, reservation.charged_ms, at_ms):
                self._limits.keep(limit_id, limit, scopes.tenant_of(reservation.path), now_ms)
        reservation.charged_ms = at_ms

    def settle(self, settlement: Settlement, now_ms: int) -> None:
        """An attempt ended: what it reserved becomes what it used. One that is gone already changes nothing but a cooldown."""
        self.cool(settlement.cooldown, now_ms)
        self.read(settlement.readings, now_ms)
        reservation = self.open.pop(settlement.reservation, None)
        if reservation is None:
            return
        self._release(settlement.reservation, reservation)
        if settlement.used and settlement.counted_ago_ms is not None:
            self._count_at(reservation, now_ms - settlement.counted_ago_ms, now_ms)
        for limit_id, reserved in [*reservation.charges, *(() if settlement.used else reservation.settled)]:
            limit = self._limits.get(limit_id, now_ms)
            if limit is not None:
                actual = _actual(limit, reserved, reservation, settlement)
                limit.adjust(reserved, actual, reservation.charged_ms, now_ms)
                is_more = settlement.used and limit.learn(now_ms, is_limited=_is_limited(settlement))
                self._limits.keep(limit_id, limit, scopes.tenant_of(reservation.path), now_ms)
                self._after_adjust(limit_id, limit, now_ms, has_more=is_more or actual < reserved)
        self._breakers.end(reservation, settlement, now_ms)
        self.statistics.note(reservation.deployment, settlement, now_ms)

    def seen(self, reservation_id: ReservationId, *, is_alive: bool, now_ms: int) -> HeldReservation:
        """A reservation as the reaper sees it. is_alive: its holder."""
        one = self.open[reservation_id]
        return HeldReservation(
            reservation_id,
            one.holder,
            is_alive,
            age_ms=now_ms - one.charged_ms,
            path=one.path,
            model=one.model,
            deployment=one.deployment,
            cost=one.need.cost,
            input_tokens=one.need.input_tokens,
            output_tokens=one.need.output_tokens,
            max_output_tokens=one.need.max_output_tokens,
            work_class=one.work_class,
        )

    def _release(self, reservation_id: ReservationId, reservation: Reservation) -> None:
        self.send_by.pop(reservation_id, None)
        if reservation.work_class != WorkClass.JOB:
            return
        if not reservation.holder:
            self._holders.unsent[reservation.lane] -= 1
        elif reservation.holder in self._holders.running:
            self._holders.running[reservation.holder] -= 1

    def cool(self, cooldown: Cooldown | None, now_ms: int) -> None:
        """A target takes nothing for a while; people hear of a long one when it begins."""
        if cooldown is None:
            return
        known, until = self.cooling.get(cooldown.target, 0), now_ms + cooldown.for_ms
        self.cooling[cooldown.target] = max(until, known)
        if cooldown.reason and known <= now_ms:
            self._notices.cooled(cooldown.target, until, cooldown.reason, now_ms)

    def read(self, readings: tuple[LimitReading, ...], now_ms: int) -> None:
        """What a provider tells of its limits."""
        for reading in readings:
            limit = self._limits.get(reading.limit, now_ms)
            if limit is not None and limit.record.window_ms:
                has_more = limit.read(reading, now_ms)
                self._limits.keep(reading.limit, limit, "", now_ms)
                self._after_adjust(reading.limit, limit, now_ms, has_more=has_more)

    def _after_adjust(self, limit_id: str, limit: LimitState, now_ms: int, *, has_more: bool) -> None:
        """There may be room again; a budget may have reached a threshold."""
        if isinstance(limit, Budget):
            self._notices.thresholds(limit_id, limit, now_ms)
        if limit.has_parked and (has_more or limit.record.kind in (Kind.CONCURRENCY, Kind.BUDGET)):
            limit.opens_at = 0
            self._room.wake_at(limit_id, now_ms)


def _actual(limit: LimitState, reserved: int, reservation: Reservation, settlement: Settlement) -> int:
    """What the attempt counts in the end. A limit that gives nothing back keeps what it counted, or more where the input was larger."""
    if not settlement.used:
        return 0
    most = settlement.output_tokens if limit.record.gives_back else reservation.need.max_output_tokens
    spent = Spent(settlement.input_tokens, settlement.output_tokens, most, settlement.cost, settlement.cached_tokens)
    counted = limit.record.used_by(spent)
    return counted if limit.record.gives_back else max(reserved, counted)


def _is_limited(settlement: Settlement) -> bool:
    """Whether a passing limit of the provider refused it."""
    return settlement.cooldown is not None and not settlement.cooldown.reason
