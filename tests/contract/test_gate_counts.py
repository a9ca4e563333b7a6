"""What is counted is counted once, where it belongs, and for as long as it should be."""

from __future__ import annotations

import dataclasses
import random

import pytest

from rateguard.engine.errors import GateEpochLost
from rateguard.engine.gate.contract import Charge, Configuration, Running, Settlement
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.engine.keys import GATE_KEYS, gate_prefix
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Level
from tests.contract.gate_breaker import RULE, calls, open_with, view
from tests.contract.gate_budget import DAYS, DEAR, HOUR_MS
from tests.contract.gate_line import MANY_SLOTS, START_MS, Clock, Line, budget, deployment, ended, ids, model, node, places, requests, sent

# ---- windows


@pytest.mark.parametrize("level", list(Level))
def test_a_charge_that_moves_to_its_sending_counts_once(line, level):
    line.open(requests("l:r", 10, level=level), scopes=[node("p", "l:r")])
    line.enqueue(*line.jobs(3))
    granted = line.admit_all()
    line.wait(5_000)

    line.step(sent=sent(granted))

    assert line.used("l:r") == 3


@pytest.mark.parametrize("level", list(Level))
def test_a_window_made_longer_keeps_what_was_used_and_no_more(line, level):
    line.open(requests("l:r", 10, 60_000, level), scopes=[node("p", "l:r")])
    for _ in range(3):
        line.enqueue(line.job())
        line.admit_all()
        line.wait(20_000)

    line.configure(requests("l:r", 10, 600_000, level))

    assert line.used("l:r") == 3


def test_what_is_parked_under_a_busy_window_goes_as_soon_as_something_comes_back(line):
    """Busy: it counts something in very many slices."""
    line.open(requests("l:r", 30, level=Level.TENANT), scopes=[node("p", "l:r")])
    granted = []
    for _ in range(30):
        line.enqueue(line.job())
        granted += line.admit_all()
        line.wait(300)
    waits = line.job()
    assert line.step(1, enqueue=(waits,)).granted == ()

    reply = line.step(1, settle=(Settlement(granted[5].reservation, used=False),))

    assert ids(reply) == [waits.job]


def test_a_record_edited_in_the_very_call_that_takes_it_from_a_scope_stands_as_edited(line):
    line.open(requests("l:r", 2, level=Level.TENANT), scopes=[node("p", "l:r"), node("q")])
    line.enqueue(*line.jobs(5))
    assert len(line.admit_all()) == 2

    line.configure(requests("l:r", 5, level=Level.TENANT), scopes=(node("p"), node("q", "l:r")))

    assert len(line.admit_all()) == 3
    use = line.gate.inspect(("l:r",)).limits[0]
    assert (use.used, use.amount) == (2, 5)
    line.enqueue(*line.jobs(9, "q"))
    assert len(line.admit_all()) == 3


def test_a_full_limit_names_no_moment_where_only_a_settlement_helps(line):
    line.open(places("l:c", 1))
    line.configure(places("l:c", 1), scopes=(node("p", "l:c"),))
    assert line.next_ms("l:c") == 0

    line.enqueue(line.job())
    line.admit_all()

    assert line.next_ms("l:c") is None


def test_what_is_free_to_the_first_lane_alone_is_free_at_once_to_who_looks(line):
    line.open(
        places("l:c", 3), places("k:c", 2, reserve_permille=500, reserve_lane=Lane.CRITICAL), scopes=[node("p", "l:c"), node("q", "k:c")]
    )
    line.enqueue(*line.jobs(2), line.job("q"))
    assert len(line.admit_all()) == 3

    assert (line.next_ms("l:c"), line.next_ms("k:c")) == (0, 0)


def test_limits_are_looked_at_in_one_order_whatever_order_they_are_asked_in_and_each_once(line):
    line.open(*(places(name, 1) for name in "cab"))

    assert [use.id for use in line.gate.inspect(("b", "c", "a", "c", "none")).limits] == ["a", "b", "c"]
    assert [use.id for use in line.gate.inspect().limits] == ["a", "b", "c"]


# ---- budgets


def test_a_threshold_of_one_per_cent_is_noticed_after_less_than_that_was_spent(line):
    line.open(budget("b", 10_000, thresholds=(1, 50)), scopes=[node("p", "b")], models=[model("m", deployment(output_pico=1_000_000))])
    for cost, noticed in ((50, []), (60, [1])):
        line.enqueue(line.job())
        line.step(settle=ended(line.admit_all(), cost=cost))
        assert [notice.value for notice in line.notices()] == noticed


# ---- nodes


