"""Which limit is in the way: the one that holds a request up longest, or the one that would stop its like first."""

import dataclasses

import pytest

from rateguard.engine.breaker.rule import BreakerState, Forced
from rateguard.engine.gate.contract import BreakerView, LimitUse
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind, Level, LimitRecord, Metric, Need
from rateguard.jobs.insight.binding import Asked, DeploymentState, Effective, binding, breaker_wait_ms, judge
from rateguard.jobs.insight.capacity import ONE, Room, deployment_room, model_room, room_in

NOW = 1_000_000
ASKED = Asked(Need(100, 40, 50, 3_000), Lane.NORMAL, NOW)


def limit(name="l1", *, kind=Kind.WINDOW, metric=Metric.REQUESTS, amount=10, used=0, next_ms=0, shared=False, scope="user", **more):
    window_ms = 60_000 if kind in (Kind.WINDOW, Kind.BUCKET) else 0
    record = LimitRecord(name, kind, metric, amount, Level.LEAF, window_ms, **more)
    return Effective(record, scope, "alice", LimitUse(name, used, amount, next_ms=next_ms), is_shared=shared)


def breaker(state, *, until_ms=0, is_probing=False):
    return BreakerView("7", state, 1, 8, 5, 0, until_ms, is_probing)


def place(*limits, account=1, **more):
    return DeploymentState(7, "main", account, limits, **more)


class TestOneLimit:
    def test_what_fits_says_how_often(self):
        assert (judge(limit(used=7), ASKED).wait_ms, judge(limit(used=7), ASKED).headroom) == (0, 3)

    def test_the_last_one_fits(self):
        assert (judge(limit(used=9), ASKED).fits, judge(limit(used=9), ASKED).headroom) == (True, 1)
        assert judge(limit(metric=Metric.INPUT_TOKENS, amount=100), ASKED).fits

    def test_a_full_window_opens_when_the_gate_says(self):
        assert judge(limit(used=10, next_ms=1_200), ASKED).wait_ms == 1_200

    def test_many_tokens_wait_a_whole_window_at_most(self):
        assert judge(limit(metric=Metric.TOKENS, amount=1_000, used=900), ASKED).wait_ms == 60_000

    def test_a_bucket_says_exactly_when(self):
        assert judge(limit(kind=Kind.BUCKET, metric=Metric.TOKENS, amount=1_000, used=900), ASKED).wait_ms == 40 * 60

    def test_what_is_paced_waits_although_there_is_room(self):
        assert judge(limit(used=3, next_ms=50), ASKED).wait_ms == 50

    def test_a_place_comes_back_when_somebody_settles(self):
        assert judge(limit(kind=Kind.CONCURRENCY, metric=Metric.CONCURRENCY, used=10, next_ms=None), ASKED).wait_ms is None

    def test_a_budget_comes_back_with_its_period(self):
        budget = limit(kind=Kind.BUDGET, metric=Metric.COST, amount=5_000, used=4_000, next_ms=None, periods=(NOW - 5, NOW + 700))
        assert judge(budget, ASKED).wait_ms == 700

    def test_a_budget_in_total_never_comes_back_by_itself(self):
        assert judge(limit(kind=Kind.BUDGET, metric=Metric.COST, amount=5_000, used=4_000), ASKED).wait_ms is None

    def test_more_than_all_there_is_never_fits(self):
        assert judge(limit(metric=Metric.INPUT_TOKENS, amount=99), ASKED).is_never

    def test_a_reserve_is_not_there_for_lanes_below(self):
        kept = {"reserve_permille": 200, "reserve_lane": Lane.HIGH}
        assert not judge(limit(used=8, **kept), ASKED).fits
        assert judge(limit(used=8, **kept), dataclasses.replace(ASKED, lane=Lane.HIGH)).fits

    @pytest.mark.parametrize(("next_ms", "fits"), [(None, False), (500, False), (0, True)])
    def test_a_pause_holds_until_its_time(self, next_ms, fits):
        found = judge(limit(kind=Kind.PAUSE, amount=0, next_ms=next_ms), ASKED)
        assert (found.kind, found.fits, found.wait_ms) == ("pause", fits, next_ms)

    def test_nobody_measures_a_shared_limit_by_asking(self):
        shared = limit(metric=Metric.TOKENS, amount=1_000, used=950, shared=True)
        judged = [judge(shared, dataclasses.replace(ASKED, need=Need(tokens, 0, 0, 0))) for tokens in (1, 51, 5_000)]
        assert [(one.wait_ms, one.is_never, one.headroom) for one in judged] == [(0, False, None)] * 3


