"""What is paused takes nothing until a moment or until somebody resumes it; what runs goes on."""

from __future__ import annotations

import pytest

from rateguard.engine.gate.contract import PausedLane, WorkClass
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Level
from tests.contract.gate_line import START_MS, Line, deployment, ended, ids, model, node, pause, places, requests

PATH = "p|team:ml|user:a|run:7|key:1"
LEVELS = {"": Level.SHARED, "p": Level.TENANT}
EVERY_NODE = pytest.mark.parametrize("on", ["", "p", "p|team:ml", "p|user:a", "p|run:7", "p|key:1"])
FOR_EVER_OR_A_MINUTE = pytest.mark.parametrize("until_ms", [0, START_MS + 60_000])


def open_paused(line: Line, on: str, until_ms: int = 0) -> None:
    """Node `on` is paused; tenant q is another."""
    scopes = {name: node(name) for name in ("p", "p|run:7", "q")} | {on: node(on, "off")}
    line.open(pause("off", LEVELS.get(on, Level.LEAF), until_ms), scopes=scopes.values())


@EVERY_NODE
@FOR_EVER_OR_A_MINUTE
@pytest.mark.parametrize("work_class", list(WorkClass))
def test_a_paused_node_takes_nothing_and_all_else_goes_on(line, on, until_ms, work_class):
    open_paused(line, on, until_ms)
    _, other = line.enqueue(line.job(PATH, work_class=work_class), line.job("q", lane=Lane.BACKGROUND))

    reply = line.step(9)

    assert (ids(reply), reply.refused) == ([] if on == "" else [other.job], ())
    assert reply.next_ready_ms == (until_ms or None)


@EVERY_NODE
def test_a_pause_with_an_end_is_over_at_that_moment_and_not_a_millisecond_earlier(line, on):
    open_paused(line, on, START_MS + 60_000)
    jobs = line.enqueue(*line.jobs(3, PATH))
    line.admit_all()

    line.go_to(START_MS + 59_999)
    assert line.admit_all() == []
    line.go_to(START_MS + 60_000)
    assert [grant.reservation.job for grant in line.admit_all()] == [job.job for job in jobs]


@EVERY_NODE
@FOR_EVER_OR_A_MINUTE
@pytest.mark.parametrize("how", ["forgotten", "taken away", "ended"])
def test_resuming_acts_on_the_next_step(line, on, until_ms, how):
    open_paused(line, on, until_ms)
    line.enqueue(*line.jobs(3, PATH))
    line.admit_all()

    if how == "ended":
        line.configure(pause("off", LEVELS.get(on, Level.LEAF), START_MS))
    else:
        line.configure(scopes=(node(on),), forget_limits=("off",) if how == "forgotten" else ())

    assert len(line.admit_all()) == 3


@EVERY_NODE
def test_a_pause_added_to_a_node_with_waiting_jobs_acts_on_the_next_step(line, on):
    line.open(scopes=[node("p"), node("p|run:7"), node("q")])
    line.enqueue(*line.jobs(3, PATH))
    assert len(line.step(1).granted) == 1

    line.configure(pause("off", LEVELS.get(on, Level.LEAF)), scopes=(node(on, "off"),))

    assert line.admit_all() == []
    assert line.gate.inspect(()).waiting == 2


def test_a_pause_may_be_made_longer_and_shorter(line):
    open_paused(line, "p", START_MS + 60_000)
    line.enqueue(line.job())
    line.admit_all()
    line.configure(pause("off", Level.TENANT, START_MS + 120_000))
    line.go_to(START_MS + 60_000)
    assert line.step(1).next_ready_ms == START_MS + 120_000

    line.configure(pause("off", Level.TENANT, START_MS + 61_000))
    line.go_to(START_MS + 61_000)

    assert len(line.step(1).granted) == 1


def test_a_pause_charges_nothing_and_what_runs_settles_under_it(line):
    line.open(places("t:c", 2, Level.TENANT), scopes=[node("p", "t:c")])
    line.enqueue(*line.jobs(3))
    granted = line.admit_all()
    line.configure(pause("off"), scopes=(node("p", "t:c", "off"),))

    line.step(9, settle=ended(granted))

    assert line.uses("t:c", "off") == [0, 0]
    assert line.gate.inspect(()).reservations == 0


def test_a_pause_of_a_default_holds_every_node_of_its_kind(line):
    line.open(pause("off", Level.LEAF), scopes=[node("p", user=("off",)), node("p|user:vip", without=("off",))])
    vip, *_ = line.enqueue(line.job("p|user:vip"), line.job("p|user:a"), line.job("p|user:b"))
    assert ids(line.step(9)) == [vip.job]

    line.configure(forget_limits=("off",), scopes=(node("p"),))

    assert len(line.admit_all()) == 2


def test_a_paused_limit_binds_beside_others_and_each_frees_its_own(line):
    line.open(pause("off", until_ms=START_MS + 90_000), requests("t:r", 1, level=Level.TENANT), scopes=[node("p", "t:r")])
    line.enqueue(*line.jobs(2))
    assert len(line.admit_all()) == 1
    line.configure(scopes=(node("p", "t:r", "off"),))
    line.admit_all()

    line.go_to(START_MS + 89_999)
    assert line.admit_all() == []
    line.go_to(START_MS + 90_000)
    assert len(line.admit_all()) == 1


# ---- deployments


def test_a_paused_deployment_leaves_its_work_to_the_next(line):
    both = (deployment("off", name="1"), deployment(name="2"))
    line.open(pause("off", Level.SHARED), models=[model("m", *both)])
    line.enqueue(*line.jobs(2))

    assert [grant.deployment for grant in line.admit_all()] == ["2", "2"]