def test_nodes_that_still_count_are_in_the_way_of_no_other_that_is_swept(line):
    """More of them than one sweep looks at."""
    line.open(places("d:c", 1, Level.LEAF), scopes=[node("p", user=("d:c",))])
    line.enqueue(*(line.job(f"p|user:{number:03d}") for number in range(230)))
    granted = line.admit_all()
    assert line.nodes() == {"p": 230}
    line.step(settle=ended(granted[-20:]))

    for _ in range(3):
        line.wait(2_000)

    assert line.nodes() == {"p": 210}


def test_a_node_whose_held_job_has_gone_is_swept_when_it_counts_no_more(line):
    of_a_day = budget("d:b", 5_000, Level.LEAF, on_exhausted=Exhausted.HOLD, periods=DAYS)
    line.open(of_a_day, scopes=[node("p", user=("d:b",))], models=[DEAR])
    line.enqueue(*line.jobs(6, "p|user:a"))
    first = line.admit_all()
    assert len(first) == 5
    line.step(settle=ended(first, cost=1_000))

    line.go_to(DAYS[2])
    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in line.admit_all()))

    assert line.uses("d:b@user:a") == [0]
    for _ in range(3):
        line.wait(HOUR_MS)
    assert line.nodes() == {}


def test_who_has_a_live_node_takes_no_new_nodes_place(make_line):
    line = make_line(GateSettings(unsent_per_worker=MANY_SLOTS, most_nodes=2))
    line.open(places("d:c", 9, Level.LEAF), scopes=[node("p", user=("d:c",))])
    line.enqueue(line.job("p|user:a"))
    line.admit_all()

    reply = line.step(9, enqueue=(line.job("p|user:a"), line.job("p|user:a"), line.job("p|user:b")))

    assert (len(reply.granted), reply.refused) == (3, ())
    assert line.nodes() == {"p": 2}


def test_what_runs_over_a_rebuild_brings_its_default_node_to_life(line):
    line.gate.clear()
    line.gate.configure(Configuration(1, (places("d:c", 2, Level.LEAF),), (node("p", user=("d:c",)),), (model("m", deployment()),)))
    job = dataclasses.replace(line.job("p|user:a"), attempt=1)
    line.gate.restore((), (Running(job, "1", "w", 100, 0),), ())
    line.gate.open(2)
    line.beat()

    assert line.uses("d:c@user:a") == [1]
    assert line.nodes() == {"p": 1}
    line.enqueue(*line.jobs(3, "p|user:a"))
    assert len(line.admit_all()) == 1


def test_what_runs_over_a_rebuild_charges_what_is_left_of_its_limits(line):
    line.gate.clear()
    scopes, models = (node("p", "t:c", "gone"),), (model("m", deployment("gone too", "d:c")),)
    line.gate.configure(Configuration(1, (places("t:c", 2), places("d:c", 2)), scopes, models))
    line.gate.restore((Charge("gone", 1, 0),), (Running(dataclasses.replace(line.job(), attempt=1), "1", "w", 100, 0),), ())
    line.gate.open(2)
    line.beat()

    assert line.uses("t:c", "d:c") == [1, 1]


# ---- holders and breakers


def test_who_holds_is_told_as_alive_or_dead(make_line):
    line = make_line(GateSettings())
    line.open(slots=5)
    line.enqueue(*line.jobs(3))
    first, second, _ = line.admit_all()
    line.beat("other", slots=5)
    line.step(sent=sent([first], "w") + sent([second], "other"))
    line.die("other")
    for _ in range(3):
        line.wait(5_000)

    held = {one.reservation: (one.holder, one.is_alive, one.age_ms) for one in line.gate.held(0, 100)[1]}

    assert held[first.reservation] == ("w", True, 15_000)
    assert held[second.reservation] == ("other", False, 15_000)
    assert sorted(figures for figures in held.values() if not figures[0]) == [("", False, 15_000)]
    assert {one.is_alive for one in line.gate.suspects(10)} == {False}


def test_a_silence_of_all_longer_than_six_seconds_is_nobodys_death(make_line):
    line = make_line(GateSettings())
    line.open(slots=5)
    line.enqueue(line.job())
    line.step(sent=sent(line.admit_all()))
    seen = []
    for at_ms in (6_500, 12_100, 18_000, 18_400, 18_600):  # the gate was away before the first; after it somebody asks in time
        line.clock.now_ms = START_MS + at_ms
        seen.append(len(line.gate.suspects(10)))

    assert seen == [0, 0, 0, 0, 1]


def test_a_silence_that_somebody_breaks_within_six_seconds_counts(make_line):
    line = make_line(GateSettings())
    line.open(slots=5)
    line.enqueue(line.job())
    line.step(sent=sent(line.admit_all()))
    seen = []
    for at_ms in (5_900, 11_800, 12_100):
        line.clock.now_ms = START_MS + at_ms
        seen.append(len(line.gate.suspects(10)))

    assert seen == [0, 0, 1]


