"""A provider's `not before` closes the account or the deployment that it names, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.gate.contract import Cooldown, NoticeKind
from tests.contract.gate_breaker import (
    CLOSED,
    FAILURE,
    RULE,
    end,
    grant,
    open_with,
    state,
    view,
)
from tests.contract.gate_line import START_MS, deployment, ended, ids, model, requests


@pytest.mark.parametrize("target", ["a1", "d1"])
def test_a_cooldown_closes_the_account_or_deployment_until_it_is_over(line, target):
    open_with(line)
    (one,) = grant(line, 1)
    line.step(settle=ended([one], cooldown=Cooldown(target, 7_000)))
    line.enqueue(line.job())

    reply = line.step(1)
    assert (reply.granted, reply.binding, reply.next_ready_ms) == ((), target, START_MS + 7_000)
    assert line.gate.inspect(()).cooling == (Cooldown(target, 7_000),)
    line.go_to(START_MS + 6_999)
    assert line.step(1).granted == ()
    line.go_to(START_MS + 7_000)
    assert len(line.step(1).granted) == 1
    assert line.gate.inspect(()).cooling == ()


def test_a_cooled_account_closes_all_its_deployments_and_a_cooled_deployment_only_itself(line):
    one = deployment(name="1")
    two = dataclasses.replace(deployment(name="2"), cools=("a1", "d2"))
    other = deployment(name="3")
    line.open(models=[model("m", one), model("n", two), model("o", other)])

    def open_models(target: str) -> set[str]:
        (started,) = grant(line, 1)
        line.step(settle=ended([started], cooldown=Cooldown(target, 1_000)))
        line.enqueue(line.job(to="m"), line.job(to="n"), line.job(to="o"))
        granted = {each.model for each in line.admit_all()}
        line.wait(1_000)
        line.admit_all()
        return granted

    assert open_models("d1") == {"n", "o"}
    assert open_models("a1") == {"o"}


def test_the_longer_of_two_cooldowns_stands(line):
    open_with(line)
    first, second = grant(line, 2)
    line.step(settle=ended([first], cooldown=Cooldown("a1", 9_000)))
    line.step(settle=ended([second], cooldown=Cooldown("a1", 1_000)))
    line.enqueue(line.job())

    assert line.step(1).next_ready_ms == START_MS + 9_000


def test_a_cooldown_counts_although_its_attempt_is_gone_already(line):
    open_with(line)
    (one,) = grant(line, 1)
    line.step(settle=ended([one]))

    line.step(settle=ended([one], cooldown=Cooldown("d1", 3_000)))
    line.enqueue(line.job())

    assert line.step(1).next_ready_ms == START_MS + 3_000


def test_while_one_deployment_cools_another_takes_the_work(line):
    open_with(line, RULE, deployment(name="2"))
    (one,) = grant(line, 1)
    line.enqueue(*line.jobs(2))

    reply = line.step(2, settle=ended([one], cooldown=Cooldown("a1", 5_000)))

    assert [each.deployment for each in reply.granted] == ["2", "2"]


def test_people_hear_of_a_cooldown_for_good_once_and_of_a_passing_one_never(line):
    open_with(line)
    passing, *spent = grant(line, 4)
    line.step(settle=ended([passing], cooldown=Cooldown("d1", 5_000)))
    for one in spent:
        line.step(settle=ended([one], cooldown=Cooldown("a1", 9_000, "its money is spent")))

    (notice,) = line.notices()
    assert (notice.kind, notice.subject, notice.detail) == (NoticeKind.COOLED, "a1", "its money is spent")
    assert (notice.period, notice.at_ms) == (START_MS + 9_000, START_MS)


def test_a_cooldown_never_moves_the_breaker(line):
    open_with(line)
    for one in grant(line, 30):
        line.step(settle=ended([one], cooldown=Cooldown("d1", 1)))

    assert (state(line), view(line).calls) == (CLOSED, 0)


@pytest.mark.parametrize("first", ["breaker", "cooldown"])
def test_breaker_cooldown_and_limit_bind_together_and_the_last_to_open_is_told(line, first):
    open_ms, cool_ms = (5_000, 9_000) if first == "breaker" else (9_000, 5_000)
    rule = dataclasses.replace(RULE, open_ms=open_ms)
    line.open(requests("d:r", 100, 1_000), models=[model("m", deployment("d:r", rule=rule))])
    granted = grant(line, 5)
    end(line, granted[:4], FAILURE)
    line.step(settle=ended(granted[4:], verdict=FAILURE, cooldown=Cooldown("d1", cool_ms)))
    job = line.job()

    reply = line.step(1, enqueue=(job,))
    assert reply.next_ready_ms == START_MS + 9_000
    line.go_to(START_MS + 9_000)

    assert ids(line.step(1)) == [job.job]
