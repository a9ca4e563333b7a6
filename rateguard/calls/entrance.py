"""The entrance: where synchronous calls of this process wait for the gate, are let in, and end.

A call goes in in two steps of the gate: it is granted, and its process says that it has it. Only then does anything leave, so whatever
dies afterwards, the gate knows whose the call was, and the reaper charges it. Who leaves before takes nothing along: a grant that comes
too late, or twice, is given back.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable

from django.db import connection

from rateguard.calls import refusals
from rateguard.calls.call import Call, CallEnded, Granted
from rateguard.calls.charging import finished
from rateguard.calls.contract import GateLine, Writer
from rateguard.calls.held import HeldCalls, Tell
from rateguard.calls.waiter import Result, Waiter, waking_event, waking_future
from rateguard.calls.waiting import WaitingCalls
from rateguard.conf import conf
from rateguard.engine.errors import GateError, GateUnavailable, NotSent, RateguardError
from rateguard.engine.gate.contract import Refused, Sent, Step, StepReply
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.line.call_ids import new_call_id, node_of, node_of_holder
from rateguard.jobs.line.calling import Decided, call_of, decided
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
        self._waiting = WaitingCalls(line, holder, held, place_of)

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
        result = self._waiting.leave(waiter)
        if isinstance(result, Granted):
            return result
        if isinstance(result, GateError):
            raise result
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
        result = self._waiting.leave(waiter)
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
            self._waiting.give_back(granted.reservation)

    # ---- for the writer

    def written(self, ended: Finished, epoch: int | None) -> None:
        """Its end is committed, under this epoch of the gate; None: somebody else had written its end before."""
        match self._held.committed(ended, epoch):
            case Tell.END:
                self._tell_end(ended)
            case Tell.NOTHING_USED:
                self._waiting.give_back(ended.settlement.reservation)
            case Tell.LATER:
                pass

    # ---- for the process

    def beat(self) -> None:
        """Now and again: whoever has waited for so long that a grant of his may have been lost is asked for once more.

        And while calls run here the gate is looked at, so that a new one hears of them soon.
        """
        is_asked = self._waiting.ask_again(conf().send_by_ms / 1000)
        if not is_asked and len(self._held):
            self._line.kick()

    def take(self, decisions: Iterable[Decided]) -> None:
        """What a step, here or elsewhere, decided of calls of this process."""
        for one in decisions:
            self._waiting.take(one)

    def close(self) -> None:
        """Who waits here is turned away: the process leaves."""
        self._waiting.turn_away(self._waiting.all(), GateUnavailable("the process leaves"))

    # ---- the pump's door

    @property
    def is_waiting(self) -> bool:
        """See CallDoor."""
        return len(self._waiting) > 0

    def has(self, call: uuid.UUID) -> bool:
        """See CallDoor."""
        return call in self._waiting

    def answered(self, step: Step, reply: StepReply) -> None:
        """See CallDoor."""
        if self._held.noted(reply.epoch):
            self._waiting.stand_again()
        for ended in self._held.overdue():
            self._tell_end(ended)
        self._waiting.note(step, reply)
        decisions = decided(reply)
        if decisions:
            self.take(one for one in decisions if node_of(call_of(one)) == self._node)
            self._post(one for one in decisions if node_of(call_of(one)) != self._node)

    def unanswered(self, step: Step, error: GateError) -> None:
        """See CallDoor. Who is in line already goes on waiting."""
        self._waiting.turn_away(self._waiting.of_step(step), error)

    # ---- inside

    def _begin(self, call: Call, wake: Callable[[], object]) -> Waiter:
        if self._line.is_away:
            raise GateUnavailable("the gate is away, and no call is let in without it: come again in a moment")
        if self._writer.is_full:
            raise refusals.full()
        return self._waiting.begin(call, wake)

    def _give_up(self, waiter: Waiter) -> None:
        result = self._waiting.leave(waiter)
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

    def _tell_end(self, ended: Finished) -> None:
        self._line.settle([(ended.settlement_at(time.monotonic()), ended.counted_at)])


def entrance() -> Entrance:
    """The entrance of this process: its worker's, or one that starts here at first use."""
    from rateguard.calls.process import process_entrance  # noqa: PLC0415 - it is made of what stands above

    return process_entrance()