def test_a_breaker_that_is_looked_at_later_no_longer_counts_what_left_its_window(line):
    open_with(line)
    calls(line, 2, 3)
    assert (view(line).calls, view(line).failures) == (5, 2)

    line.wait(RULE.window_ms + 5_000)

    assert (view(line).calls, view(line).failures) == (0, 0)


def test_a_reset_that_finds_nothing_to_forget_is_no_transition(line):
    open_with(line)
    calls(line, 2)
    line.wait(RULE.window_ms + 5_000)
    before = view(line)

    line.gate.reset_breaker("1")

    assert view(line) == before
    assert line.notices() == []


def test_a_notice_of_a_breaker_has_its_generation_and_no_period(line):
    open_with(line)
    calls(line, 5)

    assert [(notice.subject, notice.value - view(line).generation, notice.period) for notice in line.notices()] == [("1", 0, 0)]


# ---- rebuilds


def test_parts_of_a_rebuild_that_another_has_overtaken_change_nothing(redis_url):
    with connect(redis_url, 5_000) as client:
        first, second = (RedisGate(client, GateSettings(), "overtaken", Clock()) for _ in range(2))
        first.clear()
        first.configure(Configuration(1, (places("t:c", 9),), (node("p", "t:c"),), (model("m", deployment()),)))
        second.clear()
        second.configure(Configuration(1, (places("t:c", 9),), (node("p", "t:c"),), (model("m", deployment()),)))
        with pytest.raises(GateEpochLost):
            first.restore((Charge("t:c", 5, 0),), (), ())
        with pytest.raises(GateEpochLost):
            first.open(1)
        second.open(2)

        assert second.epoch() == 2
        assert second.inspect(("t:c",)).limits[0].used == 0


def test_of_very_many_scopes_each_is_written(line):
    line.open(scopes=[node(f"p{number}") for number in range(2_300)])

    assert all(line.gate.limits_of(f"p{number}") == () for number in range(0, 2_300, 33))
    assert line.gate.limits_of("p2300") is None


# ---- order


@pytest.mark.parametrize("want", [1, 7, 100])
def test_a_lower_lane_is_granted_twentieth_however_many_a_step_grants(line, want):
    line.open()
    line.enqueue(*line.jobs(40, lane=Lane.HIGH), *line.jobs(3, lane=Lane.LOW))

    lanes = [grant.lane for grant in line.admit_all(want)]

    assert [place for place, lane in enumerate(lanes[:40]) if lane == Lane.LOW] == [19, 39]


def test_what_a_user_was_served_before_the_hour_ended_counts_after_it(line):
    line.open()
    line.wait(HOUR_MS - START_MS % HOUR_MS - 60_000)
    line.enqueue(line.job("p|user:a", size=1_000))
    line.admit_all()
    line.wait(120_000)

    few, many = line.jobs(10, "p|user:a", size=10), line.jobs(10, "p|user:b", size=10)
    line.enqueue(*few, *many)

    assert [grant.reservation.job for grant in line.admit_all()] == [job.job for job in (*many, *few)]


def test_what_users_were_served_is_forgotten_after_three_hours_and_what_tenants_were_never(redis_url):
    with connect(redis_url, 5_000) as client:
        line = Line(RedisGate(client, GateSettings(unsent_per_worker=MANY_SLOTS), "tags", clock := Clock()), clock)
        line.open()
        for _ in range(2):
            line.enqueue(*line.jobs(3, "p|user:a"))
            line.admit_all()

        names = {kind: list(client.scan_iter(f"{gate_prefix('tags')}{GATE_KEYS[kind]}*")) for kind in ("finish", "user_finish")}

        assert {client.ttl(name) for name in names["finish"]} == {-1}
        assert names["user_finish"]
        assert all(3 * 3_600 - 60 < client.ttl(name) <= 3 * 3_600 for name in names["user_finish"])


@pytest.mark.parametrize("seed", range(6))
def test_both_twins_grant_in_one_order_by_weights_and_sizes(redis_url, seed):
    """Tags are whole numbers, rounded alike."""
    with connect(redis_url, 5_000) as client:
        orders, clock, patience = [], Clock(), GateSettings(unsent_per_worker=MANY_SLOTS)
        for gate in (MemoryGate(patience, clock), RedisGate(client, patience, "order", clock)):
            rnd, line = random.Random(seed), Line(gate, clock)
            weights = {name: rnd.choice([1, 3, 7, 11, 13]) for name in ("p", "q", "p|user:a", "p|user:b", "q|user:c")}
            line.open(scopes=[node(name, weight=weight) for name, weight in weights.items()])
            paths = ["p", "q", "p|user:a", "p|user:b", "q|user:c", "q|user:d"]
            line.enqueue(*(line.job(rnd.choice(paths), size=rnd.randint(2, 60)) for _ in range(120)))
            orders.append([grant.reservation.job.int for grant in line.admit_all(10)])

    assert orders[0] == orders[1]
    assert len(orders[0]) == 120
