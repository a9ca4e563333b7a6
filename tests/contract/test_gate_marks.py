"""Lists with marks: the same list for work that leaves out, prefers or spares some of its deployments."""

from __future__ import annotations

import pytest

from rateguard.engine.breaker.rule import BreakerRule, Verdict
from rateguard.engine.gate.contract import Refusal, Running, Settlement
from rateguard.engine.routing.contract import Mode
from tests.contract.gate_line import deployment, ended, ids, model, node, places, requests, sent, tokens
from tests.contract.test_gate_routing import where

SEVEN, EIGHT, NINE = (deployment(f"l{name}", name=name) for name in "789")


def three(line, *limits, mode=Mode.FIRST, **more) -> None:
    line.open(*limits, models=[model("m", SEVEN, EIGHT, NINE, mode=mode)], **more)


@pytest.mark.parametrize(
    ("marks", "found"),
    [("!-7", "889"), ("!-7-8", "999"), ("!+9", "977"), ("!*7", "889"), ("!-8+9*7", "977"), ("!+9*7*8", "977"), ("!+5", "778")],
)
def test_marks_leave_out_put_first_and_put_last(line, marks, found):
    three(line, requests("l7", 2), requests("l8", 2), requests("l9", 1 if marks != "!-7-8" else 3))
    line.enqueue(*line.jobs(3, to=f"m{marks}"))

    assert where(line.admit_all()) == found


def test_who_is_asked_first_is_asked_before_all_turns(line):
    three(line, requests("l9", 2), mode=Mode.TURNS)
    line.enqueue(*line.jobs(6, to="m!+9"))

    assert where(line.admit_all()) == "997878"


def test_who_is_asked_last_has_no_turn_while_another_has_room(line):
    three(line, requests("l8", 2), requests("l9", 1), mode=Mode.TURNS)
    line.enqueue(*line.jobs(5, to="m!*7"))

    assert where(line.admit_all()) == "89877"


def test_lists_with_and_without_marks_take_turns_in_one_round(line):
    three(line, mode=Mode.TURNS)
    line.enqueue(*line.jobs(1), *line.jobs(1, to="m!-9"), *line.jobs(1))

    assert where(line.admit_all()) == "789"


def test_marks_that_leave_nobody_say_nothing(line):
    three(line)
    line.enqueue(line.job(to="m!-7-8-9"))

    assert where(line.admit_all()) == "7"


def test_an_edit_of_a_list_acts_on_its_marked_lists_at_once(line):
    three(line, requests("l8", 1))
    line.enqueue(*line.jobs(3, to="m!-7"))
    assert where(line.step(1).granted) == "8"

    line.configure(models=[model("m", NINE, SEVEN)])

    assert where(line.admit_all()) == "99"


def test_a_marked_list_without_its_record_is_not_configured_under_the_name_of_the_record(line):
    three(line)
    line.enqueue(line.job(to="gone!-7+8"))

    (refused,) = line.step(1).refused

    assert (refused.reason, refused.binding) == (Refusal.NOT_CONFIGURED, "gone")


def test_a_job_that_waits_for_one_deployment_alone_blocks_none_that_may_use_another(line):
    three(line, places("l7", 1), places("l8", 1), places("l9", 1))
    line.enqueue(line.job(to="m!-8-9"))
    running = line.admit_all()
    waits, first, second = line.enqueue(line.job(to="m!-8-9"), line.job(), line.job(to="m!-7"))

    reply = line.step(9)

    assert ids(reply) == [first.job, second.job]
    assert where(reply.granted) == "89"
    assert ids(line.step(9, settle=ended(running))) == [waits.job]


def test_behind_a_limit_that_is_closed_nobody_overtakes_in_his_lane_whatever_his_marks(line):
    three(line, tokens("l7", 100), tokens("l8", 100))
    line.enqueue(line.job(size=60, to="m!-8-9"))
    assert where(line.admit_all()) == "7"
    large, small = line.enqueue(line.job(size=50, to="m!-8-9"), line.job(size=10, to="m!-9"))

    reply = line.step(9)

    assert ids(reply) == [small.job]
    assert where(reply.granted) == "8"  # 7 has room for it, but the large one waits for that
    line.go_to(reply.now_ms + 61_000)
    assert [(grant.reservation.job, grant.deployment) for grant in line.admit_all()] == [(large.job, "7")]


def test_tenants_share_across_marked_lists_as_within_one(line):
    three(line, scopes=[node("p"), node("q")])
    line.enqueue(*line.jobs(4, to="m!-7"), *line.jobs(4, to="m!-8"), *line.jobs(4, on="q", to="m!+9"))

    granted = line.step(8).granted

    assert sum(grant.model == "m!+9" for grant in granted) == 4


def test_a_budget_reserves_the_most_of_those_that_may_be_asked(line):
    dear = deployment(name="8", output_pico=9_000)
    line.open(models=[model("m", deployment(name="7", output_pico=1_000), dear)])
    line.enqueue(line.job(size=101), line.job(size=101, to="m!-8"))

    assert sorted(grant.cost for grant in line.admit_all()) == [100, 900]


def test_a_breakers_rule_is_that_of_the_record_also_where_the_marks_hide_its_deployment(line):
    strict = deployment(name="7", rule=BreakerRule(failures=1))
    line.open(models=[model("m", strict)])
    line.enqueue(line.job(to="m!-7"))
    (grant,) = line.admit_all()
    assert grant.deployment == "7"  # nobody else was left
    line.configure(models=[model("m", strict, EIGHT)])

    line.step(settle=(Settlement(grant.reservation, used=True, verdict=Verdict.FAILURE),))

    assert [(view.deployment, view.state.name) for view in line.gate.inspect(()).breakers] == [("7", "OPEN")]


def test_a_rebuild_brings_marked_work_back(line):
    three(line, places("l7", 1), places("l8", 1))
    running, waiting = line.job(to="m!-8-9", attempt=1), line.job(to="m!-8-9")
    line.gate.clear()
    line.configure(places("l7", 1), places("l8", 1), scopes=[node("p")], models=[model("m", SEVEN, EIGHT, NINE)])
    line.gate.restore((), (Running(running, "7", "w", 50, 0),), (waiting,))
    line.gate.open(2)
    line.beat()

    assert line.admit_all() == []
    (held,) = line.gate.held(0, 9)[1]
    assert (held.model, held.deployment, held.holder) == ("m!-8-9", "7", "w")

    line.step(settle=(Settlement(held.reservation, used=True),))

    assert where(line.admit_all()) == "7"


def test_marks_hold_through_sending_and_settling(line):
    three(line, places("l9", 1))
    line.enqueue(*line.jobs(2, to="m!+9"))
    first = line.step(1).granted
    line.step(sent=sent(first))
    assert where(line.step(1).granted) == "7"

    line.step(settle=(Settlement(first[0].reservation, used=True),))
    line.enqueue(line.job(to="m!+9"))

    assert where(line.admit_all()) == "9"
