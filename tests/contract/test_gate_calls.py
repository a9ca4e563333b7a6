"""Every call may be sent again; who withdraws is gone; the moment of the next step is told."""

from __future__ import annotations

import pytest

from rateguard.engine.errors import GateUnavailable
from rateguard.engine.gate.contract import Cooldown, ReservationId, Settlement, Step
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Level
from tests.contract.gate_line import budget, deployment, ended, ids, model, node, places, requests, sent, tokens

DEAR = deployment(output_pico=1_000_000)


def test_the_same_step_again_gets_the_same_reply_and_changes_nothing(line):
    line.open(requests("a:r", 3), models=[model("m", deployment("a:r"))])
    step = Step("line", 1, want=2, enqueue=line.jobs(5))
    first = line.gate.step(step)
    before = line.gate.inspect()

    assert line.gate.step(step) == first
    assert line.gate.inspect() == before
    assert len(first.granted) == 2


def test_an_older_step_gets_the_newest_reply_and_changes_nothing(line):
    line.open()
    jobs = line.jobs(4)
    line.gate.step(Step("line", 1, want=1, enqueue=jobs))
    second = line.gate.step(Step("line", 2, want=1))
    before = line.gate.inspect()

    assert line.gate.step(Step("line", 1, want=1, enqueue=jobs)) == second
    assert line.gate.inspect() == before


def test_channels_do_not_know_of_each_other(line):
    line.open()
    first = line.gate.step(Step("one", 1, want=1, enqueue=line.jobs(2)))
    second = line.gate.step(Step("two", 1, want=1))

    assert ids(first) != ids(second)


def test_settling_twice_changes_nothing(line):
    line.open(
        tokens("t:t", 1_000), places("t:c", 3), budget("t:b", 10**9), scopes=[node("p", "t:t", "t:c", "t:b")], models=[model("m", DEAR)]
    )
    line.enqueue(*line.jobs(3, size=100))
    granted = line.step(3).granted
    line.step(settle=ended(granted[:1], input_tokens=5, output_tokens=5, cost=50))
    before = line.gate.inspect()

    line.step(settle=ended(granted[:1], input_tokens=9, output_tokens=9, cost=90))

    assert line.gate.inspect() == before


def test_settling_what_was_never_reserved_changes_nothing_but_cools(line):
    line.open(tokens("t:t", 1_000), scopes=[node("p", "t:t")])
    unknown = Settlement(ReservationId(line.job().job, 7), used=True, input_tokens=5, cost=9)
    before = line.gate.inspect()

    line.step(settle=(unknown,))

    assert line.gate.inspect() == before


def test_reporting_the_sending_of_an_attempt_that_has_ended_changes_nothing(line):
    line.open(requests("a:r", 5), models=[model("m", deployment("a:r"))])
    line.enqueue(line.job())
    granted = line.step(1).granted
    line.step(settle=ended(granted))
    before = line.gate.inspect()

    line.step(sent=sent(granted))

    assert line.gate.inspect() == before


def test_enqueued_twice_is_granted_once(line):
    line.open()
    jobs = line.jobs(3)
    line.step(enqueue=jobs)
    line.step(enqueue=jobs)

    assert line.gate.inspect().waiting == 3
    assert sorted(ids(line.step(9))) == sorted(job.job for job in jobs)


def test_enqueueing_a_job_that_is_granted_is_ignored(line):
    line.open()
    jobs = line.enqueue(*line.jobs(3))
    line.step(3)

    line.step(enqueue=jobs)

    assert line.gate.inspect().waiting == 0
    assert line.step(9).granted == ()


def test_enqueueing_a_job_that_waits_behind_a_budget_is_ignored(line):
    line.open(budget("t:b", 10_000), scopes=[node("p", "t:b")], models=[model("m", DEAR)])
    jobs = line.enqueue(*line.jobs(2, size=9))
    granted = line.admit_all()

    line.step(enqueue=jobs)

    assert line.gate.inspect().waiting == 1
    assert ids(line.step(9, settle=ended(granted, cost=0))) == [jobs[1].job]
    assert line.gate.inspect().waiting == 0


