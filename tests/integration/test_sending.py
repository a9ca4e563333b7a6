"""The last look before a request leaves: what may not be sent any more is not, and costs nothing."""

import dataclasses

import pytest

from rateguard.engine.errors import ErrorKind, NotSent
from rateguard.jobs.attempts.sending import SendFence
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState, State
from tests.line import assert_books_close, events_of, has_ended, wait_for

pytestmark = pytest.mark.django_db


class HeldOnce:
    """The first attempt was held between its claim and its call, until its grant was over."""

    def __init__(self, fence):
        self._check = fence.check
        self._is_first = True

    def check(self, claimed, claimed_at, now):
        if self._is_first:
            self._is_first = False
            raise NotSent("its grant was to be sent by 7 ms ago")
        self._check(claimed, claimed_at, now)


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_a_request_that_is_too_late_is_not_sent_costs_nothing_and_no_try_and_its_job_waits_again(line, station, delivery):
    budget, limit = line.budget(10**9), line.limit("requests", 100)
    station.runtime.executor._fence = HeldOnce(station.runtime.executor._fence)
    job = line.submit(delivery=delivery, max_tries=1)
    wait_for(lambda: has_ended(job), 15)
    job.refresh_from_db()
    first, second = Attempt.objects.order_by("number")
    assert (job.state, job.tries, [one.attempt_id for one in line.provider.control.log()]) == (State.SUCCEEDED, 0, [f"{job.pk}.2"])
    assert (first.state, first.error_code, first.nano_usd) == (AttemptState.FAILED, ErrorKind.NEVER_SENT, 0)
    assert second.state == AttemptState.SUCCEEDED
    assert events_of(job) == ["submitted", "started", "limited", "started", "succeeded"]
    assert wait_for(lambda: line.used(budget).reserved == 0)
    assert (line.used(budget).used, line.used(limit).used) == (job.nano_usd, 1)
    assert_books_close()


class Late:
    """A line to the gate whose time is what the test says."""

    def __init__(self, now_ms):
        self.now_ms = now_ms

    def gate_now_ms(self):
        return self.now_ms


@pytest.mark.parametrize(
    ("now_ms", "is_unbroken", "said"),
    [(1_000, True, "was to be sent by 0 ms ago"), (1_250, True, "250 ms ago"), (999, False, "may have been taken for dead")],
)
def test_the_fence_refuses_what_its_grant_or_its_workers_silence_forbids(line, now_ms, is_unbroken, said):
    fence = SendFence(Late(now_ms), lambda *_: is_unbroken)
    with pytest.raises(NotSent, match=said):
        fence.check(dataclasses.replace(line.run(), send_by_ms=1_000), 0.0, 1.0)


def test_the_claim_carries_until_when_its_grant_is_to_be_sent(line):
    line.submit()
    line.beat()
    message = line.next_message()
    assert [one.send_by_ms for one in line.claim(message)] == [entry[4] for entry in message[0]]
