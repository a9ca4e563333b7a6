"""An empty or foreign gate refuses; a rebuild brings back windows, budgets, reservations and who waits."""

from __future__ import annotations

import dataclasses
import uuid

import pytest
import redis

from rateguard.engine.errors import GateEpochLost, GateUnavailable
from rateguard.engine.gate.contract import LAYOUT, Charge, Configuration, Holder, ReservationId, Running, Step
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Level
from tests.contract.gate_line import Clock, Line, budget, deployment, ended, ids, model, node, places, requests, sent, tokens

DEAR = deployment("a:r", output_pico=1_000_000)
RESERVATION = ReservationId(uuid.UUID(int=1), 1)
CALLS = {
    "step": lambda gate: gate.step(Step("c", 1)),
    "beat": lambda gate: gate.beat(Holder("w", 1, tuple(Lane))),
    "leave": lambda gate: gate.leave("w"),
    "adopt": lambda gate: gate.adopt(RESERVATION, "w"),
    "suspects": lambda gate: gate.suspects(1),
    "held": lambda gate: gate.held(0, 1),
    "inspect": lambda gate: gate.inspect(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_empty_gate_refuses_every_call(line, call):
    assert line.gate.epoch() is None

    with pytest.raises(GateEpochLost):
        call(line.gate)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_gate_that_was_cleared_refuses_every_call_until_it_is_opened(line, call):
    line.open()
    line.gate.clear()
    line.gate.configure(Configuration(1))
    line.gate.restore((), (), ())
    with pytest.raises(GateEpochLost):
        call(line.gate)

    line.gate.open(2)

    call(line.gate)
    assert line.gate.epoch() == 2


@pytest.fixture
def redis_line(redis_url):
    clock = Clock()
    with connect(redis_url, 5_000) as client:
        yield Line(RedisGate(client, partition="rebuild", now_ms=clock), clock), client


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("epoch", [f"{LAYOUT + 1}:1", "nonsense", f"{LAYOUT}:", ""])
def test_a_gate_of_a_foreign_layout_refuses_every_call(redis_line, call, epoch):
    line, client = redis_line
    line.open()
    client.set("{rg:rebuild}:epoch", epoch)

    assert line.gate.epoch() is None
    with pytest.raises(GateEpochLost):
        call(line.gate)


def test_flushall_is_noticed_by_the_next_call(redis_line):
    line, client = redis_line
    line.open()
    client.flushall()

    with pytest.raises(GateEpochLost):
        line.step(1)


def test_scripts_that_the_server_has_lost_are_loaded_again(redis_line):
    line, client = redis_line
    line.open()
    line.enqueue(line.job())
    client.script_flush()

    assert len(line.step(1).granted) == 1


def test_a_server_that_is_away_is_unavailable_for_every_call():
    with connect("redis://127.0.0.1:1/0", 200) as client:
        gate = RedisGate(client)
        for call in (*CALLS.values(), lambda gate: gate.epoch(), lambda gate: gate.clear(), lambda gate: gate.open(1)):
            with pytest.raises(GateUnavailable):
                call(gate)


def test_a_server_that_may_not_write_is_unavailable_not_broken(redis_line, redis_url):
    line, _ = redis_line
    line.open()
    with redis.Redis.from_url(redis_url) as admin:
        used = admin.info("memory")["used_memory"]
        admin.config_set("maxmemory", max(1, used - 100_000))
        try:
            with pytest.raises(GateUnavailable):
                line.step(1, enqueue=line.jobs(1))
        finally:
            admin.config_set("maxmemory", 0)

    assert len(line.step(1, enqueue=line.jobs(1)).granted) == 1


def test_partitions_know_nothing_of_each_other(redis_url):
    with connect(redis_url, 5_000) as client:
        one, two = (Line(RedisGate(client, partition=name, now_ms=(clock := Clock())), clock) for name in ("one", "two"))
        one.open()
        two.open()
        one.enqueue(one.job())

        assert two.step(1).granted == ()
        two.gate.clear()
        assert len(one.step(1).granted) == 1


def test_the_version_is_raised_and_never_lowered(line):
    line.open()
    line.configure(version=9)
    line.configure(version=4)

    assert line.step().version == 9


def test_a_record_read_from_older_rows_undoes_no_newer_one(line):
    line.open(requests("l:r", 10, 60_000), scopes=[node("p", "l:r")])
    line.configure(requests("l:r", 3, 60_000), version=9, scopes=(node("p", "l:r"),))
    line.configure(requests("l:r", 10, 60_000), version=8, scopes=(node("p"),))
    line.configure(version=8, forget_limits=("l:r",))
    line.enqueue(*line.jobs(5))

    assert len(line.admit_all()) == 3


def test_a_forgotten_record_does_not_come_back_with_an_older_push(line):
    line.open(requests("l:r", 1, 60_000), scopes=[node("p", "l:r")])
    line.configure(version=9, forget_limits=("l:r",))
    line.configure(requests("l:r", 1, 60_000), version=8)
    line.enqueue(*line.jobs(3))

    assert len(line.admit_all()) == 3


def test_a_grant_carries_the_gates_epoch(line):
    line.open()
    line.gate.clear()
    line.gate.configure(Configuration(1, (), (node("p"),), (model("m", DEAR),)))
    line.gate.open(7)

    assert line.step().epoch == 7


# ---- a whole rebuild

LIMITS = (
    requests("a:r", 40, 60_000, guard_ms=500, gives_back=False),
    tokens("t:t", 2_000, 10_000, Level.TENANT),
    places("t:c", 9, Level.TENANT),
    budget("t:b", 10_000_000),
)
CONFIGURATION = Configuration(3, LIMITS, (node("p", "t:t", "t:c", "t:b"), node("q")), (model("m", DEAR),))


def busy_line(line: Line) -> tuple[list, list]:
    """A gate in the middle of its work: (what ended, what runs), each with the time of its sending."""
    line.gate.clear()
    line.gate.configure(CONFIGURATION)
    line.gate.open(1)
    line.beat()
    line.enqueue(*line.jobs(12, size=200, answer=49), *line.jobs(30, "q", size=100))
    done, running = [], []
    for second in range(4):
        granted = line.step(6).granted
        now_ms = line.clock.now_ms
        line.step(sent=sent(granted))
        if second % 2:
            line.wait(500)
            line.step(settle=ended(granted, input_tokens=1, output_tokens=19, cost=19_000))
            done += [(grant, now_ms) for grant in granted]
        else:
            running += [(grant, now_ms) for grant in granted]
        line.wait(1_000)
    return done, running


def rebuild(line: Line, done, running, jobs) -> None:
    """As the rebuilder does from rows."""
    now_ms, gate = line.clock.now_ms, line.gate
    charges = []
    for grant, at_ms in done:
        charges.append(Charge("a:r", 1, now_ms - at_ms))
        if jobs[grant.reservation.job].path == "p":
            charges += [Charge("t:t", 20, now_ms - at_ms), Charge("t:b", 19_000, now_ms - at_ms)]
    rows = []
    for grant, at_ms in running:
        row = dataclasses.replace(jobs[grant.reservation.job], attempt=grant.reservation.attempt)
        rows.append(Running(row, grant.deployment, "w", now_ms - at_ms, grant.cost))
    gone = {grant.reservation.job for grant, _ in (*done, *running)}
    gate.clear()
    gate.configure(CONFIGURATION)
    gate.restore(tuple(charges), tuple(rows), tuple(job for job in jobs.values() if job.job not in gone))
    gate.open(2)
    line.beat()


@pytest.fixture
def jobs_of(monkeypatch):
    """Every job that a line made."""
    made, make = {}, Line.job

    def job(self, *args, **more):
        new = make(self, *args, **more)
        made[new.job] = new
        return new

    monkeypatch.setattr(Line, "job", job)
    return made


def test_a_rebuild_reproduces_windows_budgets_reservations_and_who_waits(line, jobs_of):
    done, running = busy_line(line)
    before, held = line.gate.inspect(), line.gate.held(0, 99)[1]
    assert before.waiting
    assert before.reservations

    rebuild(line, done, running, jobs_of)

    after = line.gate.inspect()
    assert after == dataclasses.replace(before, breakers=(), statistics=())  # what they counted is forgotten: they start anew
    assert sorted(line.gate.held(0, 99)[1], key=str) == sorted(held, key=str)


def test_a_restored_reservation_gives_back_when_it_settles(line, jobs_of):
    done, running = busy_line(line)
    rebuild(line, done, running, jobs_of)
    on_p = [grant for grant, _ in running if jobs_of[grant.reservation.job].path == "p"]
    before = {use.id: use for use in line.gate.inspect().limits}

    line.step(settle=ended(on_p, input_tokens=1, output_tokens=9, cost=1_000))

    after = {use.id: use for use in line.gate.inspect().limits}
    assert after["t:t"].used == before["t:t"].used - 40 * len(on_p)
    assert after["t:c"].used == before["t:c"].used - len(on_p)
    assert after["t:b"].reserved == before["t:b"].reserved - sum(grant.cost for grant in on_p)
    assert after["t:b"].used == before["t:b"].used - sum(grant.cost for grant in on_p) + 1_000 * len(on_p)
    assert after["a:r"].used == before["a:r"].used


def test_a_restored_window_opens_when_the_old_one_would_have(line, jobs_of):
    done, running = busy_line(line)
    rebuild(line, done, running, jobs_of)

    granted = len(line.admit_all())
    assert len(done) + len(running) + granted == 40
    line.go_to(min(at for _, at in done + running) + 59_999)
    assert line.admit_all() == []
    line.wait(1_000)
    assert len(line.admit_all()) == min(2, 42 - 40)


def test_a_job_that_runs_is_not_granted_beside_after_a_rebuild(line, jobs_of):
    done, running = busy_line(line)
    rebuild(line, done, running, jobs_of)
    again = [jobs_of[grant.reservation.job] for grant, _ in running]

    line.step(enqueue=again)

    assert not set(ids(line.step(100))) & {job.job for job in again}


def test_a_restored_holder_that_stays_silent_is_dead_12_seconds_after_the_rebuild(line, jobs_of):
    done, running = busy_line(line)
    rebuild(line, done, running, jobs_of)
    line.die("w")
    line.beat("other")
    for _ in range(4):
        line.wait(3_000)
    assert line.gate.suspects(99) == ()

    line.wait(3_000)

    assert {held.reservation for held in line.gate.suspects(99)} == {grant.reservation for grant, _ in running}


def test_a_reservation_restored_twice_counts_once(line, jobs_of):
    line.gate.configure(CONFIGURATION)
    job = dataclasses.replace(line.job(size=200), attempt=1)
    running = Running(job, "1", "w", 100, 5_000)
    line.gate.restore((), (running,), ())
    line.gate.restore((), (running,), ())
    line.gate.open(1)

    assert line.used("t:b") == line.reserved("t:b") == 5_000
    assert line.used("t:c") == 1


def test_restored_waiting_jobs_keep_their_order(line):
    line.gate.configure(CONFIGURATION)
    jobs = line.jobs(5, "q")
    line.gate.restore((), (), tuple(reversed(jobs)))
    line.gate.open(1)
    line.beat()

    assert ids(line.step(9)) == [job.job for job in jobs]