def test_a_job_enqueued_again_with_another_estimate_does_not_reserve_twice(line):
    line.open(places("t:c", 9), scopes=[node("p", "t:c")])
    job = line.job(size=100, answer=20)
    again = type(job)(**{name: getattr(job, name) for name in job.__slots__} | {"output_tokens": 30})
    line.enqueue(job, again)

    assert len(line.step(9).granted) == 1
    assert line.used("t:c") == 1
    assert line.gate.inspect().waiting == 0


def test_the_next_attempt_of_a_job_is_a_new_reservation(line):
    line.open()
    job = line.job(attempt=4)
    line.enqueue(job)

    assert [grant.reservation for grant in line.step(1).granted] == [ReservationId(job.job, 5)]


def test_who_withdraws_from_among_the_ready_is_never_granted(line):
    line.open()
    jobs = line.enqueue(*line.jobs(5))

    reply = line.step(9, withdraw=jobs[1:3])

    assert ids(reply) == [jobs[0].job, jobs[3].job, jobs[4].job]
    assert line.gate.inspect().waiting == 0


@pytest.mark.parametrize("level", list(Level))
def test_who_withdraws_from_behind_a_limit_is_never_granted_and_leaves_others_their_place(line, level):
    line.open(requests("l:r", 1, level=level), scopes=[node("p", "l:r")])
    jobs = line.enqueue(*line.jobs(3), *line.jobs(1, "p|user:q"))
    line.admit_all()

    reply = line.step(9, withdraw=jobs[1:3])
    assert line.gate.inspect().waiting == 1
    line.go_to(reply.next_ready_ms)
    granted = line.admit_all()
    while not granted:
        line.go_to(line.step(9).next_ready_ms)
        granted = line.admit_all()

    assert [grant.reservation.job for grant in granted] == [jobs[3].job]


def test_who_withdraws_from_behind_a_budget_is_never_granted(line):
    line.open(budget("t:b", 10_000), scopes=[node("p", "t:b")], models=[model("m", DEAR)])
    jobs = line.enqueue(*line.jobs(3, size=9))
    granted = line.admit_all()
    assert len(granted) == 1

    reply = line.step(9, withdraw=jobs[1:2], settle=ended(granted, cost=0))

    assert ids(reply) == [jobs[2].job]
    assert line.gate.inspect().waiting == 0


def test_withdrawing_what_does_not_wait_changes_nothing(line):
    line.open()
    job, _ = line.enqueue(*line.jobs(2))
    line.step(1)
    before = line.gate.inspect()

    line.step(withdraw=(job, line.job()))

    assert line.gate.inspect() == before


def test_a_step_that_stopped_at_want_says_that_there_may_be_more(line):
    line.open()
    line.enqueue(*line.jobs(3))

    assert line.step(2).has_more
    assert not line.step(2).has_more


# ---- when to come again


def test_an_accounts_cooldown_closes_all_its_deployments_until_the_told_moment(line):
    first, second = deployment(name="1"), deployment(name="2")
    account = [type(d)(d.id, d.limits, ("a1", f"d{d.id}"), 0, 0) for d in (first, second)]
    line.open(models=[model("m", *account), model("n", deployment(name="9"))])
    granted = line.step(1, enqueue=line.jobs(1)).granted
    cooled = Settlement(granted[0].reservation, used=True, cooldown=Cooldown("a1", 7_000))
    line.step(settle=(cooled,))
    line.enqueue(*line.jobs(2), line.job(to="n"))

    reply = line.step(9)

    assert [grant.model for grant in reply.granted] == ["n"]
    assert (reply.binding, reply.next_ready_ms) == ("a1", line.clock.now_ms + 7_000)
    assert line.gate.inspect().cooling == (Cooldown("a1", 7_000),)
    line.go_to(reply.next_ready_ms - 1)
    assert line.step(9).granted == ()
    line.go_to(reply.next_ready_ms)
    assert len(line.step(9).granted) == 2


