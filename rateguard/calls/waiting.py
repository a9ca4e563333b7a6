"""The calls of this process that wait at the gate, and the grants that are being taken.

A grant belongs to whoever waits under its number. It is his when the gate has heard so in time; before that, and when nobody waits for it
any more, it goes back.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable

from rateguard.calls.call import Call, Granted
from rateguard.calls.contract import GateLine
from rateguard.calls.held import HeldCalls
from rateguard.calls.waiter import MOST_RETURNS, Result, Waiter
from rateguard.engine.errors import GateError, GateUnavailable
from rateguard.engine.gate.contract import Refusal, Refused, ReservationId, Sent, Settlement, Step, StepReply, WorkClass
from rateguard.jobs.line.calling import Admitted, Decided
from tenants.directory import Place

logger = logging.getLogger(__name__)


class WaitingCalls:
    """Thread-safe. line: the pump. holder: whose reservations they become. place_of: a deployment by its id, None where it is gone."""

    def __init__(self, line: GateLine, holder: str, held: HeldCalls, place_of: Callable[[int], Place | None]) -> None:
        self._line = line
        self._holder = holder
        self._held = held
        self._place_of = place_of
        self._lock = threading.Lock()
        self._waiting: dict[uuid.UUID, Waiter] = {}
        self._taking: dict[ReservationId, tuple[Waiter, Admitted]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, call: object) -> bool:
        return call in self._waiting

    # ---- coming and leaving

    def begin(self, call: Call, wake: Callable[[], object]) -> Waiter:
        """A call gets in line; `wake` is called once, when its result stands."""
        waiter = Waiter(call, wake)
        with self._lock:
            self._waiting[call.id] = waiter
        self._line.enqueue([waiter.waiting()], at_once=True)
        return waiter

    def leave(self, waiter: Waiter) -> Result | None:
        """It waits no longer. None: in vain."""
        with self._lock:
            result = waiter.result
            if result is None:
                self._waiting.pop(waiter.call.id, None)
        if result is None:
            self._line.withdraw([waiter.waiting()])
        return result

    def turn_away(self, waiters: Iterable[Waiter], error: GateError) -> None:
        """They hear this error, and wait no longer."""
        with self._lock:
            mine = [waiter for waiter in waiters if waiter.result is None]
            left = [waiter.waiting() for waiter in mine]
            for waiter in mine:
                self._finish(waiter, error)
        if left:
            self._line.withdraw(left)

    def all(self) -> list[Waiter]:
        """Who waits."""
        with self._lock:
            return list(self._waiting.values())

    def ask_again(self, patience_s: float) -> bool:
        """Whoever was silent for so long is asked for once more: a grant of his may have been lost. Returns whether there was anybody."""
        now = time.monotonic()
        with self._lock:
            silent = [one for one in self._waiting.values() if one.taking is None and now - one.seen_at > patience_s]
            for waiter in silent:
                waiter.seen_at = now
            asked = [waiter.waiting() for waiter in silent]
        if asked:
            self._line.enqueue(asked)
        return bool(asked)

    def stand_again(self) -> None:
        """The gate is a new one: it never heard of those who wait here."""
        with self._lock:
            waiting = [waiter.waiting() for waiter in self._waiting.values() if waiter.taking is None]
        if waiting:
            self._line.enqueue(waiting)

    def of_step(self, step: Step) -> list[Waiter]:
        """Who wanted to get in line by this step and is not there yet."""
        with self._lock:
            asked = [self._waiting.get(one.job) for one in step.enqueue if one.work_class == WorkClass.SYNC]
            return [one for one in asked if one is not None and not one.is_in_line and one.taking is None]

    # ---- what the gate decided

    def take(self, one: Decided) -> None:
        """A grant, or a refusal."""
        if isinstance(one, Admitted):
            self._take_grant(one)
        else:
            self._take_refusal(one)

    def note(self, step: Step, reply: StepReply) -> None:
        """Of what went with this step: who is in line now, and whose claims came in time."""
        now = time.monotonic()
        with self._lock:
            for one in step.enqueue:
                if one.work_class == WorkClass.SYNC and (waiter := self._waiting.get(one.job)) is not None:
                    waiter.is_in_line, waiter.seen_at = True, now
            claimed = [self._taking.pop(sent.reservation) for sent in step.sent if sent.reservation in self._taking]
        for waiter, admitted in claimed:
            self._claimed(waiter, admitted, reply)

    def _take_grant(self, one: Admitted) -> None:
        """A grant: whose it is says so to the gate. One that nobody waits for goes back, and so does one of an old number."""
        reservation = one.grant.reservation
        with self._lock:
            waiter = self._waiting.get(reservation.job)
            is_known = reservation in self._taking or reservation in self._held
            is_mine = not is_known and waiter is not None and waiter.next == reservation and waiter.taking is None
            if is_mine and waiter is not None:
                waiter.taking, self._taking[reservation] = one, (waiter, one)
        if is_mine:
            self._line.claim(Sent(reservation, self._holder, 0), time.monotonic())
        elif not is_known:
            self.give_back(reservation)

    def _claimed(self, waiter: Waiter, admitted: Admitted, reply: StepReply) -> None:
        """The gate heard whose it is. In time is what nobody can have given back before: the same gate, and before its `send_by`."""
        is_in_time = reply.epoch == admitted.epoch and reply.now_ms < admitted.grant.send_by_ms
        granted = self._granted(waiter, admitted) if is_in_time else None
        with self._lock:
            waiter.taking = None
            is_there = waiter.call.id in self._waiting
            if is_there and granted is not None:
                self._held.add(granted)
                self._finish(waiter, granted)
        if granted is None or not is_there:
            self.give_back(admitted.grant.reservation)
        if is_there and granted is None:
            self._ask_anew(waiter, is_known=not is_in_time)

    def _granted(self, waiter: Waiter, admitted: Admitted) -> Granted | None:
        """None: the deployment is gone since, or cannot be looked up now."""
        grant = admitted.grant
        try:
            place = self._place_of(int(grant.deployment))
        except Exception:
            logger.exception("deployment %s cannot be looked up", grant.deployment)
            return None
        if place is None:
            return None
        return Granted(
            call=waiter.call,
            reservation=grant.reservation,
            place=place,
            cost=grant.cost,
            send_by_ms=grant.send_by_ms,
            epoch=admitted.epoch,
            asked_at=waiter.asked_at,
            granted_at=time.monotonic(),
        )

    def _ask_anew(self, waiter: Waiter, *, is_known: bool) -> None:
        """Its grant is void, and so is its number: nobody knows what of it is still on its way.

        is_known: where it was to go; that it is not for several times ends the waiting.
        """
        waiter.returns += not is_known
        if waiter.returns > MOST_RETURNS:
            self.turn_away([waiter], GateUnavailable("what the gate grants is not known here yet: come again in a moment"))
            return
        old = waiter.waiting()
        with self._lock:
            waiter.number += 1
            waiter.is_in_line = False
        self._line.withdraw([old])
        self._line.enqueue([waiter.waiting()], at_once=True)

    def _take_refusal(self, refused: Refused) -> None:
        with self._lock:
            waiter = self._waiting.get(refused.job)
            if waiter is None or waiter.number != refused.attempt or waiter.taking is not None:
                return
            waiter.returns += 1
            is_again = refused.reason == Refusal.NOT_CONFIGURED and waiter.returns <= MOST_RETURNS
            if not is_again:
                self._finish(waiter, refused)
        if is_again:  # the pump has written to the gate what it lacked
            self._line.enqueue([waiter.waiting()], at_once=True)

    def _finish(self, waiter: Waiter, result: Result) -> None:
        """Under the lock."""
        waiter.result = result
        self._waiting.pop(waiter.call.id, None)
        try:
            waiter.wake()
        except RuntimeError:  # its event loop is closed: nobody waits there any more
            if isinstance(result, Granted):
                self._held.drop(result.reservation)
                self.give_back(result.reservation)

    def give_back(self, reservation: ReservationId) -> None:
        """Nothing came of it."""
        self._line.settle([(Settlement(reservation, used=False), None)])
