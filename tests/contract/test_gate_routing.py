"""Which of a list's deployments takes a job: turns, lots, tiers, and overflow after a wait."""

from __future__ import annotations

import pytest

from rateguard.engine.gate.codec import pack_reservation
from rateguard.engine.gate.contract import Refusal
from rateguard.engine.lanes import Lane
from rateguard.engine.routing.contract import Mode
from rateguard.engine.routing.turns import lot
from tests.contract.gate_line import deployment, ended, ids, model, node, places, requests, reservation, tokens


def where(granted) -> str:
    """The deployments in the order of the grants."""
    return "".join(grant.deployment for grant in granted)


def new_jobs(line, count: int, **more):
    """Jobs that came just now."""
    return line.jobs(count, order_ms=line.clock.now_ms, **more)


# ---- turns and lots


def test_weights_share_as_three_to_one_within_one_round_and_turns_go_on_in_the_next_step(line):
    line.open(models=[model("m", deployment(name="7", weight=3), deployment(name="8"), mode=Mode.TURNS)])
    line.enqueue(*line.jobs(8))

    assert [where(line.step(want).granted) for want in (1, 2, 5)] == ["7", "78", "77787"]


def test_a_list_in_fixed_order_asks_the_first_as_long_as_it_has_room(line):
    line.open(requests("l7", 2), models=[model("m", deployment("l7", name="7"), deployment(name="8", weight=9))])
    line.enqueue(*line.jobs(4))

    assert where(line.admit_all()) == "7788"


def test_who_has_no_room_misses_his_turn_and_owes_none_later(line):
    both = deployment("l7", name="7"), deployment("l8", name="8")
    line.open(places("l7", 9), places("l8", 1), models=[model("m", *both, mode=Mode.TURNS)])
    line.enqueue(*line.jobs(8))
    first = line.step(5).granted
    assert where(first) == "78777"

    line.step(settle=ended(first))

    assert where(line.admit_all()) == "787"


def test_who_left_a_list_has_no_turn_in_it_when_he_comes_back(line):
    both = model("m", deployment(name="7", weight=9), deployment(name="8"), mode=Mode.TURNS)
    line.open(models=[both])
    line.enqueue(*line.jobs(13))
    assert where(line.step(3).granted) == "777"

    line.configure(models=[model("m", deployment(name="8"), mode=Mode.TURNS)])
    line.configure(models=[both], version=3)

    assert where(line.admit_all()) == "7778777777"  # 8 kept what it had to its credit, 7 began anew


def test_a_list_that_was_deleted_begins_its_turns_anew(line):
    both = model("m", deployment(name="7"), deployment(name="8"), mode=Mode.TURNS)
    line.open(models=[both])
    line.enqueue(*line.jobs(3))
    assert where(line.step(1).granted) == "7"

    line.configure(forget_models=["m"])
    line.configure(models=[both], version=3)

    assert where(line.admit_all()) == "78"


def test_lots_fall_by_the_attempts_id_alone(line):
    line.open(models=[model("m", deployment(name="7", weight=2), deployment(name="8", weight=3), mode=Mode.LOTS)])
    jobs = line.enqueue(*line.jobs(40))

    found = {grant.reservation: grant.deployment for grant in line.admit_all()}

    assert found == {reservation(job): lot(pack_reservation(reservation(job)), [("7", 2), ("8", 3)]) for job in jobs}
    assert set(found.values()) == {"7", "8"}


@pytest.mark.parametrize("mode", Mode)
def test_a_tier_is_asked_only_where_none_before_has_room(line, mode):
    near = [deployment("l6", name="6"), deployment("l7", name="7")]
    far = deployment(name="8", tier=1, weight=1_000)
    line.open(requests("l6", 2), requests("l7", 2), models=[model("m", *near, far, mode=mode)])
    line.enqueue(*line.jobs(7))

    found = where(line.admit_all())

    assert sorted(found[:4]) == list("6677")
    assert found[4:] == "888"


# ---- overflow


def overflowing(line, *limits, primary=("l7",), after_ms: int = 5_000, mode=Mode.FIRST) -> None:
    """A list whose second deployment takes only what has waited; the first has room for one request a minute."""
    both = deployment(*primary, name="7"), deployment("l8", name="8", after_ms=after_ms)
    line.open(requests("l7", 1), *limits, models=[model("m", *both, mode=mode)])


