"""Where there is room and work for it, something is granted; nobody starves and nobody is in the way of others."""

from __future__ import annotations

import random

import pytest

from rateguard.engine.gate.contract import WorkClass
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Level, Metric
from tests.contract.gate_line import Line, bucket, budget, deployment, ended, ids, model, node, places, requests, tokens

USERS, TEAMS, TENANTS = "abc", ["", "|team:x"], "pq"
COST = {Metric.REQUESTS: 1, Metric.CONCURRENCY: 1, Metric.TOKENS: 10, Metric.COST: 9_000}


def random_limits(rnd: random.Random) -> tuple[list, list]:
    """Limits of every kind on nodes of every kind; all jobs are of 10 tokens."""
    records, scopes = [], []

    def some(name: str, level: Level) -> tuple[str, ...]:
        kinds = (
            requests(f"{name}:r", rnd.randint(1, 12), level=level),
            tokens(f"{name}:t", 10 * rnd.randint(1, 12), level=level),
            places(f"{name}:c", rnd.randint(1, 6), level),
            budget(f"{name}:b", 9_000 * rnd.randint(1, 12), level, on_exhausted=Exhausted.HOLD),
        )
        chosen = rnd.sample(kinds, rnd.choice([0, 0, 1, 2]))
        records.extend(chosen)
        return tuple(record.id for record in chosen)

    scopes.append(node("", *some("g", Level.SHARED)))
    for tenant in TENANTS:
        scopes.append(node(tenant, *some(tenant, Level.TENANT), user=some(f"{tenant}u", Level.LEAF)))
        scopes.append(node(f"{tenant}|team:x", *some(f"{tenant}x", Level.LEAF)))
        scopes.append(node(f"{tenant}|user:a", *some(f"{tenant}a", Level.LEAF)))
    return records, scopes


@pytest.mark.parametrize("seed", range(12))
def test_with_room_and_admissible_work_anywhere_something_is_granted(line, seed):
    """All jobs are of one size and nothing is open elsewhere, so each that still waits must have a limit without room on its way."""
    rnd = random.Random(seed)
    records, scopes = random_limits(rnd)
    dear = {"output_pico": 1_000_000}
    models = [model("m", deployment("1:c", name="1", **dear)), model("n", deployment("1:c", **dear), deployment("2:c", name="2", **dear))]
    line.open(*records, places("1:c", 9), places("2:c", 3), scopes=scopes, models=models)
    paths = [f"{tenant}{team}|user:{user}" for tenant in TENANTS for team in TEAMS for user in USERS]
    jobs = {
        job.job: job
        for path in paths
        for job in line.jobs(3, path, to=rnd.choice("mn"), lane=rnd.choice(list(Lane)), work_class=rnd.choice(list(WorkClass)), size=10)
    }
    line.enqueue(*jobs.values())
    running = []
    for _ in range(12):
        granted = line.admit_all(rnd.choice([1, 5, 100]))
        for grant in granted:
            del jobs[grant.reservation.job]
        running += granted
        assert_no_room_left(line, jobs.values())
        rnd.shuffle(running)
        ending, running = running[:5], running[5:]
        line.step(settle=ended(ending, input_tokens=1, output_tokens=rnd.choice([2, 9]), cost=rnd.choice([1_000, 9_000])))
        line.wait(rnd.choice([0, 150, 20_000]))


def assert_no_room_left(line: Line, jobs) -> None:
    full = set()
    by_default = tuple(f"{tenant}u:{kind}@user:{user}" for tenant in TENANTS for kind in "rtcb" for user in USERS)
    for use in (*line.gate.inspect().limits, *line.gate.inspect(by_default).limits):
        metric = {"r": Metric.REQUESTS, "t": Metric.TOKENS, "c": Metric.CONCURRENCY, "b": Metric.COST}[use.id.split(":")[1][0]]
        if use.used + COST[metric] > use.amount:
            full.add(use.id)
    for job in jobs:
        ways = [("1:c",)] if job.model == "m" else [("1:c",), ("2:c",)]
        is_blocked = full.intersection(line.gate.limits_of(job.path)) or all(full.intersection(way) for way in ways)
        assert is_blocked, f"{job.path} {job.model} could have been granted"


def test_many_that_are_blocked_elsewhere_do_not_keep_a_free_place_from_who_can_use_it(line):
    """Each user has one place of his own; those who use it stand in front under their team's limit."""
    line.open(places("g:c", 40, Level.LEAF), places("d:c", 1, Level.LEAF), scopes=[node("p", user=("d:c",)), node("p|team:g", "g:c")])
    users = [f"p|team:g|user:{number}" for number in range(40)]
    line.enqueue(*(line.job(user) for user in users))
    running = line.admit_all()
    line.enqueue(*(line.job(user, lane=Lane.HIGH) for user in users))
    other = line.job("p|team:g|user:other", lane=Lane.LOW)
    line.enqueue(other)
    assert (len(running), line.admit_all()) == (40, [])

    line.configure(places("g:c", 41, Level.LEAF))

    assert other.job in {grant.reservation.job for grant in line.admit_all()}


# ---- who came late and is more important


def test_a_high_job_after_ten_thousand_low_ones_is_granted_first(line):
    line.open()
    for number in range(10):
        line.enqueue(*line.jobs(1_000, f"p|user:{number}", lane=Lane.LOW))
    line.step(10)
    high = line.job(lane=Lane.HIGH)

    assert high.job in ids(line.step(2, enqueue=(high,)))


