"""Who goes next: lanes, classes, tenants, users, pools; and who waits for whom."""

from __future__ import annotations

import collections
import random

import pytest

from rateguard.engine.gate.contract import Grant, WorkClass
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Level
from tests.contract.gate_line import Line, budget, deployment, ended, ids, model, node, places, requests, tokens


def token_shares(granted: list[Grant], tenant_of: dict) -> dict[str, float]:
    counts = collections.Counter()
    for grant in granted:
        counts[tenant_of[grant.reservation.job]] += grant.input_tokens + grant.max_output_tokens
    return {tenant: count / counts.total() for tenant, count in counts.items()}


def enqueue_for_tenants(line: Line, tenants, count: int, sizes, **more) -> dict:
    rnd, tenant_of = random.Random(7), {}
    for tenant in tenants:
        jobs = [line.job(f"p{tenant}", size=rnd.choice(sizes), **more) for _ in range(count)]
        line.enqueue(*jobs)
        tenant_of |= {job.job: tenant for job in jobs}
    return tenant_of


def test_tenants_share_tokens_by_weight_with_jobs_of_mixed_sizes(line):
    line.open(scopes=[node("pa", weight=3), node("pb", weight=2), node("pc", weight=1)])
    tenant_of = enqueue_for_tenants(line, "abc", 600, [20, 300, 900, 2_000])

    granted = [grant for _ in range(12) for grant in line.step(50).granted]

    shares = token_shares(granted, tenant_of)
    assert shares["a"] == pytest.approx(3 / 6, rel=0.02)
    assert shares["b"] == pytest.approx(2 / 6, rel=0.02)
    assert shares["c"] == pytest.approx(1 / 6, rel=0.02)


def test_tenants_share_tokens_by_weight_under_a_limit_that_binds(line):
    line.open(
        tokens("a:t", 20_000, 10_000, guard_ms=100),
        scopes=[node("pa", weight=3), node("pb", weight=2), node("pc", weight=1)],
        models=[model("m", deployment("a:t"))],
    )
    tenant_of = enqueue_for_tenants(line, "abc", 500, [20, 50, 100])

    granted: list[Grant] = []
    while len(granted) < 800:
        reply = line.step(20, settle=ended(granted[-20:], input_tokens=1, output_tokens=1))
        granted += reply.granted
        if not reply.granted:
            line.go_to(reply.next_ready_ms)

    shares = token_shares(granted, tenant_of)
    assert shares["a"] == pytest.approx(3 / 6, rel=0.02)
    assert shares["c"] == pytest.approx(1 / 6, rel=0.02)


def test_a_tenant_that_was_away_does_not_catch_up(line):
    line.open(scopes=[node("pa"), node("pb")])
    tenant_of = enqueue_for_tenants(line, "a", 400, [100])
    line.step(200)
    tenant_of |= enqueue_for_tenants(line, "b", 200, [100])

    granted = line.step(100).granted

    assert token_shares(granted, tenant_of)["b"] == pytest.approx(0.5, rel=0.02)


def test_users_of_a_tenant_share_tokens_alike_and_count_as_one_tenant(line):
    line.open(scopes=[node("pt"), node("pc")])
    tenant_of = enqueue_for_tenants(line, ["t|user:a", "t|user:b", "c"], 300, [50, 100, 400])

    shares = token_shares([grant for _ in range(6) for grant in line.step(50).granted], tenant_of)

    assert shares["c"] == pytest.approx(0.5, rel=0.03)
    assert shares["t|user:a"] == pytest.approx(0.25, rel=0.03)


def test_a_users_jobs_go_first_come_first_served(line):
    line.open()
    jobs = line.jobs(20)
    line.enqueue(*reversed(jobs))

    assert ids(line.step(20)) == [job.job for job in jobs]


