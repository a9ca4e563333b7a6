"""The pump: each process's one line to the gate. It gathers what was sent, what ended and what comes in, and takes back what was granted.

One thread, one call outstanding: a call that was not answered is repeated, the very same, until it is. Nobody leads and nothing polls:
whoever submits or finishes pumps; a worker also sets a timer for the moment that the reply names.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable

from django.db import close_old_connections

from rateguard import wiring
from rateguard.engine.errors import GateEpochLost, GateError
from rateguard.engine.gate.contract import Gate, Refusal, Refused, Sent, Settlement, Step, StepReply, Waiting, WorkClass
from rateguard.jobs.line.calling import CallDoor, ElsewhereDoor
from rateguard.jobs.line.publisher import Publisher

logger = logging.getLogger(__name__)

WANT = 100
"""Jobs admitted in one call at most."""
BATCH = 500
"""Settlements, enqueues or withdrawals in one call at most."""
MOST_HINTS = 50_000
"""Enqueues kept while the gate is away; beyond that the sweeper brings the rows in."""
SENT_DELAY_S = 0.02
"""A report of sending waits so long for company; a settlement goes at once."""
ENQUEUE_GAP_S = 0.01
"""An enqueue goes at once too, unless a call was made just now: of many in a row those of so long share a call."""
EXIT_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

OnRefused = Callable[[tuple[Refused, ...], "Pump"], None]


@dataclasses.dataclass(slots=True)
class _Gathered:
    """What waits for the next call."""

    sent: list[tuple[Sent, float]] = dataclasses.field(default_factory=list)
    settle: list[tuple[Settlement, float | None, float]] = dataclasses.field(default_factory=list)
    withdraw: list[Waiting] = dataclasses.field(default_factory=list)
    enqueue: list[Waiting] = dataclasses.field(default_factory=list)

    def take(self) -> _Gathered:
        """At most BATCH of each, the oldest first; the rest stays. Nothing comes in before what left is out: it may be the same job."""
        coming = BATCH if len(self.withdraw) <= BATCH else 0
        taken = _Gathered(self.sent[:BATCH], self.settle[:BATCH], self.withdraw[:BATCH], self.enqueue[:coming])
        del self.sent[:BATCH], self.settle[:BATCH], self.withdraw[:BATCH], self.enqueue[:coming]
        return taken

    def is_urgent(self) -> bool:
        return bool(self.settle or self.withdraw or self.enqueue)


class Pump:
    """One line to the gate. `is_timed`: keep a timer for `next_ready` (workers). `on_refused`: takes what came back, in this thread.

    `door`: what happens to synchronous calls, which never go to the publisher; a process that has some of its own puts its entrance there.
    """

    def __init__(self, gate: Gate, publisher: Publisher, *, on_refused: OnRefused, is_timed: bool = False) -> None:
        self._gate = gate
        self._publisher = publisher
        self._on_refused = on_refused
        self._is_timed = is_timed
        self.door: CallDoor = ElsewhereDoor()
        self._channel = uuid.uuid4().hex
        self._number = 0
        self._gathered = _Gathered()
        self._condition = threading.Condition()
        self._is_kicked = False
        self._is_stopping = False
        self._is_idle = True
        self._is_away = False
        self._wake_at: float | None = None
        self._called_at = 0.0
        self._gate_now = (0.0, 0)
        self._thread: threading.Thread | None = None

    # ---- what callers report; each returns at once

    def enqueue(self, jobs: Iterable[Waiting], *, at_once: bool = False) -> None:
        """Jobs came in, or synchronous calls, whose callers wait: those go at once."""
        hints = list(jobs)
        with self._condition:
            room = MOST_HINTS - len(self._gathered.enqueue)
            self._gathered.enqueue.extend(hints[: max(0, room)])
            if at_once:
                self._wake()
            else:
                self._wake_after_gap()

    def withdraw(self, jobs: Iterable[Waiting]) -> None:
        """Waiting jobs left (cancelled, expired). A call withdraws before it enqueues, so what has not gone out yet does not go."""
        left = list(jobs)
        ids = {one.job for one in left}
        with self._condition:
            self._gathered.enqueue = [one for one in self._gathered.enqueue if one.job not in ids]
            room = MOST_HINTS - len(self._gathered.withdraw)
            self._gathered.withdraw.extend(left[: max(0, room)])
            self._wake()

    def sent(self, sent: Sent, at: float) -> None:
        """A request left at `at` (time.monotonic())."""
        with self._condition:
            self._gathered.sent.append((sent, at))
            if len(self._gathered.sent) == 1 and not self._is_kicked:
                self._wake_within(SENT_DELAY_S)
                self._condition.notify()

    def claim(self, sent: Sent, at: float) -> None:
        """A synchronous call was let in at `at`: the gate is to know at once whose it is. The door hears of the answer."""
        with self._condition:
            self._gathered.sent.append((sent, at))
            self._wake()

    def settle(self, settlements: Iterable[tuple[Settlement, float | None]]) -> None:
        """Attempts ended and are committed. With each: when the provider counted it at the latest (time.monotonic()), or None.

        What was read of the provider's limits is as old as it says now; it grows older here by itself.
        """
        now = time.monotonic()
        with self._condition:
            self._gathered.settle.extend((settlement, counted_at, now) for settlement, counted_at in settlements)
            self._wake()

    def kick(self) -> None:
        """There may be something to admit."""
        with self._condition:
            self._wake()

    @property
    def is_away(self) -> bool:
        """Whether the gate gave no answer when it was last asked."""
        return self._is_away

    def gate_now_ms(self) -> int:
        """The gate's time now, never behind it; 0 before the first reply."""
        sent_at, now_ms = self._gate_now
        return now_ms + int((time.monotonic() - sent_at) * 1000) if now_ms else 0

    # ---- life

    def start(self) -> None:
        """Open the line. Calling again does nothing."""
        with self._condition:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rateguard-pump", daemon=True)
                self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Send what is gathered, admit no more, close the line. Returns whether everything was sent in time."""
        with self._condition:
            self._is_stopping = True
            self._wake()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was gathered so far is with the gate. Returns whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: self._is_idle and not self._gathered.is_urgent(), timeout_s)

    # ---- the thread

    def _wake(self) -> None:
        self._is_kicked = True
        self._is_idle = False
        self._condition.notify_all()

    def _wake_after_gap(self) -> None:
        rest_s = self._called_at + ENQUEUE_GAP_S - time.monotonic()
        if rest_s <= 0:
            self._wake()
        elif not self._is_kicked:
            before, self._is_idle = self._wake_at, False
            self._wake_within(rest_s)
            if self._wake_at != before:
                self._condition.notify_all()

    def _wake_within(self, seconds: float) -> None:
        """Set the timer, unless it is due earlier already."""
        due = time.monotonic() + seconds
        self._wake_at = due if self._wake_at is None else min(self._wake_at, due)

    def _run(self) -> None:
        while self._wait():
            with self._condition:
                gathered = self._gathered.take()
                self._is_kicked = self._gathered.is_urgent()
                self._called_at = time.monotonic()
            reply = self._call(gathered)
            if reply is not None:
                self._act_on(*reply)
            with self._condition:
                self._is_idle = not self._is_kicked
                self._condition.notify_all()
        close_old_connections()

    def _wait(self) -> bool:
        """Until there is something to say or the timer is due. False: stopped, and all is said."""
        with self._condition:
            while not self._is_kicked:
                if self._is_stopping:
                    return bool(self._gathered.sent)
                timeout = None if self._wake_at is None else self._wake_at - time.monotonic()
                if timeout is not None and timeout <= 0:
                    break
                self._condition.wait(timeout)
            self._wake_at = None
            return True

    def _call(self, gathered: _Gathered) -> tuple[Step, StepReply] | None:
        """One call, repeated until it is answered. None: stopped meanwhile, or the call itself was broken."""
        self._number += 1
        built_at = time.monotonic()
        step = self._step(gathered, built_at)
        pause_s = FIRST_PAUSE_S
        while True:
            sent_at = time.monotonic()
            try:
                reply = self._gate.step(step)
            except GateError as error:
                if self._is_stopping:
                    return None
                self._tell_once(error)
                self._tell_door(self.door.unanswered, step, error)
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception as error:
                # One broken call must not close the line for good. The caretaker finds in the rows whatever it was to say.
                logger.exception("a call to the gate broke; it is dropped")
                self._tell_door(self.door.unanswered, step, GateError(str(error)))
                return None
            else:
                if self._is_away:
                    logger.info("the gate answers again")
                self._is_away = False
                self._gate_now = (sent_at, reply.now_ms)
                return step, reply

    def _tell_once(self, error: GateError) -> None:
        """One line when the gate goes away; an empty gate is rebuilt by a worker as a matter of course."""
        if not self._is_away:
            logger.log(logging.INFO if isinstance(error, GateEpochLost) else logging.WARNING, "the gate is away: %s", error)
        self._is_away = True

    def _step(self, gathered: _Gathered, now: float) -> Step:
        return Step(
            channel=self._channel,
            number=self._number,
            want=0 if self._is_stopping else WANT,
            sent=tuple(dataclasses.replace(sent, ago_ms=_age_ms(at, now)) for sent, at in gathered.sent),
            settle=tuple(_as_of(now, *settled) for settled in gathered.settle),
            withdraw=tuple(gathered.withdraw),
            enqueue=tuple(gathered.enqueue),
        )

    def _act_on(self, step: Step, reply: StepReply) -> None:
        wiring.note_version(reply.version)
        if reply.granted:
            jobs = tuple(grant for grant in reply.granted if grant.work_class == WorkClass.JOB)
            if jobs:
                self._publisher.publish(jobs, reply.epoch)
        if refused := tuple(one for one in reply.refused if one.reason == Refusal.NOT_CONFIGURED or not self.door.has(one.job)):
            self._refuse(refused)
        self._tell_door(self.door.answered, step, reply)
        with self._condition:
            if reply.has_more:
                self._is_kicked = True
            if (self._is_timed or self.door.is_waiting) and reply.next_ready_ms is not None:
                self._wake_within((reply.next_ready_ms - reply.now_ms) / 1000)
            if self._gathered.sent:
                self._wake_within(SENT_DELAY_S)

    def _tell_door(self, tell: Callable[..., None], *args: object) -> None:
        """A door that breaks closes no line: what it was to take is found by the reaper."""
        try:
            tell(*args)
        except Exception:
            logger.exception("synchronous calls were not told what the gate decided")

    def _refuse(self, refused: tuple[Refused, ...]) -> None:
        try:
            close_old_connections()
            self._on_refused(refused, self)
        except Exception:
            logger.exception("%d refused jobs not written; the sweeper brings them in again", len(refused))


def _age_ms(at: float, now: float) -> int:
    return max(0, int((now - at) * 1000))


def _as_of(now: float, settlement: Settlement, counted_at: float | None, noted_at: float) -> Settlement:
    """A settlement with its ages as of now."""
    older = aged(settlement, _age_ms(noted_at, now))
    return older if counted_at is None else dataclasses.replace(older, counted_ago_ms=_age_ms(counted_at, now))


def aged(settlement: Settlement, ms: int) -> Settlement:
    """A settlement so much later: what was read of the provider's limits is older."""
    if not settlement.readings or not ms:
        return settlement
    older = tuple(dataclasses.replace(one, ago_ms=one.ago_ms + ms) for one in settlement.readings)
    return dataclasses.replace(settlement, readings=older)


@functools.cache
def process_pump() -> Pump:
    """The pump of this process when it is no worker: web, a shell, a script. Started at first use."""
    from rateguard.jobs.upkeep.refuse import refuse  # noqa: PLC0415 - refuse uses the pump

    publisher = Publisher()
    pump = Pump(wiring.gate(), publisher, on_refused=refuse)
    pump.start()
    atexit.register(_leave, pump, publisher)
    return pump


def _leave(pump: Pump, publisher: Publisher) -> None:
    """A script that ends has handed over what it submitted, where the gate answers in time; the sweeper finds the rest."""
    pump.stop(EXIT_S)
    publisher.stop(EXIT_S)


os.register_at_fork(after_in_child=process_pump.cache_clear)  # threads do not survive a fork