@pytest.mark.parametrize("deadline_ms", [None, 40_000])
def test_overflow_takes_what_has_waited_and_not_before_and_the_reply_names_the_moment(line, deadline_ms):
    overflowing(line)
    start = line.clock.now_ms
    line.enqueue(*new_jobs(line, 3, deadline_ms=deadline_ms and start + deadline_ms))
    reply = line.step(9)
    assert where(reply.granted) == "7"
    assert reply.next_ready_ms == start + 5_000
    assert reply.binding == "after:8"

    line.wait(4_999)
    reply = line.step(9)
    assert reply.granted == ()
    assert reply.next_ready_ms == start + 5_000

    line.go_to(reply.next_ready_ms)
    assert where(line.admit_all()) == "88"


@pytest.mark.parametrize("mode", Mode)
def test_overflow_is_asked_only_where_nobody_else_has_room_however_long_the_work_has_waited(line, mode):
    overflowing(line, mode=mode)
    line.enqueue(*new_jobs(line, 2))
    line.wait(60_000)

    assert where(line.admit_all()) == "78"


def test_overflow_has_limits_too(line):
    overflowing(line, requests("l8", 1))
    line.enqueue(*new_jobs(line, 3))
    line.wait(5_000)

    assert where(line.admit_all()) == "78"


def test_what_no_other_could_ever_take_does_not_wait_for_them(line):
    overflowing(line, tokens("small", 10), primary=("small",))
    large, fitting = line.enqueue(*new_jobs(line, 1, size=50), *new_jobs(line, 1, size=5))

    granted = line.admit_all()

    assert {grant.reservation.job: grant.deployment for grant in granted} == {large.job: "8", fitting.job: "7"}


def test_fresh_work_above_keeps_nobody_below_from_overflow_that_has_waited(line):
    overflowing(line)
    (old,) = line.enqueue(*new_jobs(line, 1, lane=Lane.LOW))
    line.wait(4_000)
    line.enqueue(*new_jobs(line, 2, lane=Lane.HIGH))
    assert where(line.admit_all()) == "7"
    line.wait(1_000)

    reply = line.step(9)

    assert ids(reply) == [old.job]
    assert where(reply.granted) == "8"
    assert reply.next_ready_ms == line.clock.now_ms + 4_000


def test_a_large_job_that_waits_for_overflow_or_room_holds_up_none_that_fits(line):
    both = deployment("small", name="6"), deployment("l7", name="7"), deployment(name="8", after_ms=5_000)
    line.open(tokens("small", 10), requests("l7", 1), models=[model("m", *both)])
    line.enqueue(line.job(size=50))
    assert where(line.admit_all()) == "7"
    now_ms = line.clock.now_ms
    large, fitting = line.enqueue(line.job("p|user:a", size=50, order_ms=now_ms), line.job("p|user:b", size=5, order_ms=now_ms + 1))

    reply = line.step(9)
    assert ids(reply) == [fitting.job]
    assert reply.next_ready_ms == line.clock.now_ms + 5_000

    line.go_to(reply.next_ready_ms)
    assert [(grant.reservation.job, grant.deployment) for grant in line.admit_all()] == [(large.job, "8")]


def test_a_job_with_a_deadline_is_withdrawn_whole(line):
    line.open(models=[])
    job = line.job(deadline_ms=line.clock.now_ms + 1_000, order_ms=line.clock.now_ms)
    line.enqueue(job)
    assert line.gate.inspect(()).waiting == 1

    line.step(withdraw=(job,))

    assert line.gate.inspect(()).waiting == 0


def test_what_no_deployment_could_ever_take_is_refused(line):
    overflowing(line, tokens("small", 10), tokens("l8", 20), primary=("small",))
    line.enqueue(line.job(size=50))

    (refused,) = line.step(9).refused

    assert (refused.reason, refused.binding) == (Refusal.EXCEEDS_LIMIT, "small")


def test_tenants_share_turns_as_they_share_everything(line):
    line.open(scopes=[node("p"), node("q")], models=[model("m", deployment(name="7"), deployment(name="8"), mode=Mode.TURNS)])
    line.enqueue(*line.jobs(4), *line.jobs(4, on="q"))

    assert where(line.step(4).granted) == "7878"