def test_a_deployments_cooldown_closes_it_alone(line):
    both = [deployment(name="1"), deployment(name="2")]
    line.open(models=[model("m", *both)])
    granted = line.step(1, enqueue=line.jobs(1)).granted
    line.step(settle=(Settlement(granted[0].reservation, used=False, cooldown=Cooldown("d1", 2_000)),))
    line.enqueue(*line.jobs(2))

    assert [grant.deployment for grant in line.step(1).granted] == ["2"]
    line.wait(2_000)
    assert [grant.deployment for grant in line.step(1).granted] == ["1"]


def test_a_shorter_cooldown_does_not_end_a_longer_one(line):
    line.open()
    unknown = ReservationId(line.job().job, 1)
    line.step(settle=(Settlement(unknown, used=False, cooldown=Cooldown("a1", 9_000)),))
    line.step(settle=(Settlement(unknown, used=False, cooldown=Cooldown("a1", 1_000)),))

    assert line.gate.inspect().cooling == (Cooldown("a1", 9_000),)


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize(("window_ms", "burst"), [(1_000, 1000), (10_000, 300), (60_000, 1000), (60_000, 50)])
def test_stepping_at_the_told_moment_grants(line, level, window_ms, burst):
    limit = tokens("l:t", 1_000, window_ms, level, burst_permille=burst, guard_ms=20)
    line.open(limit, scopes=[node("p", "l:t")])
    line.enqueue(*line.jobs(60, size=170))

    granted, quiet = len(line.admit_all()), 0
    while granted < 60:
        line.go_to(line.step(0).next_ready_ms or line.step(9).next_ready_ms)
        more = len(line.admit_all())
        quiet = 0 if more else quiet + 1
        assert quiet == 0, f"nothing was granted at the told moment, after {granted}"
        granted += more


def test_work_that_only_a_settle_can_help_names_no_moment(line):
    line.open(places("t:c", 1, Level.TENANT), scopes=[node("p", "t:c")])
    line.enqueue(*line.jobs(2))
    line.step(1)

    assert line.step(1).next_ready_ms is None


def test_five_lanes_of_one_user_behind_one_limit_come_out_in_order_of_lane(line):
    line.open(requests("u:r", 1, 1_000, Level.LEAF), scopes=[node("p", "u:r")])
    line.enqueue(*(line.job(lane=lane) for lane in reversed(Lane)))

    order = []
    while len(order) < 5:
        reply = line.step(1)
        order += [grant.lane for grant in reply.granted]
        line.go_to(reply.next_ready_ms or line.clock.now_ms + 1)

    assert order == list(Lane)


def test_more_limits_and_paths_than_a_call_of_lua_can_name_are_configured_and_looked_at(line):
    limits = tuple(places(f"t{n}:c", 1, Level.TENANT) for n in range(9_000))
    line.open(*limits, scopes=[node(f"p{n}", f"t{n}:c") for n in range(2_500)])
    line.enqueue(line.job("p0"), line.job("p2499"))

    assert len(line.step(9).granted) == 2
    inspection = line.gate.inspect()
    assert len(inspection.limits) == 9_000
    assert sum(use.used for use in inspection.limits) == 2
    assert line.step().version == 1


def test_a_library_that_is_taken_away_again_is_an_outage_so_that_the_same_call_is_repeated(redis_url, monkeypatch):
    client = connect(redis_url, 5_000)
    load = client.function_load
    monkeypatch.setattr(client, "function_load", lambda *args, **more: (load(*args, **more), client.function_flush()))
    client.function_flush()

    with client, pytest.raises(GateUnavailable, match=r"(?i)function not found"):
        RedisGate(client, partition="library").epoch()