class TestWhichBinds:
    def test_nothing_binds_where_nothing_limits(self):
        assert binding([], None, ASKED) is None

    def test_the_longest_wait_binds(self):
        assert binding([limit("a", used=10, next_ms=5), limit("b", used=10, next_ms=9), limit("c")], None, ASKED).id == "b"

    def test_what_nobody_can_foresee_comes_before_any_time(self):
        held = limit("b", kind=Kind.CONCURRENCY, metric=Metric.CONCURRENCY, used=10, next_ms=None)
        assert binding([limit("a", used=10, next_ms=59_000), held], None, ASKED).id == "b"

    def test_never_comes_before_all(self):
        too_small = limit("a", metric=Metric.INPUT_TOKENS, amount=99)
        assert binding([limit("b", kind=Kind.PAUSE, amount=0, next_ms=None), too_small], None, ASKED).id == "a"

    def test_where_all_fits_the_tightest_is_named(self):
        tokens = limit("tokens", metric=Metric.TOKENS, amount=1_000, used=500)
        assert (binding([limit("requests", used=2), tokens], None, ASKED).id, binding([limit(used=2)], None, ASKED).headroom) == (
            "tokens",
            8,
        )

    def test_of_a_models_deployments_the_first_to_open_counts(self):
        late, soon = place(limit("late", used=10, next_ms=900)), place(limit("soon", used=10, next_ms=300))
        assert binding([], [late, soon], ASKED).id == "soon"
        assert binding([], [late, place()], ASKED) is None

    def test_a_model_without_deployments_is_closed(self):
        assert (binding([limit()], [], ASKED).kind, binding([limit()], [], ASKED).fits) == ("no_deployment", False)

    def test_a_cooldown_is_in_the_way(self):
        found = binding([], [place(cooling_ms=2_000)], ASKED)
        assert (found.kind, found.wait_ms, found.scope) == ("cooldown", 2_000, "main")


class TestBreakers:
    @pytest.mark.parametrize(
        ("state", "wait_ms"),
        [
            (place(), 0),
            (place(breaker=breaker(BreakerState.CLOSED)), 0),
            (place(breaker=breaker(BreakerState.OPEN, until_ms=NOW + 800)), 800),
            (place(breaker=breaker(BreakerState.OPEN, until_ms=NOW - 1)), 0),
            (place(breaker=breaker(BreakerState.HALF_OPEN)), 0),
            (place(breaker=breaker(BreakerState.HALF_OPEN, is_probing=True)), None),
            (place(breaker=breaker(BreakerState.OPEN, until_ms=NOW + 800), forced=Forced.CLOSED), 0),
            (place(breaker=breaker(BreakerState.CLOSED), forced=Forced.OPEN), None),
        ],
    )
    def test_how_long_nothing_goes_through(self, state, wait_ms):
        assert breaker_wait_ms(state, NOW) == wait_ms


class TestCapacity:
    def test_the_least_limit_counts_and_absent_ones_do_not(self):
        limits = [limit(amount=10, used=4), limit(amount=7, used=0), limit(kind=Kind.BUDGET, metric=Metric.COST, amount=1)]
        assert room_in(limits, Lane.NORMAL) == Room(requests=6, tokens=None)

    def test_what_is_closed_takes_nothing(self):
        closed = deployment_room(place(limit(amount=10), cooling_ms=5), Asked(ONE, Lane.NORMAL, NOW))
        assert (closed.room, closed.closed_by.kind) == (Room(0, 0), "cooldown")

    def test_a_deployment_on_trial_takes_one(self):
        on_trial = place(limit(amount=10), breaker=breaker(BreakerState.HALF_OPEN))
        assert deployment_room(on_trial, Asked(ONE, Lane.NORMAL, NOW)).room.requests == 1

    def test_deployments_of_one_account_share_its_room(self):
        account = limit("account", amount=10, used=4, scope="account")
        both = [place(account, limit(amount=5)), place(account, limit(amount=5))]
        asked = Asked(ONE, Lane.NORMAL, NOW)
        assert model_room("m", both, asked, Room(None, None)).total.requests == 6
        apart = [both[0], place(limit(amount=5), account=2)]
        assert model_room("m", apart, asked, Room(None, None)).total.requests == 10

    def test_what_stands_above_bounds_the_total(self):
        assert model_room("m", [place()], Asked(ONE, Lane.NORMAL, NOW), Room(3, None)).total == Room(3, None)


def test_a_budget_that_rejects_is_judged_like_any_other():
    budget = limit(kind=Kind.BUDGET, metric=Metric.COST, amount=5_000, used=1_000, on_exhausted=Exhausted.REJECT)
    assert (judge(budget, ASKED).kind, judge(budget, ASKED).headroom) == ("budget", 1)
