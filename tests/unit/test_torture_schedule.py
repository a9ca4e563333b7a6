"""The schedule of a campaign: a seed always gives the same faults, no kind is left out, and none strikes a target struck already."""

import itertools

import pytest

from rateguard.torture.faults.kinds import CUT_IN_COMMIT, KINDS
from rateguard.torture.options import FULL_FAULTS, FULL_JOBS, FULL_SEEDS, parse
from rateguard.torture.record import PROMISES, Findings
from rateguard.torture.report import command_for, joined
from rateguard.torture.schedule import DEATH_S, plan, span_of
from rateguard.torture.site import WEBS, WORKERS

SEEDS = range(8)


def ours(planned):
    return [one for one in planned if not one.kind.is_provider]


def overlapping(planned):
    return [(one, other) for one, other in itertools.combinations(ours(planned), 2) if one.at_s < other.ends_s and other.at_s < one.ends_s]


def test_a_seed_gives_the_same_plan_again_and_another_seed_another():
    def told(seed):
        return [(one.at_s, one.kind.name, one.target, one.length_s, one.chance) for one in plan(seed)]

    assert told(7) == told(7)
    assert told(7) != told(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_plan_has_each_kind_at_each_role_and_enough_faults_of_ours(seed):
    planned = plan(seed)
    assert len(ours(planned)) >= 15
    for kind in KINDS:
        assert any(one.kind is kind and one.target in kind.targets for one in planned), kind
    assert [one.number for one in planned] == list(range(len(planned)))


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_overlap_but_a_target_meets_one_at_a_time_and_a_role_keeps_somebody(seed):
    together = overlapping(plan(seed))
    assert together
    for one, other in together:
        assert one.target != other.target
        is_one_role = any({one.target, other.target} <= set(role) for role in (WEBS, WORKERS))
        assert not is_one_role or min(one.length_s, other.length_s) < DEATH_S


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_that_a_worker_meets_is_a_cut_in_a_commit(seed):
    planned = plan(seed)
    for worker in WORKERS:
        assert [one for one in planned if one.target == worker][-1].kind.name == CUT_IN_COMMIT
    assert span_of(planned) < 175


def test_a_full_campaign_has_three_seeds_each_with_all_its_faults_and_jobs():
    options = parse(["--full", "--seed", "4"])
    assert (options.seeds, options.jobs, options.faults) == ((4, 5, 6)[:FULL_SEEDS], FULL_JOBS, FULL_FAULTS)
    assert len(ours(plan(4, options.faults))) >= 200


def test_fewer_faults_than_kinds_leave_none_out():
    assert {one.kind for one in plan(1, 0)} == set(KINDS)


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ({}, set()),
        ({"unfinished": 1}, {"unfinished"}),
        ({"ledger_difference_nano_usd": -1}, {"ledger_difference_nano_usd"}),
        ({"restart_p99_s": 16.1}, {"restart_p99_s"}),
        ({"accept_p99_frozen_s": None}, {"accept_p99_frozen_s"}),
    ],
)
def test_a_promise_is_kept_by_its_figure_alone(values, broken):
    times = {"restart_p99_s": 16.0, "accept_p99_frozen_s": 1.0, "db_gone_s": 2.0}
    assert {promise.key for promise in Findings(**{**times, **values}).unmet()} == broken


def test_a_campaign_is_repeated_by_one_command_and_several_are_told_by_their_worst():
    assert command_for(parse(["--jobs", "30", "--broken", "early_ack"]), 9) == (
        "python3 manage.py torture --seed 9 --jobs 30 --faults 28 --broken early_ack"
    )
    two = [Findings(jobs=2, unfinished=1, db_gone_s=0.5, fault_kinds=["kill"]), Findings(jobs=3, rollup_difference=-4, db_gone_s=1.5)]
    found = joined([one.as_json() for one in two])
    assert (found["jobs"], found["unfinished"], found["rollup_difference"], found["db_gone_s"]) == (5, 1, -4, 1.5)
    assert found["fault_kinds"] == ["kill"]
    assert found.keys() >= {promise.key for promise in PROMISES}
