"""What an ended call tells the gate: of its deployment's health, and of what it used."""

import types

import pytest
from django.conf import settings
from django.test import override_settings

from rateguard import wiring
from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.gate.contract import Cooldown, LimitReading
from rateguard.engine.money import Price, Usage
from rateguard.engine.providers.base import Outcome
from rateguard.engine.readings import Axis, Reading
from rateguard.engine.retry import RetrySettings
from rateguard.jobs.attempts.cooling import DEFAULT_COOLDOWN_MS, NOT_LET_IN, SPENT
from rateguard.jobs.attempts.outcome import failed, stopped, succeeded, verdict_of
from rateguard.jobs.states import FAIL, HOLD_BACK
from tenants.directory import Directory
from tenants.records.readable import Readable, ReadableLimit
from tests.attempted import CLAIMED

PLACE = types.SimpleNamespace(id=1, account_id=2, price=Price(input_pico=1_000, output_pico=1_000))

VERDICTS = {
    ErrorKind.CONNECT: Verdict.FAILURE,
    ErrorKind.NETWORK: Verdict.FAILURE,
    ErrorKind.TIMEOUT: Verdict.FAILURE,
    ErrorKind.SERVER: Verdict.FAILURE,
    ErrorKind.OVERLOADED: Verdict.FAILURE,
    ErrorKind.RATE_LIMITED: Verdict.NONE,
    ErrorKind.QUOTA_EXHAUSTED: Verdict.NONE,
    ErrorKind.BAD_REQUEST: Verdict.NONE,
    ErrorKind.CONTEXT_TOO_LONG: Verdict.NONE,
    ErrorKind.CONTENT_FILTER: Verdict.NONE,
    ErrorKind.ANSWER_TOO_LARGE: Verdict.NONE,
    ErrorKind.AUTH: Verdict.NONE,
    ErrorKind.NOT_FOUND: Verdict.NONE,
    ErrorKind.CONFLICT: Verdict.NONE,
    ErrorKind.NEVER_SENT: Verdict.NONE,
    ErrorKind.CANCELLED: Verdict.NONE,
}


@pytest.mark.parametrize("kind", ErrorKind)
def test_each_kind_of_failure_says_of_its_deployment_what_stands_here(kind):
    assert verdict_of(ProviderError("no", kind=kind)) == VERDICTS[kind]


@pytest.mark.parametrize("status", [400, 408, 429, 498, 499])
@pytest.mark.parametrize("kind", ErrorKind)
def test_no_4xx_speaks_against_a_deployment(kind, status):
    assert verdict_of(ProviderError("no", kind=kind, status=status)) == Verdict.NONE


@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_a_5xx_speaks_against_a_deployment(status):
    assert verdict_of(ProviderError("no", kind=ErrorKind.SERVER, status=status)) == Verdict.FAILURE


def test_a_broken_answer_speaks_against_a_deployment_although_its_status_was_200():
    assert verdict_of(ProviderError("no JSON", kind=ErrorKind.SERVER, status=200)) == Verdict.FAILURE


def test_an_answer_speaks_for_its_deployment_and_tells_how_long_it_took():
    usage = Usage(input_tokens=9, output_tokens=11)
    outcome = Outcome(body=b"{}", usage=usage, finish_reason="stop", provider_request_id="r", sent_at=1.0, answered_at=1.2)
    settlement = succeeded(CLAIMED, PLACE, outcome, latency_ms=200).settlement
    assert (settlement.verdict, settlement.latency_ms, settlement.cost) == (Verdict.SUCCESS, 200, 20)


def test_a_failure_tells_how_long_it_took(no_places):
    late = ProviderError("late", kind=ErrorKind.TIMEOUT)
    settlement = failed(CLAIMED, PLACE, late, 60_000, has_left=True, chance=0.5, settings=RetrySettings()).settlement
    assert (settlement.verdict, settlement.latency_ms, settlement.used) == (Verdict.FAILURE, 60_000, True)


CAME = Usage(input_tokens=9, output_tokens=4, estimated=True)


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_stream_that_is_given_up_is_charged_by_what_had_come_and_any_other_call_as_reserved(is_cancelled):
    told = [stopped(CLAIMED, PLACE, 100, has_left=True, is_cancelled=is_cancelled, came=came) for came in (CAME, None)]
    assert [(one.ended.nano_usd, one.settlement.cost, one.ended.usage) for one in told] == [
        (13, 13, CAME),
        (500, 500, Usage(input_tokens=10, output_tokens=20, estimated=True)),
    ]