@pytest.mark.parametrize("first", ["m", "n"])
def test_models_of_one_pool_share_the_tenants_shares(line, first):
    models = [model("m", deployment(), pool="x"), model("n", deployment(), pool="x")]
    line.open(scopes=[node("pa"), node("pb")], models=models)
    tenant_of = enqueue_for_tenants(line, "a", 400, [100], to=first)
    tenant_of |= enqueue_for_tenants(line, "a", 400, [100], to="n" if first == "m" else "m")
    tenant_of |= enqueue_for_tenants(line, "b", 400, [100], to="m")

    shares = token_shares(list(line.step(400).granted), tenant_of)

    assert shares["a"] == pytest.approx(0.5, rel=0.02)


def test_two_pools_take_turns_where_only_slots_bind(line):
    line.open(models=[model("m", deployment(), pool="x"), model("n", deployment(), pool="y")], slots=40)
    line.enqueue(*line.jobs(100, to="m", size=5), *line.jobs(100, to="n", size=500))

    assert collections.Counter(grant.model for grant in line.admit_all()) == {"m": 20, "n": 20}


def test_lanes_are_strict_but_each_lane_with_work_gets_exactly_one_grant_in_twenty(line):
    line.open()
    for lane in Lane:
        line.enqueue(*line.jobs(450, lane=lane))
    line.step(25)  # until each lane has had its first

    lanes = collections.Counter(grant.lane for _ in range(8) for grant in line.step(50).granted)

    assert lanes == {Lane.CRITICAL: 320, Lane.HIGH: 20, Lane.NORMAL: 20, Lane.LOW: 20, Lane.BACKGROUND: 20}


def test_two_lanes_share_nineteen_to_one(line):
    line.open()
    line.enqueue(*line.jobs(1_000, lane=Lane.HIGH), *line.jobs(1_000, lane=Lane.LOW))

    lanes = collections.Counter(grant.lane for _ in range(8) for grant in line.step(100).granted)

    assert lanes == {Lane.HIGH: 760, Lane.LOW: 40}


def test_a_lane_whose_work_cannot_be_granted_earns_no_floor(line):
    line.open(places("t:c", 1, Level.TENANT), scopes=[node("p"), node("q", "t:c")])
    line.enqueue(*line.jobs(2, "q", lane=Lane.LOW))
    assert len(line.step(2).granted) == 1
    line.enqueue(*line.jobs(100, lane=Lane.HIGH))

    assert {grant.lane for grant in line.step(100).granted} == {Lane.HIGH}


def test_synchronous_calls_go_before_jobs_of_their_lane_and_not_before_higher_lanes(line):
    line.open()
    low_sync = line.job(lane=Lane.LOW, work_class=WorkClass.SYNC)
    low, high = line.job(lane=Lane.LOW), line.job(lane=Lane.HIGH)
    line.enqueue(low, low_sync, high)

    assert ids(line.step(3)) == [high.job, low_sync.job, low.job]


def test_a_large_job_is_not_starved_by_small_ones_of_other_tenants(line):
    line.open(tokens("a:t", 1_000, 10_000), scopes=[node("pa"), node("pb")], models=[model("m", deployment("a:t"))])
    assert granted_within_three_windows(line, line.job("pa", size=1_000), small_on="pb")


def test_a_large_job_is_not_starved_by_small_ones_of_another_user(line):
    line.open(tokens("t:t", 1_000, 10_000, Level.TENANT), scopes=[node("t", "t:t")])
    assert granted_within_three_windows(line, line.job("t|user:a", size=1_000), small_on="t|user:b")


def test_a_large_job_is_not_starved_by_small_ones_of_the_same_team(line):
    line.open(tokens("g:t", 1_000, 10_000, Level.LEAF), scopes=[node("t"), node("t|team:g", "g:t")])
    assert granted_within_three_windows(line, line.job("t|team:g|user:a", size=1_000), small_on="t|team:g|user:b")


