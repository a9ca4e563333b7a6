"""An edit of limits, defaults and scopes acts on the next grant, and nothing that is used is lost."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.gate.contract import Refusal
from rateguard.engine.limits.limit import Exhausted, Level
from tests.contract.gate_line import START_MS, bucket, budget, deployment, ended, ids, model, node, pause, places, requests, tokens

DEAR = model("m", deployment(output_pico=1_000_000))
"""1,000 nano-dollars a token of output."""


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("record", [requests("l", 2), bucket("l", 2, 60_000), places("l", 2)], ids=["window", "bucket", "places"])
def test_a_raised_limit_lets_exactly_the_difference_through(line, record, level):
    record = dataclasses.replace(record, level=level)
    line.open(record, scopes=[node("p", "l")])
    line.enqueue(*line.jobs(10))
    assert len(line.admit_all()) == 2

    line.configure(dataclasses.replace(record, amount=5))

    assert len(line.admit_all()) == 3


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("record", [requests("l", 6), places("l", 6)], ids=["window", "places"])
def test_a_lowered_limit_grants_nothing_until_what_is_used_is_below_it(line, record, level):
    record = dataclasses.replace(record, level=level)
    line.open(record, scopes=[node("p", "l")])
    line.enqueue(*line.jobs(4))
    granted = line.admit_all()
    line.enqueue(*line.jobs(4))

    line.configure(dataclasses.replace(record, amount=3))

    assert line.used("l") == 4
    assert line.admit_all() == []
    line.wait(61_000)
    line.step(settle=ended(granted))
    assert len(line.admit_all()) == 3


def test_a_lowered_bucket_waits_longer_for_what_it_gave_already(line):
    line.open(bucket("l", 6, 60_000), scopes=[node("p", "l")])
    line.enqueue(*line.jobs(20))
    assert len(line.admit_all()) == 6

    line.configure(bucket("l", 3, 60_000))

    reply = line.step(9)
    assert reply.granted == ()
    assert reply.next_ready_ms == reply.now_ms + 80_000
    line.go_to(reply.next_ready_ms)
    assert len(line.admit_all()) == 1


@pytest.mark.parametrize("on", ["", "p", "p|team:ml", "p|user:a", "p|run:7", "p|key:1"])
def test_a_limit_added_to_a_scope_with_waiting_jobs_acts_on_the_next_grant(line, on):
    line.open(scopes=[node("p"), node("p|run:7")])
    line.enqueue(*line.jobs(10, "p|team:ml|user:a|run:7|key:1"))
    assert len(line.step(3).granted) == 3

    line.configure(requests("new", 2, level=Level.SHARED if on == "" else Level.LEAF), scopes=(node(on, "new"),))

    assert len(line.admit_all()) == 2
    assert line.used("new") == 2


def test_a_limit_added_to_an_account_or_deployment_acts_on_the_next_grant(line):
    line.open()
    line.enqueue(*line.jobs(10))
    line.step(3)

    line.configure(requests("d:r", 2), models=(model("m", deployment("d:r")),))

    assert len(line.admit_all()) == 2


@pytest.mark.parametrize("kind", ["team", "user", "run", "key"])
def test_a_default_added_to_a_tenant_with_waiting_jobs_acts_on_the_next_grant(line, kind):
    line.open(scopes=[node("p"), node("p|run:a"), node("p|run:b")])
    line.enqueue(*line.jobs(5, f"p|{kind}:a"), *line.jobs(5, f"p|{kind}:b"))

    line.configure(requests("d:r", 1, level=Level.LEAF), scopes=(node("p", **{kind: ("d:r",)}),))

    assert len(line.admit_all()) == 2


@pytest.mark.parametrize(
    ("record", "more"),
    [
        (requests("d", 2, level=Level.LEAF), 3),
        (places("d", 2, Level.LEAF), 3),
        (budget("d", 2_000, Level.LEAF, on_exhausted=Exhausted.HOLD), 3),
    ],
    ids=["window", "places", "budget"],
)
def test_an_edited_default_acts_on_every_node_at_the_next_grant_and_keeps_what_each_has_used(line, record, more):
    line.open(record, scopes=[node("p", user=("d",))], models=[DEAR])
    line.enqueue(*(job for user in "abc" for job in line.jobs(9, f"p|user:{user}")))
    assert len(line.admit_all()) == 3 * 2

    line.configure(dataclasses.replace(record, amount=record.amount // 2 * 5))

    assert len(line.admit_all()) == 3 * more
    assert line.uses("d@user:a", "d@user:b", "d@user:c") == [record.amount // 2 * 5] * 3


def test_a_default_made_smaller_binds_nodes_by_what_they_have_used_already(line):
    line.open(requests("d:r", 5, level=Level.LEAF), scopes=[node("p", user=("d:r",))])
    line.enqueue(*line.jobs(4, "p|user:a"), line.job("p|user:b"))
    line.admit_all()

    line.configure(requests("d:r", 3, level=Level.LEAF))
    line.enqueue(*line.jobs(4, "p|user:a"), *line.jobs(4, "p|user:b"))

    assert len(line.admit_all()) == 2
    assert line.uses("d:r@user:a", "d:r@user:b") == [4, 3]


def test_a_node_that_gets_a_limit_of_its_own_is_freed_from_the_default_that_parked_it(line):
    line.open(places("d:c", 1, Level.LEAF), scopes=[node("p", user=("d:c",))])
    line.enqueue(*line.jobs(6, "p|user:a"))
    assert len(line.admit_all()) == 1

    line.configure(places("own:c", 3, Level.LEAF), scopes=(node("p|user:a", "own:c", without=("d:c",)),))

    assert len(line.admit_all()) == 3


@pytest.mark.parametrize("kind", ["user", "tenant"])
def test_a_default_that_a_scope_no_longer_gives_frees_what_it_parked(line, kind):
    above = {"user": "p", "tenant": ""}[kind]
    level = {"user": Level.LEAF, "tenant": Level.TENANT}[kind]
    line.open(places("d:c", 1, level), scopes=[node("p"), node(above, **{kind: ("d:c",)})])
    line.enqueue(*line.jobs(4, "p|user:a"))
    assert len(line.admit_all()) == 1

    line.configure(scopes=(node(above),))

    assert len(line.admit_all()) == 3


def test_held_jobs_are_freed_when_the_default_budget_is_taken_away(line):
    line.open(budget("d:b", 1_000, Level.LEAF, on_exhausted=Exhausted.HOLD), scopes=[node("p", user=("d:b",))], models=[DEAR])
    line.enqueue(*line.jobs(4, "p|user:a"))
    line.step(settle=ended(line.admit_all(), cost=1_000))
    assert line.admit_all() == []

    line.configure(scopes=(node("p"),))

    assert len(line.admit_all()) == 3


def test_a_forgotten_default_frees_all_nodes_and_keeps_nothing_of_them(line):
    line.open(places("d:c", 1, Level.LEAF), scopes=[node("p", user=("d:c",))])
    line.enqueue(*(job for user in range(20) for job in line.jobs(2, f"p|user:{user}")))
    assert len(line.admit_all()) == 20

    line.configure(forget_limits=("d:c",), scopes=(node("p"),))

    assert (line.key_count(), line.nodes()) == (0, {})
    assert len(line.admit_all()) == 20


def test_a_job_that_fits_no_longer_after_an_edit_is_refused_at_the_next_step(line):
    line.open(tokens("u:t", 100, level=Level.LEAF), scopes=[node("p"), node("p|user:a", "u:t")])
    line.enqueue(line.job("p|user:a", size=60))
    line.configure(tokens("u:t", 50, level=Level.LEAF))

    (refused,) = line.step(1).refused

    assert (refused.reason, refused.binding) == (Refusal.EXCEEDS_LIMIT, "u:t")


def test_an_edit_from_one_kind_to_another_begins_anew_and_frees_what_was_parked(line):
    line.open(places("l", 1, Level.TENANT), scopes=[node("p", "l")])
    line.enqueue(*line.jobs(5))
    assert len(line.admit_all()) == 1

    line.configure(requests("l", 2, level=Level.TENANT))

    assert len(line.admit_all()) == 2


def test_a_limit_may_be_moved_to_another_scope_with_what_is_used(line):
    line.open(requests("l", 3, level=Level.LEAF), scopes=[node("p"), node("p|user:a", "l")])
    line.enqueue(*line.jobs(2, "p|user:a"))
    line.admit_all()

    line.configure(scopes=(node("p|user:a"), node("p|team:ml", "l")))
    line.enqueue(*line.jobs(5, "p|team:ml|user:a"), *line.jobs(2, "p|user:a"))

    assert len(line.admit_all()) == 1 + 2


def test_an_edit_of_a_period_that_began_meanwhile_counts_from_its_beginning(line):
    record = budget("t:b", 3_000, on_exhausted=Exhausted.HOLD, periods=(START_MS - 10,))
    line.open(record, scopes=[node("p", "t:b")], models=[DEAR])
    line.enqueue(*line.jobs(8))
    line.step(settle=ended(line.admit_all(), cost=1_000))
    line.wait(60_000)

    line.configure(dataclasses.replace(record, periods=(START_MS - 10, START_MS + 30_000)))

    assert line.used("t:b") == 0
    assert len(line.admit_all()) == 3


def test_records_that_did_not_change_may_be_written_again_at_any_time(line):
    limits = (requests("w", 3, level=Level.TENANT), bucket("b", 3), places("c", 3, Level.TENANT), pause("off", until_ms=1))
    scopes, models = (node("p", "w", "b", "c", "off", user=("w",)),), (model("m", deployment()),)
    line.open(*limits, scopes=scopes, models=models)
    line.enqueue(*line.jobs(5, "p|user:a"))
    first = line.step(2)

    line.configure(*limits, scopes=scopes, models=models)

    assert len(first.granted) == 2
    assert line.uses("w", "c", "w@user:a") == [2, 2, 2]
    assert len(ids(line.step(9))) == 1
