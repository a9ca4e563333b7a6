"""What a deployment's calls showed, and what the gate tells of a reservation that is its only record."""

from __future__ import annotations

import pytest

from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.gate.contract import DeploymentStatistics, HeldReservation, Running, Settlement, WorkClass
from rateguard.engine.gate.holders import GateSettings
from tests.contract.gate_line import deployment, model, node, sent, tokens


def end(line, *calls: tuple[Verdict, int], used: bool = True) -> None:
    """Calls that end in one step, one after the other."""
    line.enqueue(*line.jobs(len(calls)))
    granted = line.admit_all()
    figures = zip(granted, calls, strict=True)
    line.step(settle=tuple(Settlement(one.reservation, used, verdict=verdict, latency_ms=ms) for one, (verdict, ms) in figures))


def shown(line) -> DeploymentStatistics:
    (found,) = line.gate.inspect(()).statistics
    return found


def test_nothing_is_known_before_a_call_ended(line):
    line.open()
    line.enqueue(line.job())
    line.admit_all()

    assert line.gate.inspect(()).statistics == ()


def test_the_first_latency_is_the_mean_and_an_eighth_of_each_later_one_counts(line):
    line.open()
    end(line, (Verdict.SUCCESS, 800))
    assert shown(line) == DeploymentStatistics("1", 1, 800, 0, 0)

    end(line, (Verdict.SUCCESS, 1_600), (Verdict.SUCCESS, 100))
    line.wait(70)

    assert shown(line) == DeploymentStatistics("1", 3, 800 + 100 - 100, 0, 70)


def test_a_mean_is_whole_and_rounded_down(line):
    line.open()
    end(line, (Verdict.SUCCESS, 10), (Verdict.SUCCESS, 9))
    assert shown(line).latency_ms == 9  # 9,875 µs

    end(line, *[(Verdict.SUCCESS, 0)] * 60)
    assert shown(line).latency_ms == 0

    end(line, *[(Verdict.SUCCESS, 1)] * 60)

    assert shown(line).latency_ms == 0  # 993 µs: an eighth of the last 7 is nothing


def test_failures_are_a_mean_of_their_own_and_say_nothing_of_the_latency(line):
    line.open(models=[model("m", deployment(name="1"))])
    end(line, (Verdict.SUCCESS, 500), (Verdict.FAILURE, 60_000))
    assert shown(line) == DeploymentStatistics("1", 2, 500, 125, 0)

    end(line, (Verdict.SUCCESS, 500))

    assert shown(line) == DeploymentStatistics("1", 3, 500, 109, 0)


def test_a_call_that_says_nothing_of_its_deployment_is_counted_alone(line):
    line.open()
    end(line, (Verdict.NONE, 900))

    assert shown(line) == DeploymentStatistics("1", 1, None, 0, 0)


@pytest.mark.parametrize(("verdict", "calls"), [(Verdict.NONE, []), (Verdict.FAILURE, [1])])
def test_what_was_given_back_counts_only_where_it_says_something(line, verdict, calls):
    line.open()
    end(line, (verdict, 0), used=False)

    assert [one.calls for one in line.gate.inspect(()).statistics] == calls


def test_an_end_that_is_told_twice_counts_once(line):
    line.open()
    line.enqueue(line.job())
    (grant,) = line.admit_all()
    again = Settlement(grant.reservation, used=True, verdict=Verdict.SUCCESS, latency_ms=5)

    line.step(settle=(again, again))
    line.step(settle=(again,))

    assert shown(line).calls == 1


# ---- synchronous calls


@pytest.fixture
def bounded(make_line):
    return make_line(GateSettings(send_by_ms=5_000, dead_after_ms=12_000, unsent_per_worker=100))


CALL = {"work_class": WorkClass.SYNC, "size": 8, "answer": 3}


def test_a_synchronous_call_needs_no_worker_and_takes_no_slot(bounded):
    bounded.open(slots=1)
    bounded.beat("web", slots=0)
    bounded.enqueue(*bounded.jobs(3, **CALL), *bounded.jobs(2))

    granted = bounded.step(9).granted
    bounded.step(sent=sent(granted[:3], "web"))

    assert [grant.work_class.name for grant in granted] == ["SYNC"] * 3 + ["JOB"]
    assert bounded.gate.inspect(()).unsent == 1
    bounded.step(sent=sent(granted[3:]), settle=tuple(Settlement(one.reservation, used=True) for one in granted[:3]))
    assert bounded.admit_all() == []


def test_what_a_dead_process_held_of_synchronous_calls_is_told_whole(bounded):
    models = [model("m", deployment(name="4", input_pico=1_000, output_pico=2_000), deployment(name="5"))]
    bounded.open(scopes=[node("p")], models=models)
    bounded.beat("web", slots=0)
    bounded.enqueue(*bounded.jobs(2, on="p|user:a", to="m!-5", **CALL))
    claimed, unclaimed = bounded.step(9).granted
    bounded.step(sent=sent([claimed], "web"))
    bounded.die("web")
    for _ in range(3):
        bounded.wait(5_000)

    of_call = {"path": "p|user:a", "model": "m!-5", "deployment": "4", "cost": 15, "work_class": WorkClass.SYNC}
    tokens_of_it = {"input_tokens": 1, "output_tokens": 3, "max_output_tokens": 7}

    assert bounded.gate.suspects(9) == (
        HeldReservation(unclaimed.reservation, "", is_alive=False, age_ms=15_000, **of_call, **tokens_of_it),
        HeldReservation(claimed.reservation, "web", is_alive=False, age_ms=15_000, **of_call, **tokens_of_it),
    )


def test_a_synchronous_call_is_adopted_without_a_slot(bounded):
    bounded.open(slots=1)
    bounded.beat("web", slots=0)
    bounded.enqueue(*bounded.jobs(1, **CALL), bounded.job())
    call, _ = bounded.step(9).granted

    bounded.gate.adopt(call.reservation, "web")

    (held,) = [one for one in bounded.gate.held(0, 9)[1] if one.work_class == WorkClass.SYNC]
    assert (held.holder, held.is_alive) == ("web", True)
    assert bounded.gate.inspect(()).unsent == 1


def test_a_synchronous_call_comes_back_in_a_rebuild_without_a_slot(bounded):
    bounded.open(tokens("l", 100), slots=1, models=[model("m", deployment("l"))])
    running = bounded.job(attempt=1, **CALL)
    bounded.gate.clear()
    bounded.configure(tokens("l", 100), scopes=[node("p")], models=[model("m", deployment("l"))])
    bounded.gate.restore((), (Running(running, "1", "web", 0, 7),), ())
    bounded.gate.open(2)
    bounded.beat(slots=1)

    (held,) = bounded.gate.held(0, 9)[1]
    assert (held.work_class, held.cost, held.output_tokens, bounded.used("l")) == (WorkClass.SYNC, 7, 3, 4)
    bounded.enqueue(*bounded.jobs(2))
    assert len(bounded.admit_all()) == 1