@pytest.mark.parametrize("pools", ["xx", "xy"])
@pytest.mark.parametrize("level", list(Level))
def test_a_large_job_is_not_starved_by_its_own_tenants_small_ones_for_another_model(line, level, pools):
    limit = tokens("t:t", 1_000, 10_000, level)
    models = [model("m", deployment(), pool=pools[0]), model("z", deployment(), pool=pools[1])]
    line.open(limit, scopes=[node("p", "t:t")], models=models)
    assert granted_within_three_windows(line, line.job("p", to="z", size=1_000), small_on="p")


@pytest.mark.parametrize("level", list(Level))
def test_whoever_comes_later_does_not_overtake_in_his_lane_under_the_limit_that_is_in_the_way(line, level):
    models = [model("m", deployment()), model("z", deployment())]
    line.open(tokens("t:t", 1_000, level=level), scopes=[node("t", "t:t")], models=models)
    line.enqueue(*line.jobs(2, "t|user:a", to="z", size=900))
    assert len(line.admit_all()) == 1
    same, lower = line.job("t|user:a", size=50), line.job("t|user:a", size=50, lane=Lane.LOW)
    higher = line.job("t|user:a", size=50, lane=Lane.HIGH)

    assert ids(line.step(9, enqueue=(same, lower))) == []
    assert ids(line.step(9, enqueue=(higher,))) == [higher.job]


def granted_within_three_windows(line: Line, large, small_on: str) -> bool:
    """A stream of small jobs, enough to fill the limit of 1,000 tokens in 10 s at every moment, with one large job among them."""
    line.enqueue(*line.jobs(20, small_on, size=50))
    line.step(10)
    line.enqueue(large)
    started_ms = line.clock.now_ms
    while line.clock.now_ms < started_ms + 35_000:
        reply = line.step(10, enqueue=line.jobs(3, small_on, size=50))
        if large.job in ids(reply):
            return True
        line.go_to(min(reply.next_ready_ms or reply.now_ms + 150, reply.now_ms + 150))
    return False


def test_work_that_needs_another_limit_is_not_blocked(line):
    line.open(
        requests("a:r", 1),
        requests("t:r", 1, level=Level.TENANT),
        places("u:c", 1, Level.LEAF),
        scopes=[node("p"), node("pt", "t:r"), node("v"), node("v|user:u", "u:c")],
        models=[model("m", deployment("a:r")), model("n", deployment())],
    )
    line.enqueue(*line.jobs(3), *line.jobs(3, "pt", to="n"), *line.jobs(3, "v|user:u", to="n"))
    line.admit_all()
    others = [line.job("p", to="n"), line.job("v|user:w", to="n", lane=Lane.BACKGROUND)]
    line.enqueue(*others)

    assert set(ids(line.step(10))) == {job.job for job in others}


def test_a_model_takes_its_next_deployment_where_the_first_has_no_room(line):
    both = [deployment("1:r", name="1"), deployment("2:r", name="2")]
    line.open(requests("1:r", 2), requests("2:r", 3), models=[model("m", *both)])
    line.enqueue(*line.jobs(10))

    assert [grant.deployment for grant in line.admit_all()] == ["1", "1", "2", "2", "2"]


def test_a_lower_lane_does_not_overtake_under_the_limit_that_is_in_the_way(line):
    line.open(tokens("a:t", 1_000), models=[model("m", deployment("a:t")), model("n", deployment("a:t"))])
    line.enqueue(line.job(size=600, lane=Lane.HIGH), line.job(size=600, lane=Lane.HIGH), line.job(size=10, to="n", lane=Lane.LOW))

    assert [grant.lane for grant in line.admit_all()] == [Lane.HIGH]


def test_what_does_not_fit_a_budget_blocks_neither_its_user_nor_others(line):
    line.open(
        budget("t:b", 1_000), scopes=[node("p", "t:b")], models=[model("m", deployment(output_pico=10_000)), model("n", deployment())]
    )
    first, dear, cheap, free = line.job(size=51), line.job(size=81), line.job(size=31), line.job(to="n")
    line.enqueue(first, dear, cheap, free)

    assert set(ids(line.step(10))) == {first.job, cheap.job, free.job}
