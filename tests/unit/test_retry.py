"""The retry policy, line by line: what happens after a failed call, and after how long."""

import pytest

from rateguard.engine.errors import ErrorKind
from rateguard.engine.retry import ELSEWHERE, Action, Failure, Reason, RetrySettings, backoff_ms, decide

SETTINGS = RetrySettings(base_ms=500, longest_ms=60_000, max_tries=5)
RETRY, HOLD_BACK, GIVE_UP = Action.RETRY, Action.HOLD_BACK, Action.GIVE_UP


def verdict(kind, *, tries=0, chance=0.5, has_left=True, **more):
    return decide(Failure(kind=kind, tries=tries, has_left=has_left, **more), SETTINGS, chance)


@pytest.mark.parametrize(
    ("kind", "action", "reason"),
    [
        (ErrorKind.RATE_LIMITED, HOLD_BACK, Reason.LIMITED),
        (ErrorKind.QUOTA_EXHAUSTED, GIVE_UP, Reason.NOT_RETRYABLE),
        (ErrorKind.OVERLOADED, RETRY, Reason.RETRYABLE),
        (ErrorKind.SERVER, RETRY, Reason.RETRYABLE),
        (ErrorKind.CONNECT, RETRY, Reason.RETRYABLE),
        (ErrorKind.NETWORK, RETRY, Reason.RETRYABLE),
        (ErrorKind.TIMEOUT, RETRY, Reason.RETRYABLE),
        (ErrorKind.BAD_REQUEST, GIVE_UP, Reason.NOT_RETRYABLE),
        (ErrorKind.CONTEXT_TOO_LONG, GIVE_UP, Reason.NOT_RETRYABLE),
        (ErrorKind.CONTENT_FILTER, GIVE_UP, Reason.NOT_RETRYABLE),
        (ErrorKind.AUTH, GIVE_UP, Reason.NOT_RETRYABLE),
        (ErrorKind.NOT_FOUND, GIVE_UP, Reason.NOT_RETRYABLE),
        (ErrorKind.ANSWER_TOO_LARGE, GIVE_UP, Reason.NOT_RETRYABLE),
        (ErrorKind.CONFLICT, RETRY, Reason.RETRYABLE),
        (ErrorKind.NEVER_SENT, HOLD_BACK, Reason.NEVER_SENT),
        (ErrorKind.CANCELLED, GIVE_UP, Reason.NOT_RETRYABLE),
    ],
)
def test_each_kind_of_error_has_its_action(kind, action, reason):
    found = verdict(kind)
    assert (found.action, found.reason) == (action, reason)


def test_the_table_above_names_every_kind():
    table = test_each_kind_of_error_has_its_action.pytestmark[0].args[1]
    assert [row[0] for row in table] == list(ErrorKind)


@pytest.mark.parametrize("kind", [ErrorKind.RATE_LIMITED, ErrorKind.NEVER_SENT])
@pytest.mark.parametrize("tries", [0, 4, 100])
def test_a_provider_limit_and_what_was_never_sent_cost_no_try(kind, tries):
    assert verdict(kind, tries=tries, deadline_in_ms=1).action is HOLD_BACK


@pytest.mark.parametrize("kind", sorted(ELSEWHERE))
def test_a_spent_quota_a_refused_key_and_an_unknown_model_send_the_job_elsewhere_where_there_is_an_elsewhere(kind):
    found = verdict(kind, tries=100, has_other=True)

    assert (found.action, found.reason) == (HOLD_BACK, Reason.ELSEWHERE)
    assert verdict(kind, has_other=True, is_at_most_once=True).reason is Reason.AT_MOST_ONCE
    assert verdict(ErrorKind.BAD_REQUEST, has_other=True).action is GIVE_UP


def test_a_conflict_is_tried_once_more():
    assert verdict(ErrorKind.CONFLICT, tries=1).reason is Reason.NOT_RETRYABLE


def test_the_last_try_is_the_one_that_max_tries_names():
    assert [verdict(ErrorKind.SERVER, tries=tries).action for tries in range(6)] == [RETRY, RETRY, RETRY, RETRY, GIVE_UP, GIVE_UP]
    assert verdict(ErrorKind.SERVER, tries=4).reason is Reason.EXHAUSTED


def test_the_ceiling_of_the_wait_doubles_up_to_the_longest():
    ceilings = [backoff_ms(tries, SETTINGS, 1.0) for tries in range(1, 10)]
    assert ceilings == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
    assert backoff_ms(10_000, SETTINGS, 1.0) == 60_000


def test_the_wait_is_anywhere_below_its_ceiling():
    assert [verdict(ErrorKind.SERVER, tries=2, chance=chance).wait_ms for chance in (0.0, 0.25, 0.5, 0.999)] == [0, 500, 1_000, 1_998]


def test_a_providers_longer_wait_replaces_ours_and_a_shorter_one_does_not():
    assert verdict(ErrorKind.OVERLOADED, retry_after_ms=7_000).wait_ms == 7_000
    assert verdict(ErrorKind.OVERLOADED, retry_after_ms=10).wait_ms == 250


def test_no_retry_begins_after_the_deadline():
    assert verdict(ErrorKind.SERVER, deadline_in_ms=251).action is RETRY
    assert verdict(ErrorKind.SERVER, deadline_in_ms=250).reason is Reason.DEADLINE
    assert verdict(ErrorKind.OVERLOADED, retry_after_ms=60_000, deadline_in_ms=59_000).reason is Reason.DEADLINE
    assert verdict(ErrorKind.SERVER, chance=0.0, deadline_in_ms=-5).reason is Reason.DEADLINE


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_what_may_be_sent_at_most_once_is_never_sent_again_after_it_left(kind):
    assert verdict(kind, is_at_most_once=True).action is GIVE_UP
    assert verdict(kind, is_at_most_once=True, has_left=False).action is verdict(kind, has_left=False).action