def test_a_high_job_is_granted_first_or_second_under_a_limit_that_low_ones_fill(line):
    line.open(places("a:c", 4), models=[model("m", deployment("a:c"))])
    line.enqueue(*line.jobs(1_000, lane=Lane.LOW))
    running = line.admit_all()
    high = line.job(lane=Lane.HIGH)
    line.enqueue(high)

    assert high.job in ids(line.step(9, settle=ended(running[:2])))


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("make", [requests, places, bucket])
def test_a_high_job_of_the_same_tenant_goes_first_when_the_limit_opens(line, make, level):
    record = make("t:l", 3, level=level)
    line.open(record, scopes=[node("p", "t:l")])
    line.enqueue(*line.jobs(50, "p|user:a", lane=Lane.LOW))
    running = line.admit_all()
    high = line.job("p|user:b", lane=Lane.HIGH)
    line.enqueue(high)
    line.step(9)

    line.wait(61_000)

    assert ids(line.step(9, settle=ended(running)))[0] == high.job


# ---- budgets are in nobody's way


@pytest.mark.parametrize("mode", [Exhausted.HOLD, Exhausted.REJECT])
@pytest.mark.parametrize("level", list(Level))
def test_what_the_rest_of_a_budget_cannot_pay_blocks_nobody(line, mode, level):
    dear = model("m", deployment(output_pico=1_000_000))
    line.open(
        budget("b", 10_000, level, on_exhausted=mode), scopes=[node("p", "b"), node("q")], models=[dear, model("n", deployment(name="2"))]
    )
    line.enqueue(*line.jobs(500, "p|user:a", size=9, lane=Lane.CRITICAL))
    line.admit_all()
    cheap, free, other = line.enqueue(line.job("p|user:b", lane=Lane.LOW), line.job("p|user:a", to="n"), line.job("q", size=900))

    assert {cheap.job, free.job, other.job} == {grant.reservation.job for grant in line.admit_all()}


# ---- a large job among small ones


def stream(line: Line, large, small_on, *, period_ms: int, small_to=("m",)) -> bool:
    """Small jobs enough to fill the limit at every moment, with one large job among them. Whether it came within three windows."""
    line.enqueue(*(line.job(path, size=50, to=to) for path in small_on for to in small_to for _ in range(12)))
    running = list(line.step(10).granted)
    line.enqueue(large)
    started_ms = line.clock.now_ms
    while line.clock.now_ms < started_ms + 3.5 * period_ms:
        more = tuple(line.job(path, size=50, to=to) for path in small_on for to in small_to)
        reply = line.step(10, enqueue=more, settle=ended(running, input_tokens=1, output_tokens=49))
        if large.job in ids(reply):
            return True
        running = list(reply.granted)
        line.wait(min(150, max(1, (reply.next_ready_ms or reply.now_ms + 150) - reply.now_ms)))
    return False


LIMITS = {
    "window": lambda level: tokens("l", 1_000, 10_000, level),
    "paced window": lambda level: tokens("l", 1_000, 10_000, level, burst_permille=300),
    "bucket": lambda level: bucket("l", 1_000, 10_000, level, metric=Metric.TOKENS),
}
AMONG = {
    "another user": ("p|user:a", ["p|user:b", "p|user:c"]),
    "another key of the user": ("p|user:a|key:1", ["p|user:a|key:2", "p|user:a|key:3"]),
    "the same path": ("p|user:a", ["p|user:a"]),
}


@pytest.mark.parametrize("among", AMONG)
@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("kind", LIMITS)
def test_a_large_job_is_not_starved_by_small_ones(line, kind, level, among):
    line.open(LIMITS[kind](level), scopes=[node("p", "l")])
    path, small_on = AMONG[among]

    assert stream(line, line.job(path, size=1_000), small_on, period_ms=10_000)


@pytest.mark.parametrize("pools", ["xx", "xy"])
@pytest.mark.parametrize("on", ["p|team:g", "p|user:a", "p|key:1", "p|run:7"])
@pytest.mark.parametrize("kind", ["window", "bucket"])
def test_a_large_job_is_not_starved_under_a_leafs_limit_by_small_ones_for_two_models(line, kind, on, pools):
    models = [model("m", deployment(), pool=pools[0]), model("z", deployment(name="2"), pool=pools[1])]
    scopes = {name: node(name) for name in ("p", "p|run:7")} | {on: node(on, "l")}
    line.open(LIMITS[kind](Level.LEAF), scopes=scopes.values(), models=models)
    path = "p|team:g|user:a|run:7|key:1"

    assert stream(line, line.job(path, to="z", size=1_000), [path], period_ms=10_000, small_to=("m", "z"))


@pytest.mark.parametrize("kind", ["window", "bucket"])
def test_a_large_job_is_not_starved_by_small_ones_of_other_tenants_and_models(line, kind):
    models = [model("m", deployment("l")), model("z", deployment("l"))]
    line.open(LIMITS[kind](Level.SHARED), scopes=[node("p"), node("q"), node("r")], models=models)

    assert stream(line, line.job("p", to="z", size=1_000), ["q", "r"], period_ms=10_000, small_to=("m", "z"))


@pytest.mark.parametrize("kind", ["window", "bucket"])
def test_a_large_job_is_not_starved_where_each_user_has_the_limit_by_a_default(line, kind):
    line.open(LIMITS[kind](Level.LEAF), scopes=[node("p", user=("l",))])

    assert stream(line, line.job("p|user:a|key:1", size=1_000), ["p|user:a|key:2", "p|user:b"], period_ms=10_000)