def test_what_had_come_beyond_what_was_reserved_is_an_overrun(no_places):
    came = Usage(input_tokens=9, output_tokens=900, estimated=True)
    cut = ProviderError("cut", kind=ErrorKind.SERVER, may_be_billed=True)
    cut.usage = came
    broken = failed(CLAIMED, PLACE, cut, 100, has_left=True, chance=0.5, settings=RetrySettings())
    given_up = stopped(CLAIMED, PLACE, 100, has_left=True, is_cancelled=True, came=came)
    assert (broken.ended.is_overrun, given_up.ended.is_overrun) == (True, True)
    assert not stopped(CLAIMED, PLACE, 100, has_left=True, is_cancelled=True).ended.is_overrun


@pytest.mark.parametrize("has_left", [True, False])
def test_a_call_that_was_given_up_says_nothing(has_left):
    settlement = stopped(CLAIMED, PLACE, 100, has_left=has_left, is_cancelled=True).settlement
    assert (settlement.verdict, settlement.used) == (Verdict.NONE, has_left)


def failure(kind, **fields):
    """What the gate is told of a failed call."""
    error = ProviderError("no", kind=kind, **fields)
    return failed(CLAIMED, PLACE, error, 1, has_left=True, chance=0.5, settings=RetrySettings())


@pytest.fixture
def no_places(monkeypatch):
    """A directory without deployments."""
    monkeypatch.setattr(wiring, "directory", lambda: Directory(1, {}, {}, {}))


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (ErrorKind.RATE_LIMITED, {"cools": "account", "retry_after_ms": 7_000}, Cooldown("a2", 7_000)),
        (ErrorKind.RATE_LIMITED, {}, Cooldown("d1", DEFAULT_COOLDOWN_MS)),
        (ErrorKind.QUOTA_EXHAUSTED, {"cools": "account"}, Cooldown("a2", 900_000, SPENT)),
        (ErrorKind.QUOTA_EXHAUSTED, {"cools": "deployment", "retry_after_ms": 5}, Cooldown("d1", 5, SPENT)),
        (ErrorKind.AUTH, {"status": 401}, Cooldown("a2", 300_000, NOT_LET_IN)),
        (ErrorKind.AUTH, {}, Cooldown("a2", 300_000, NOT_LET_IN)),
        (ErrorKind.AUTH, {"status": 403}, Cooldown("d1", 300_000, NOT_LET_IN)),
        (ErrorKind.SERVER, {"status": 500}, None),
        (ErrorKind.BAD_REQUEST, {"status": 400}, None),
    ],
)
def test_a_passing_limit_cools_for_as_long_as_it_says_and_a_spent_quota_or_a_refused_key_for_long(no_places, kind, fields, expected):
    assert failure(kind, **fields).settlement.cooldown == expected


@override_settings(RATEGUARD={**settings.RATEGUARD, "AUTH_COOLDOWN_S": 0, "QUOTA_COOLDOWN_S": 60})
def test_the_settings_say_how_long(no_places):
    assert failure(ErrorKind.AUTH).settlement.cooldown is None
    assert failure(ErrorKind.QUOTA_EXHAUSTED).settlement.cooldown == Cooldown("a2", 60_000, SPENT)


def place(pk, account):
    return types.SimpleNamespace(id=pk, account_id=account, tenant_id=None)


@pytest.mark.parametrize(
    ("others", "transition"),
    [
        ((), FAIL),
        ((place(1, 2), place(5, 2)), FAIL),  # at the same account
        ((place(1, 2), place(5, 6)), HOLD_BACK),
    ],
)
def test_work_of_a_spent_account_goes_to_another_and_fails_where_there_is_none(monkeypatch, others, transition):
    monkeypatch.setattr(wiring, "directory", lambda: Directory(1, {"m": others}, {}, {}))

    ended = failure(ErrorKind.QUOTA_EXHAUSTED, cools="account").ended

    assert (ended.transition, ended.counts_try) == (transition, transition is FAIL)


def test_what_was_read_of_the_limits_is_told_with_its_age(monkeypatch):
    limit = Readable((ReadableLimit("l9", Axis.REQUESTS, 60_000, of_account=False),))
    monkeypatch.setattr(wiring, "directory", lambda: Directory(1, {}, {}, {}, readable={1: limit}))
    reading = Reading(Axis.REQUESTS, 60_000, limit=100, remaining=7, reset_ms=400)
    usage = Usage(input_tokens=2, cached_tokens=7, output_tokens=11)
    outcome = Outcome(b"{}", usage, "stop", "r", sent_at=1.0, answered_at=5.0, readings=(reading,))

    told = succeeded(CLAIMED, PLACE, outcome, latency_ms=200).settlement_at(5.25)

    assert told.readings == (LimitReading("l9", 100, 7, 400, ago_ms=250),)
    assert (told.input_tokens, told.cached_tokens) == (9, 7)