@FOR_EVER_OR_A_MINUTE
def test_a_model_whose_deployments_are_all_paused_waits_and_names_the_pause(line, until_ms):
    models = [model("m", deployment("off"), deployment("off", name="2")), model("n", deployment(name="3"))]
    line.open(pause("off", Level.SHARED, until_ms), models=models)
    job, other = line.enqueue(line.job(), line.job(to="n"))

    reply = line.step(9)

    assert (ids(reply), reply.binding, reply.next_ready_ms) == ([other.job], "off", until_ms or None)
    line.configure(forget_limits=("off",))
    assert ids(line.step(9)) == [job.job]


# ---- many at once


@pytest.mark.parametrize("on", ["", "p", "p|team:ml"])
@pytest.mark.parametrize("how", ["its end", "a person"])
def test_all_of_many_paused_paths_go_on_within_a_second(line, on, how):
    open_paused(line, on, START_MS + 60_000)
    count = 1_300
    line.enqueue(*(line.job(f"p|team:ml|user:{number}") for number in range(count)))
    while line.step(500).has_more:
        pass

    if how == "its end":
        line.go_to(START_MS + 60_000)
    else:
        line.configure(scopes=(node(on),), forget_limits=("off",))
    started_ms, granted = line.clock.now_ms, 0
    while granted < count:
        reply = line.step(500)
        granted += len(reply.granted)
        if not reply.has_more and granted < count:
            line.go_to(reply.next_ready_ms)

    assert line.clock.now_ms - started_ms <= 1_000


def test_paused_tenants_do_not_slow_others_down(line):
    tenants = [node(f"t{number}", "off") for number in range(200)]
    line.open(pause("off"), scopes=[*tenants, node("p")])
    line.enqueue(*(line.job(tenant.id) for tenant in tenants))
    line.admit_all()
    job = line.job(lane=Lane.BACKGROUND)

    reply = line.step(1, enqueue=(job,))

    assert ids(reply) == [job.job]


# ---- lanes


@pytest.mark.parametrize("work_class", list(WorkClass))
@pytest.mark.parametrize("lane", list(Lane))
@FOR_EVER_OR_A_MINUTE
def test_a_paused_lane_takes_nothing_and_other_lanes_go_on(line, lane, until_ms, work_class):
    line.open()
    line.configure(paused_lanes=(PausedLane(lane, until_ms),))
    jobs = line.enqueue(*(line.job(lane=each, work_class=work_class) for each in Lane))

    reply = line.step(9)

    assert ids(reply) == [job.job for job in jobs if job.lane != lane]
    assert reply.next_ready_ms == (until_ms or None)


def test_a_lane_paused_until_a_moment_goes_on_at_that_moment(line):
    line.open()
    line.configure(paused_lanes=(PausedLane(Lane.LOW, START_MS + 5_000), PausedLane(Lane.HIGH, START_MS + 3_000)))
    low, high = line.enqueue(line.job(lane=Lane.LOW), line.job(lane=Lane.HIGH))
    reply = line.step(9)
    assert (ids(reply), reply.next_ready_ms) == ([], START_MS + 3_000)

    line.go_to(START_MS + 3_000)
    reply = line.step(9)
    assert (ids(reply), reply.next_ready_ms) == ([high.job], START_MS + 5_000)
    line.go_to(START_MS + 5_000)
    reply = line.step(9)
    assert (ids(reply), reply.next_ready_ms) == ([low.job], None)


def test_a_lane_goes_on_at_the_next_step_when_it_is_paused_no_longer(line):
    line.open()
    line.configure(paused_lanes=(PausedLane(Lane.LOW, 0), PausedLane(Lane.NORMAL, 0)))
    low, _ = line.enqueue(line.job(lane=Lane.LOW), line.job())
    assert line.admit_all() == []

    line.configure(paused_lanes=(PausedLane(Lane.NORMAL, 0),))

    assert ids(line.step(9)) == [low.job]


def test_an_edit_that_says_nothing_of_lanes_leaves_them_paused(line):
    line.open()
    line.configure(paused_lanes=(PausedLane(Lane.NORMAL, 0),))
    line.configure(requests("new", 1))
    line.enqueue(line.job())

    assert line.admit_all() == []


def test_lanes_paused_by_an_older_push_stay_as_the_newer_says(line):
    line.open()
    line.configure(paused_lanes=(), version=5)
    line.configure(paused_lanes=(PausedLane(Lane.NORMAL, 0),), version=4)
    line.enqueue(line.job())

    assert len(line.admit_all()) == 1


def test_a_paused_lane_earns_no_floor_while_it_is_paused(line):
    line.open()
    line.configure(paused_lanes=(PausedLane(Lane.LOW, 0),))
    line.enqueue(*line.jobs(100, lane=Lane.HIGH), *line.jobs(10, lane=Lane.LOW))
    line.step(60)

    line.configure(paused_lanes=())

    assert [grant.lane for grant in line.step(5).granted] == [Lane.HIGH] * 5


def test_everything_may_be_paused_and_resumed_as_one(line):
    open_paused(line, "")
    line.enqueue(*line.jobs(2), *line.jobs(2, "q", lane=Lane.CRITICAL), line.job(work_class=WorkClass.SYNC))
    reply = line.step(9)
    assert (reply.granted, reply.binding, reply.has_more) == ((), "off", False)

    line.configure(scopes=(node(""),), forget_limits=("off",))

    assert len(line.admit_all()) == 5
