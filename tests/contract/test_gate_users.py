"""Inside a tenant users share by weight, whatever keys, teams and models they use; inside a user the earliest deadline goes first."""

from __future__ import annotations

import collections
import random

import pytest

from rateguard.engine.gate.contract import WorkClass
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Level
from tests.contract.gate_line import START_MS, Line, deployment, ended, ids, model, node, places, requests, tokens

HOUR_MS = 3_600_000


def shares(line: Line, granted, owner_of: dict) -> dict[str, float]:
    """Each owner's share of the granted tokens."""
    counts = collections.Counter()
    for grant in granted:
        counts[owner_of[grant.reservation.job]] += grant.input_tokens + grant.max_output_tokens
    return {owner: count / counts.total() for owner, count in counts.items()}


def wait_in_line(line: Line, owner: str, paths, count: int, sizes=(50, 100, 400), **more) -> dict:
    """So many jobs of an owner, spread over his paths."""
    rnd = random.Random(3)
    jobs = [line.job(paths[number % len(paths)], size=rnd.choice(sizes), **more) for number in range(count)]
    line.enqueue(*jobs)
    return {job.job: owner for job in jobs}


def admit(line: Line, count: int) -> list:
    return [grant for _ in range(count // 50) for grant in line.step(50).granted]


@pytest.mark.parametrize(
    "paths", [("p|user:a|key:1", "p|user:a|key:2", "p|user:a|key:3"), ("p|team:x|user:a", "p|team:y|user:a", "p|user:a")]
)
def test_more_keys_or_teams_bring_a_user_no_larger_share(line, paths):
    line.open()
    owner_of = wait_in_line(line, "a", paths, 600) | wait_in_line(line, "b", ["p|team:x|user:b|key:9"], 600)

    assert shares(line, admit(line, 400), owner_of)["a"] == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("pools", ["xx", "xxx"])
def test_more_models_of_a_pool_bring_a_user_no_larger_share(line, pools):
    names = [f"m{number}" for number in range(len(pools))]
    line.open(models=[model(name, deployment(name=name), pool="x") for name in names])
    owner_of = wait_in_line(line, "b", ["p|user:b"], 600, to=names[0])
    for name in names:
        owner_of |= wait_in_line(line, "a", ["p|user:a"], 400, to=name)

    assert shares(line, admit(line, 400), owner_of)["a"] == pytest.approx(0.5, rel=0.02)


def test_users_share_by_weight(line):
    line.open(scopes=[node("p"), node("p|user:a", weight=3), node("p|user:b", weight=2)])
    owner_of = {}
    for user in "abc":
        owner_of |= wait_in_line(line, user, [f"p|user:{user}"], 600)

    found = shares(line, admit(line, 600), owner_of)

    assert (found["a"], found["b"], found["c"]) == pytest.approx((3 / 6, 2 / 6, 1 / 6), rel=0.03)


def test_a_users_weight_is_worth_nothing_among_tenants(line):
    line.open(scopes=[node("p"), node("q"), node("p|user:a", weight=1_000)])
    owner_of = wait_in_line(line, "p", ["p|user:a"], 600) | wait_in_line(line, "q", ["q|user:a", "q|user:b"], 600)

    assert shares(line, admit(line, 400), owner_of)["p"] == pytest.approx(0.5, rel=0.02)


def test_a_users_weight_acts_on_waiting_jobs_when_it_is_edited(line):
    line.open()
    owner_of = wait_in_line(line, "a", ["p|user:a"], 800) | wait_in_line(line, "b", ["p|user:b"], 800)
    assert shares(line, admit(line, 200), owner_of)["a"] == pytest.approx(0.5, rel=0.03)

    line.configure(scopes=(node("p|user:a", weight=4),))

    assert shares(line, admit(line, 500), owner_of)["a"] == pytest.approx(0.8, rel=0.03)


def test_users_share_alike_under_a_limit_of_their_tenant_that_binds(line):
    line.open(tokens("t:t", 20_000, 10_000, Level.TENANT), scopes=[node("p", "t:t")])
    owner_of = {}
    for user in "abc":
        owner_of |= wait_in_line(line, user, [f"p|user:{user}|key:1", f"p|user:{user}|key:2"], 300, (50, 100))

    granted, running = [], []
    while len(granted) < 600:
        reply = line.step(20, settle=ended(running, input_tokens=1, output_tokens=49))
        running = list(reply.granted)
        granted += running
        if not running:
            line.go_to(reply.next_ready_ms)

    assert min(shares(line, granted, owner_of).values()) == pytest.approx(1 / 3, rel=0.06)


def test_work_without_a_user_counts_as_one_user(line):
    line.open()
    owner_of = wait_in_line(line, "nobody", ["p", "p|team:x", "p|key:1"], 600) | wait_in_line(line, "a", ["p|user:a"], 600)

    assert shares(line, admit(line, 400), owner_of)["a"] == pytest.approx(0.5, rel=0.02)


def test_a_user_that_was_away_does_not_catch_up(line):
    line.open()
    owner_of = wait_in_line(line, "a", ["p|user:a"], 900)
    admit(line, 500)
    owner_of |= wait_in_line(line, "b", ["p|user:b"], 400)

    assert shares(line, admit(line, 200), owner_of)["b"] == pytest.approx(0.5, rel=0.04)


@pytest.mark.parametrize("away_ms", [0, 10 * 60_000, 3 * HOUR_MS])
def test_a_user_that_had_much_comes_back_neither_in_debt_nor_in_credit(line, away_ms):
    line.open()
    owner_of = wait_in_line(line, "a", ["p|user:a"], 100) | wait_in_line(line, "b", ["p|user:b"], 900)
    admit(line, 400)
    line.wait(away_ms)
    owner_of |= wait_in_line(line, "a", ["p|user:a"], 400)

    assert shares(line, admit(line, 200), owner_of)["a"] == pytest.approx(0.5, rel=0.05)


def test_a_user_of_one_tenant_is_nobody_in_another(line):
    line.open(scopes=[node("p"), node("q"), node("p|user:a", weight=9)])
    owner_of = {}
    for path in ("p|user:a", "p|user:b", "q|user:a", "q|user:b"):
        owner_of |= wait_in_line(line, path, [path], 400)

    found = shares(line, admit(line, 400), owner_of)

    assert found["p|user:a"] == pytest.approx(0.45, rel=0.04)
    assert found["q|user:a"] == pytest.approx(0.25, rel=0.04)


def test_a_thousand_users_each_get_one_of_the_first_thousand_grants(line):
    line.open()
    users = [f"p|user:{number}" for number in range(300)]
    line.enqueue(*(line.job(user) for _ in range(3) for user in users))

    granted = [grant for _ in range(3) for grant in line.step(100).granted]

    assert len({grant.reservation.job.int % 300 for grant in granted}) == 300


# ---- deadlines


def test_inside_a_user_the_earliest_deadline_goes_first_over_all_his_paths(line):
    line.open()
    paths = ["p|user:a", "p|team:x|user:a", "p|user:a|key:1", "p|user:a|key:2"]
    rnd = random.Random(1)
    deadlines = rnd.sample(range(START_MS + 1_000, START_MS + 10**9), 40)
    jobs = [line.job(paths[number % 4], deadline_ms=deadline) for number, deadline in enumerate(deadlines)]
    later = line.jobs(3, "p|user:a|key:3")
    line.enqueue(*later, *jobs)

    granted = [grant.reservation.job for grant in line.admit_all(7)]

    assert granted == [job.job for job in sorted(jobs, key=lambda job: job.deadline_ms)] + [job.job for job in later]


def test_jobs_without_a_deadline_go_behind_those_with_one_as_they_came(line):
    line.open()
    first, second = line.enqueue(line.job("p|user:a|key:1"), line.job("p|user:a|key:2"))
    distant = line.job("p|user:a|key:2", deadline_ms=START_MS + 300 * 24 * HOUR_MS)
    line.enqueue(distant)

    assert ids(line.step(3)) == [distant.job, first.job, second.job]


def test_a_deadline_brings_nobody_before_another_user_or_lane(line):
    line.open()
    high = line.jobs(2, "p|user:b", lane=Lane.HIGH)
    plain, urgent = line.jobs(6, "p|user:b"), line.jobs(6, "p|user:a", deadline_ms=START_MS + 1)
    line.enqueue(*plain, *urgent, *high)

    granted = ids(line.step(8))

    assert granted[:2] == [job.job for job in high]
    assert len({job.job for job in plain} & set(granted[2:])) >= 2


def test_a_deadline_that_comes_in_later_goes_before_what_waits(line):
    line.open(places("t:c", 1, Level.TENANT), scopes=[node("p", "t:c")])
    line.enqueue(*line.jobs(5, "p|user:a"))
    running = line.admit_all()
    urgent = line.job("p|team:x|user:a", deadline_ms=START_MS + 5_000)
    line.enqueue(urgent)

    assert ids(line.step(1, settle=ended(running))) == [urgent.job]


@pytest.mark.parametrize("work_class", list(WorkClass))
def test_deadlines_order_a_user_over_the_models_of_a_pool(line, work_class):
    line.open(models=[model("m", deployment()), model("n", deployment(name="2"))])
    late = line.job("p|user:a", to="m", deadline_ms=START_MS + 9_000, work_class=work_class)
    early = line.job("p|user:a", to="n", deadline_ms=START_MS + 5_000, work_class=work_class)
    line.enqueue(late, early)

    assert ids(line.step(2)) == [early.job, late.job]


def test_a_path_that_is_blocked_does_not_block_its_users_other_paths(line):
    line.open(requests("k:r", 1, level=Level.LEAF), scopes=[node("p"), node("p|key:1", "k:r")])
    line.enqueue(*line.jobs(3, "p|user:a|key:1", deadline_ms=START_MS + 1_000))
    others = line.enqueue(*line.jobs(3, "p|user:a|key:2"))

    granted = [grant.reservation.job for grant in line.admit_all()]

    assert len(granted) == 4
    assert {job.job for job in others} < set(granted)
