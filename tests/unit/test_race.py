"""A race of two calls for one job: who leads, what each attempt's end says, and what the job does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import types
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rateguard import wiring
from rateguard.engine.errors import ErrorKind, NotSent, ProviderError
from rateguard.engine.money import Price, Usage
from rateguard.engine.providers.base import Chunk, Outcome, StreamStopped
from rateguard.engine.routing.hedging import COST, HedgeBudget
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.attempts.exchange import Exchange
from rateguard.jobs.attempts.hedging import Plan, Second
from rateguard.jobs.attempts.race import OUTRUN, Race
from rateguard.jobs.states import FAIL, RETRY, STOP, SUCCEED, AttemptState
from tenants.directory import Directory
from tests.attempted import CLAIMED

DELAY_MS = 5
NEVER = 30.0
THEN = 1_000.0
HEARD = 2_000.0
SOON = 0.02
USAGE = Usage(input_tokens=10, output_tokens=2)


def place(number: int) -> types.SimpleNamespace:
    return types.SimpleNamespace(id=number, name=f"d{number}", account_id=number, price=Price(input_pico=1_000, output_pico=1_000))


def answer(text: str) -> Outcome:
    return Outcome(text.encode(), USAGE, "stop", "r", sent_at=1.0, answered_at=1.2)


class Door:
    """Lets second calls in at d2, or none. `told`: what became of them."""

    def __init__(self, *, has_room: bool = True, is_slow: bool = False) -> None:
        self.has_room = has_room
        self.is_slow = is_slow
        self.told: list[str] = []
        self.was_asked: asyncio.Event | None = None

    async def enter(self, claimed: Claimed, _busy: object) -> Second | None:
        if self.is_slow and self.was_asked is not None:
            self.was_asked.set()
        await asyncio.sleep(NEVER if self.is_slow else 0)
        own = dataclasses.replace(claimed, job=uuid.UUID(int=9), attempt=1)
        return Second(Exchange(own, place(2), 0.0), "grant") if self.has_room else None

    def sent(self, _second: Second, _at: float) -> None:
        self.told.append("sent")

    def settle(self, second: Second, _latency_ms: int) -> None:
        ends = {"answered": second.exchange.outcome, "failed": second.exchange.error}
        self.told.append(next((name for name, end in ends.items() if end), "stopped"))

    def give_back(self, _second: Second) -> None:
        self.told.append("given back")


@dataclasses.dataclass
class Script:
    """What a call does: after so long its chunks come, each, and after as long again its end. It leaves at once, or never.

    THEN: as soon as the second call is under way; THEN + SOON: so long after that. HEARD: in the moment in which a piece is passed on.
    """

    after_s: float
    end: Outcome | ProviderError
    chunks: tuple[str, ...] = ()
    leaves: bool = True


class Run:
    """One race of two scripts."""

    def __init__(self, first: Script, second: Script, door: Door | None = None, *, saved: int = COST) -> None:
        self.scripts, self.door, self.saved = (first, second), door or Door(), saved
        self.heard: list[str] = []
        self.waits_at_most_s = NEVER

    def __call__(self, *, cancel_after_s: float | None = None):
        return asyncio.run(self._raced(cancel_after_s))

    async def _raced(self, cancel_after_s):
        self.first, self.second_began, self.was_heard = Exchange(CLAIMED, place(1), 0.0), asyncio.Event(), asyncio.Event()
        self.door.was_asked = self.second_began
        plan = Plan(DELAY_MS, HedgeBudget(self.saved), self.door)

        def left(at: float) -> None:
            self.first.sent_at = at

        async def take(chunk: Chunk) -> None:
            self.heard.append(chunk.data.decode())
            self.was_heard.set()

        race = Race(
            self.first,
            plan,
            lambda take: self._play(self.scripts[0], self.first, take, left),
            lambda exchange, take, on_sent: self._play(self.scripts[1], exchange, take, on_sent),
            take,
        )
        task = asyncio.create_task(race.run(lambda came: self.first.stopped(came, is_cancelled=True, is_requeued=False)))
        if cancel_after_s is not None:
            await self._pass(cancel_after_s)
            task.cancel()
        finished = await task
        race.settle_second()
        return finished.ended

    async def _pass(self, after_s: float) -> None:
        if after_s == HEARD:
            await self.was_heard.wait()
            return
        if after_s >= THEN:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.second_began.wait(), self.waits_at_most_s)
        await asyncio.sleep(after_s % THEN)

    async def _play(self, script: Script, exchange: Exchange, take, on_sent):
        if script.leaves:
            on_sent(1.0)
        if exchange is not self.first:
            self.second_began.set()
        try:
            for text in ("", *script.chunks) if script.chunks else ():
                if text:
                    await self._pass(script.after_s)
                await take(Chunk(f"{exchange.place.name} {text}".encode(), text, has_content=bool(text)))
            await self._pass(script.after_s)
        except asyncio.CancelledError:
            if script.chunks:
                raise StreamStopped(Usage(input_tokens=10, output_tokens=1, estimated=True)) from None
            raise
        if isinstance(script.end, ProviderError):
            self.broke_at = time.monotonic()
            raise script.end
        return exchange.answered(script.end)


@pytest.fixture(autouse=True)
def no_places(monkeypatch):
    """A directory without deployments."""
    monkeypatch.setattr(wiring, "directory", lambda: Directory(1, {}, {}, {}))


def broken(kind: ErrorKind = ErrorKind.SERVER) -> ProviderError:
    return ProviderError("it broke", kind=kind)


def test_a_first_call_that_is_not_late_stays_alone():
    run = Run(Script(0, answer("one")), Script(0, answer("two")))
    ended = run()
    assert (ended.result, ended.state, ended.hedged, run.door.told) == ("one", AttemptState.SUCCEEDED, None, [])


def test_a_second_call_that_answers_first_gives_the_job_its_answer_and_both_are_paid():
    run = Run(Script(NEVER, answer("one")), Script(0, answer("two")))
    ended = run()
    assert (ended.job, ended.attempt, ended.state, ended.transition) == (CLAIMED.job, 2, AttemptState.CANCELLED, SUCCEED)
    assert (ended.result, ended.error_message) == ("two", OUTRUN)
    assert (ended.nano_usd, ended.usage.estimated) == (500, True)
    assert (ended.hedged.deployment, ended.hedged.won, ended.hedged.nano_usd, ended.hedged.output_tokens) == ("d2", True, 12, 2)
    assert run.door.told == ["sent", "answered"]


def test_a_first_call_that_answers_after_all_ends_the_second_as_used():
    run = Run(Script(THEN, answer("one")), Script(NEVER, answer("two")))
    ended = run()
    assert (ended.state, ended.result, ended.nano_usd) == (AttemptState.SUCCEEDED, "one", 12)
    assert (ended.hedged.won, ended.hedged.nano_usd) == (False, 500)
    assert run.door.told == ["sent", "stopped"]


def test_the_failure_of_the_first_leaves_the_second_running_and_its_attempt_failed():
    run = Run(Script(THEN, broken()), Script(SOON, answer("two")))
    ended = run()
    assert (ended.state, ended.error_code, ended.transition, ended.result) == (AttemptState.FAILED, "server", SUCCEED, "two")
    assert (ended.counts_try, ended.retry_ms, ended.hedged.won) == (False, 0, True)
    assert ended.latency_ms >= (run.broke_at + SOON - run.first.sent_at) * 1_000 - 2  # of the job: until its answer


def test_the_failure_of_the_second_leaves_the_first_running():
    run = Run(Script(THEN + SOON, answer("one")), Script(0, broken()))
    ended = run()
    assert (ended.result, ended.state, ended.hedged.won, run.door.told) == ("one", AttemptState.SUCCEEDED, False, ["sent", "failed"])


@pytest.mark.parametrize(("first_s", "second_s"), [(THEN, SOON), (THEN + SOON, 0)])
def test_where_both_fail_the_first_ones_error_decides(first_s, second_s):
    run = Run(Script(first_s, broken(ErrorKind.CONTENT_FILTER)), Script(second_s, broken()))
    ended = run()
    assert (ended.transition, ended.error_code, run.door.told) == (FAIL, "content_filter", ["sent", "failed"])


def test_of_a_stream_the_first_piece_decides_and_nobody_hears_the_other():
    run = Run(Script(NEVER, answer("one"), ("a", "b")), Script(0.001, answer("two"), ("c", "d")))
    ended = run()
    assert run.heard == ["d2 ", "d2 c", "d2 d"]
    assert (ended.result, ended.hedged.won, ended.state, ended.usage.input_tokens) == ("two", True, AttemptState.CANCELLED, 10)


def test_a_piece_that_comes_right_behind_the_first_one_is_not_heard():
    run = Run(Script(THEN, answer("one"), ("a",)), Script(0, answer("two"), ("c",)))
    assert (run().result, run.heard) == ("two", ["d2 ", "d2 c"])


def test_a_second_call_that_still_waits_for_room_is_not_waited_for():
    run = Run(Script(THEN, broken(ErrorKind.CONTENT_FILTER)), Script(0, answer("two")), Door(is_slow=True))
    ended = run()
    assert (ended.transition, ended.hedged, run.door.told) == (FAIL, None, [])


def test_a_stream_that_has_begun_gets_no_second_call():
    run = Run(Script(0.002, answer("one"), ("a", *"bcdefg")), Script(0, answer("two")))
    assert (run().result, run.door.told) == ("one", [])


def test_a_leading_stream_that_breaks_says_what_the_job_does():
    run = Run(Script(NEVER, answer("one"), ("a",)), Script(0.001, broken(), ("c",)))
    ended = run()
    assert (ended.transition, ended.error_code, ended.counts_try, ended.hedged.won) == (RETRY, "server", True, False)
    assert (ended.state, ended.result, ended.usage.output_tokens) == (AttemptState.CANCELLED, None, 1)


def test_without_room_or_budget_the_first_goes_on_alone():
    for run in (
        Run(Script(SOON, answer("one")), Script(0, answer("two")), Door(has_room=False)),
        Run(Script(SOON, answer("one")), Script(0, answer("two")), saved=COST - 1),
    ):
        ended = run()
        assert (ended.result, ended.hedged, run.door.told) == ("one", None, [])


def test_a_second_call_that_never_left_is_given_back():
    run = Run(Script(THEN, answer("one")), Script(NEVER, answer("two"), leaves=False))
    assert (run().hedged, run.door.told) == (None, ["given back"])


def test_a_second_call_that_may_not_leave_is_given_back():
    run = Run(Script(THEN + SOON, answer("one")), Script(0, NotSent("too late"), leaves=False))
    assert (run().hedged, run.door.told) == (None, ["given back"])


def test_a_second_call_that_cannot_connect_speaks_against_its_deployment():
    run = Run(Script(THEN + SOON, answer("one")), Script(0, broken(ErrorKind.CONNECT), leaves=False))
    assert (run().hedged.nano_usd, run.door.told) == (0, ["failed"])


def test_an_answer_that_comes_when_the_other_call_leads_already_is_nobodys():
    run = Run(Script(HEARD, answer("one")), Script(0, broken(), ("a",)))
    ended = run()
    assert (ended.state, ended.transition, ended.result, ended.error_code) == (AttemptState.FAILED, RETRY, None, "server")
    assert (ended.usage, ended.hedged.won, run.door.told) == (USAGE, False, ["sent", "failed"])


def test_whoever_gives_the_job_up_gives_both_calls_up_and_both_are_charged():
    run = Run(Script(NEVER, answer("one")), Script(NEVER, answer("two")))
    ended = run(cancel_after_s=THEN)
    assert (ended.state, ended.transition, ended.nano_usd) == (AttemptState.CANCELLED, STOP, 500)
    assert (ended.hedged.won, ended.hedged.nano_usd, run.door.told) == (False, 500, ["sent", "stopped"])


def test_a_job_that_is_given_up_after_its_first_call_failed_is_not_tried_again():
    run = Run(Script(THEN, broken()), Script(NEVER, answer("two")))
    ended = run(cancel_after_s=THEN + SOON)
    assert (ended.state, ended.transition, ended.counts_try) == (AttemptState.FAILED, STOP, False)
    assert run.door.told == ["sent", "stopped"]


def test_a_race_that_is_given_up_at_once_ends_all_the_same():
    run = Run(Script(NEVER, answer("one")), Script(0, answer("two")))
    ended = run(cancel_after_s=0)
    assert (ended.transition, ended.hedged, run.door.told) == (STOP, None, [])


ENDS = st.sampled_from(["answer", ErrorKind.SERVER, ErrorKind.CONTENT_FILTER, ErrorKind.CONNECT, ErrorKind.RATE_LIMITED])
TIMES = st.sampled_from([0, 0.002, DELAY_MS / 1_000, 0.007, THEN, THEN + 0.002])


@st.composite
def scripts(draw, *, times=TIMES) -> Script:
    end = draw(ENDS)
    leaves = end != ErrorKind.CONNECT
    chunks = draw(st.sampled_from([(), ("a",), ("a", "b", "c")])) if leaves else ()
    return Script(draw(times), answer("whole") if end == "answer" else broken(end), chunks, leaves=leaves)


@pytest.mark.long
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=scripts(),
    second=scripts(times=st.sampled_from([0, 0.002, 0.004])),
    cancel_after_s=st.none() | st.sampled_from([0, 0.003, 0.006, 0.009]),
    door=st.builds(Door, has_room=st.sampled_from([True, True, True, False])),
)
def test_whatever_comes_each_call_ends_once_and_the_job_has_one_answer(first, second, cancel_after_s, door):
    run = Run(first, second, door)
    if first.after_s >= THEN and not door.has_room:
        first.after_s = 0.007  # nobody comes for whom it waits
    run.waits_at_most_s = 0.05
    ended = run(cancel_after_s=cancel_after_s)
    ends = [word for word in door.told if word != "sent"]
    assert len(ends) <= 1
    assert (ended.job, ended.attempt) == (CLAIMED.job, CLAIMED.attempt)
    assert (ended.hedged is not None) == bool(set(ends) & {"answered", "failed", "stopped"})
    has_won = ended.hedged is not None and ended.hedged.won
    assert (ended.result is not None) == (ended.transition is SUCCEED) == (has_won or ended.state == AttemptState.SUCCEEDED)
    assert len({text[:2] for text in run.heard}) <= 1
    if has_won:
        assert ends == ["answered"]
        assert ended.state != AttemptState.SUCCEEDED or run.first.outcome is not None
    if ended.transition is STOP:
        assert cancel_after_s is not None
