"""The entrance: where synchronous calls of this process wait for the gate, are let in, and end.

A call goes in in two steps of the gate: it is granted, and its process says that it has it. Only then does anything leave, so whatever
dies afterwards, the gate knows whose the call was, and the reaper charges it. Who leaves before takes nothing along: a grant that comes
too late, or twice, is given back.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterable

from django.db import connection

from rateguard.calls import refusals
from rateguard.calls.call import Call, CallEnded, Granted
from rateguard.calls.charging import finished
from rateguard.calls.contract import GateLine, Writer
from rateguard.calls.held import HeldCalls, Tell
from rateguard.calls.waiter import MOST_RETURNS, Result, Waiter, waking_event, waking_future
from rateguard.conf import conf
from rateguard.engine.errors import GateError, GateUnavailable, NotSent, RateguardError
from rateguard.engine.gate.contract import Refusal, Refused, ReservationId, Sent, Settlement, Step, StepReply, WorkClass
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.line.call_ids import new_call_id, node_of, node_of_holder
from rateguard.jobs.line.calling import Admitted, Decided, call_of, decided
from tenants.directory import Place

SENT_AT_ONCE_S = 0.05
"""A request that leaves so soon after the gate heard whose it is counts from then; the guard of its windows covers it."""


class Entrance:
    """One a process. Its methods are safe from any thread; `enter` belongs to an event loop. It is the pump's door for calls.

    line: the pump. holder: whose reservations they are. is_unbroken: of its heartbeat. post: tells others of their calls. place_of: a
    deployment by its id, None where it is gone.
    """

    def __init__(
        self,
        line: GateLine,
        holder: str,
        held: HeldCalls,
        writer: Writer,
        is_unbroken: Callable[[float, float], bool],
        post: Callable[[Iterable[Decided]], None],
        place_of: Callable[[int], Place | None],
    ) -> None:
        self._line = line
        self._holder = holder
        self._node = node_of_holder(holder)
        self._held = held
        self._writer = writer
        self._is_unbroken = is_unbroken
        self._post = post
        self._place_of = place_of
        self._lock = threading.Lock()
        self._waiting: dict[uuid.UUID, Waiter] = {}
        self._taking: dict[ReservationId, tuple[Waiter, Admitted]] = {}

    # ---- for callers

    def new_id(self) -> uuid.UUID:
        """An id for a call of this process."""
        return new_call_id(self._node)

    async def enter(self, call: Call, timeout_s: float) -> Granted:
        """Wait until the gate lets the call in, at most so long.

        Raises LimitInTheWay (`no_room_in_time`, `budget_exhausted`, `too_many_nodes`), InvalidRequest (`exceeds_limit`, `unknown_model`,
        `unknown_run`), GateError: GateUnavailable where the gate is away.
        """
        future, wake = waking_future(asyncio.get_running_loop())
        waiter = self._begin(call, wake)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            pass
        except BaseException:
            self._give_up(waiter)
            raise
        result = self._leave(waiter)
        if isinstance(result, Granted):
            return result
        raise await asyncio.to_thread(self._refusal_apart, call, result, timeout_s)

    def enter_blocking(self, call: Call, timeout_s: float) -> Granted:
        """The same in a thread."""
        event, wake = waking_event()
        waiter = self._begin(call, wake)
        try:
            event.wait(timeout_s)
        except BaseException:
            self._give_up(waiter)
            raise
        result = self._leave(waiter)
        if isinstance(result, Granted):
            return result
        raise self._refusal(call, result, timeout_s)

    def sent(self, granted: Granted, at: float) -> None:
        """Its request is about to be written, at `at` (time.monotonic()). Raises NotSent: it may not be any more."""
        if not self._is_unbroken(granted.granted_at, at):
            raise NotSent("its process was silent for so long that it may have been taken for dead")
        if at - granted.granted_at > SENT_AT_ONCE_S:
            self._held.sent(granted.reservation, at)
            self._line.sent(Sent(granted.reservation, self._holder, 0), at)

    def settle(self, granted: Granted, ended: CallEnded) -> None:
        """It ended: its attempt, its entry and the rollups are written, many at a time, then the gate is told."""
        if self._held.end(granted.reservation):
            self._writer.add(finished(granted, ended, self._holder))

    def give_back(self, granted: Granted) -> None:
        """Nothing was sent: the gate has it back, and nothing is written."""
        if self._held.drop(granted.reservation):
            self._return(granted.reservation)

    # ---- for the writer

    def written(self, ended: Finished, epoch: int | None) -> None:
        """Its end is committed, under this epoch of the gate; None: somebody else had written its end before."""
        match self._held.committed(ended, epoch):
            case Tell.END:
                self._tell_end(ended)
            case Tell.NOTHING_USED:
                self._return(ended.settlement.reservation)
            case Tell.LATER:
                pass

    # ---- for the process

    def beat(self) -> None:
        """Now and again: whoever has waited for so long that a grant of his may have been lost is asked for once more.

        And while calls run here the gate is looked at, so that a new one hears of them soon.
        """
        now, patience_s = time.monotonic(), conf().send_by_ms / 1000
        with self._lock:
            silent = [one for one in self._waiting.values() if one.taking is None and now - one.seen_at > patience_s]
            for waiter in silent:
                waiter.seen_at = now
            asked = [waiter.waiting() for waiter in silent]
        if asked:
            self._line.enqueue(asked)
        elif len(self._held):
            self._line.kick()

    def take(self, decisions: Iterable[Decided]) -> None:
        """What a step, here or elsewhere, decided of calls of this process."""
        for one in decisions:
            if isinstance(one, Admitted):
                self._take_grant(one)
            else:
                self._take_refusal(one)

    def close(self) -> None:
        """Who waits here is turned away: the process leaves."""
        self._turn_away(list(self._waiting.values()), GateUnavailable("the process leaves"))

    # ---- the pump's door

    @property
    def is_waiting(self) -> bool:
        """See CallDoor."""
        return bool(self._waiting)

    def has(self, call: uuid.UUID) -> bool:
        """See CallDoor."""
        return call in self._waiting

    def answered(self, step: Step, reply: StepReply) -> None:
        """See CallDoor."""
        if self._held.noted(reply.epoch):
            self._stand_in_line_again()
        for ended in self._held.overdue():
            self._tell_end(ended)
        if self._waiting or self._taking:
            self._note(step, reply)
        decisions = decided(reply)
        if decisions:
            self.take(one for one in decisions if node_of(call_of(one)) == self._node)
            self._post(one for one in decisions if node_of(call_of(one)) != self._node)

    def unanswered(self, step: Step, error: GateError) -> None:
        """See CallDoor. Who is in line already goes on waiting."""
        with self._lock:
            asked = [self._waiting.get(one.job) for one in step.enqueue if one.work_class == WorkClass.SYNC]
            new = [one for one in asked if one is not None and not one.is_in_line and one.taking is None]
        self._turn_away(new, error)

    # ---- coming in

    def _begin(self, call: Call, wake: Callable[[], object]) -> Waiter:
        if self._line.is_away:
            raise GateUnavailable("the gate is away, and no call is let in without it: come again in a moment")
        if self._writer.is_full:
            raise refusals.full()
        waiter = Waiter(call, wake)
        with self._lock:
            self._waiting[call.id] = waiter
        self._line.enqueue([waiter.waiting()], at_once=True)
        return waiter

    def _leave(self, waiter: Waiter) -> Result | None:
        """It waits no longer. None: in vain."""
        with self._lock:
            result = waiter.result
            if result is None:
                self._waiting.pop(waiter.call.id, None)
        if result is None:
            self._line.withdraw([waiter.waiting()])
        return result

    def _give_up(self, waiter: Waiter) -> None:
        result = self._leave(waiter)
        if isinstance(result, Granted):
            self.give_back(result)

    def _refusal_apart(self, call: Call, result: Result | None, timeout_s: float) -> RateguardError:
        try:
            return self._refusal(call, result, timeout_s)
        finally:
            connection.close()

    def _refusal(self, call: Call, result: Result | None, timeout_s: float) -> RateguardError:
        if isinstance(result, GateError):
            return result
        if isinstance(result, Refused):
            return refusals.refusal(call, result)
        return refusals.late(call, timeout_s)

    # ---- what the gate decided

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
            self._return(reservation)

    def _note(self, step: Step, reply: StepReply) -> None:
        """Of what went with this step: who is in line now, and whose claims came in time."""
        now = time.monotonic()
        with self._lock:
            for one in step.enqueue:
                if one.work_class == WorkClass.SYNC and (waiter := self._waiting.get(one.job)) is not None:
                    waiter.is_in_line, waiter.seen_at = True, now
            claimed = [self._taking.pop(sent.reservation) for sent in step.sent if sent.reservation in self._taking]
        for waiter, admitted in claimed:
            self._claimed(waiter, admitted, reply)

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
            self._return(admitted.grant.reservation)
        if is_there and granted is None:
            self._ask_anew(waiter)

    def _granted(self, waiter: Waiter, admitted: Admitted) -> Granted | None:
        """None: the deployment is gone since."""
        grant = admitted.grant
        place = self._place_of(int(grant.deployment))
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

    def _ask_anew(self, waiter: Waiter) -> None:
        """Its grant is void, and so is its number: nobody knows what of it is still on its way."""
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

    def _stand_in_line_again(self) -> None:
        """The gate is a new one: it never heard of those who wait here."""
        with self._lock:
            waiting = [waiter.waiting() for waiter in self._waiting.values() if waiter.taking is None]
        if waiting:
            self._line.enqueue(waiting)

    def _turn_away(self, waiters: Iterable[Waiter], error: GateError) -> None:
        with self._lock:
            mine = [waiter for waiter in waiters if waiter.result is None]
            left = [waiter.waiting() for waiter in mine]
            for waiter in mine:
                self._finish(waiter, error)
        if left:
            self._line.withdraw(left)

    def _finish(self, waiter: Waiter, result: Result) -> None:
        """Under the lock."""
        waiter.result = result
        self._waiting.pop(waiter.call.id, None)
        try:
            waiter.wake()
        except RuntimeError:  # its event loop is closed: nobody waits there any more
            if isinstance(result, Granted):
                self.give_back(result)

    def _tell_end(self, ended: Finished) -> None:
        self._line.settle([(ended.settlement_at(time.monotonic()), ended.counted_at)])

    def _return(self, reservation: ReservationId) -> None:
        self._line.settle([(Settlement(reservation, used=False), None)])


def entrance() -> Entrance:
    """The entrance of this process: its worker's, or one that starts here at first use."""
    from rateguard.calls.process import process_entrance  # noqa: PLC0415 - it is made of what stands above

    return process_entrance()
