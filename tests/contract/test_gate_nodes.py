"""What nodes cost that have limits by a default: nothing until they are charged, and no tenant has too many."""

from __future__ import annotations

from rateguard.engine.gate.contract import MOST_SHOWN, Refusal
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.limits.limit import Level
from tests.contract.gate_line import MANY_SLOTS, Line, budget, deployment, ended, ids, model, node, places, requests


def test_a_node_costs_nothing_until_it_is_charged(line):
    line.open(places("d:c", 1, Level.LEAF), places("a:c", 5), scopes=[node("p", user=("d:c",))], models=[model("m", deployment("a:c"))])
    line.enqueue(*(line.job(f"p|user:{number}") for number in range(30)))
    assert (line.key_count(), line.nodes()) == (0, {})

    assert len(line.admit_all()) == 5
    assert (line.key_count(), line.nodes()) == (5, {"p": 5})


def test_the_nodes_that_have_a_default_are_counted_and_shown_some_of_many(line):
    line.open(places("d:c", 2, Level.LEAF), scopes=[node("p", user=("d:c",))])
    line.enqueue(*(line.job(f"p|user:{name}") for name in ("a", "b", "b", "x@*")))
    line.admit_all()
    seen = line.gate.inspect(("d:c@*", "d:c@user:b"))
    assert seen.defaults == (("d:c", 3),)
    assert {use.id: use.used for use in seen.limits} == {"d:c@user:a": 1, "d:c@user:b": 2, "d:c@user:x@*": 1}
    assert line.gate.inspect(("unknown@*",)).defaults == (("unknown", 0),)

    line.enqueue(*(line.job(f"p|user:{number}") for number in range(MOST_SHOWN)))
    line.admit_all()
    seen = line.gate.inspect(("d:c@*",))
    assert (seen.defaults, len(seen.limits)) == ((("d:c", MOST_SHOWN + 3),), MOST_SHOWN)


def test_a_node_that_says_nothing_any_more_is_swept(line):
    line.open(requests("d:r", 3, 60_000, Level.LEAF), scopes=[node("p", user=("d:r",))])
    line.enqueue(*(line.job(f"p|user:{number}") for number in range(50)))
    line.admit_all()
    assert (line.key_count(), line.nodes()) == (50, {"p": 50})

    line.wait(59_000)
    assert line.key_count() == 50
    line.wait(62_000)
    assert (line.key_count(), line.nodes()) == (0, {})


def test_a_node_that_still_counts_is_not_swept_and_one_that_came_back_is_asked_again(line):
    line.open(places("d:c", 3, Level.LEAF), scopes=[node("p", user=("d:c",))])
    line.enqueue(line.job("p|user:a"), line.job("p|user:b"))
    first, second = line.admit_all()
    line.step(settle=ended([first]))

    line.wait(5_000)
    assert (line.key_count(), line.nodes()) == (1, {"p": 1})
    line.step(settle=ended([second]))
    line.wait(5_000)
    assert (line.key_count(), line.nodes()) == (0, {})


def test_a_spent_budget_by_default_is_kept_until_its_period_is_over(line):
    line.open()
    day = line.clock.now_ms + 86_400_000
    line.configure(
        budget("d:b", 10_000, Level.LEAF, periods=(line.clock.now_ms, day)),
        scopes=(node("p", user=("d:b",)),),
        models=(model("m", deployment(output_pico=1_000_000)),),
    )
    line.enqueue(line.job("p|user:a", size=3))
    line.step(settle=ended(line.admit_all(), cost=2_000))

    line.wait(20 * 3_600_000)
    assert line.uses("d:b@user:a") == [2_000]
    line.go_to(day + 3_600_000)
    assert (line.key_count(), line.nodes()) == (0, {})


def bounded_line(make_line, most_nodes: int, *limits, **defaults) -> Line:
    line = make_line(GateSettings(unsent_per_worker=MANY_SLOTS, most_nodes=most_nodes))
    line.open(*limits, scopes=[node("p", **defaults), node("q", **defaults)])
    return line


def test_a_tenant_with_too_many_live_nodes_is_refused_by_the_limit_that_would_be_one_more(make_line):
    line = bounded_line(make_line, 3, places("d:c", 2, Level.LEAF), user=("d:c",))
    jobs = [line.job(f"p|user:{number}") for number in range(5)]

    reply = line.step(10, enqueue=tuple(jobs))

    assert ids(reply) == [job.job for job in jobs[:3]]
    assert {(refused.reason, refused.binding) for refused in reply.refused} == {
        (Refusal.TOO_MANY_NODES, "d:c@user:3"),
        (Refusal.TOO_MANY_NODES, "d:c@user:4"),
    }
    assert line.nodes() == {"p": 3}


def test_a_tenant_with_too_many_live_nodes_still_serves_those_that_live_and_other_tenants(make_line):
    line = bounded_line(make_line, 2, places("d:c", 2, Level.LEAF), user=("d:c",))
    line.enqueue(line.job("p|user:0"), line.job("p|user:1"))
    line.admit_all()
    known, unbound, other = line.enqueue(line.job("p|user:1"), line.job("p"), line.job("q|user:9"))

    assert set(ids(line.step(10))) == {known.job, unbound.job, other.job}


def test_nodes_that_are_swept_make_room_for_others(make_line):
    line = bounded_line(make_line, 2, places("d:c", 2, Level.LEAF), user=("d:c",))
    line.enqueue(line.job("p|user:0"), line.job("p|user:1"))
    line.step(settle=ended(line.admit_all()))
    line.wait(5_000)
    line.enqueue(line.job("p|user:2"))

    assert len(line.step(1).granted) == 1


def test_nodes_come_and_go_one_after_another_under_the_bound(make_line):
    line = bounded_line(make_line, 10, requests("d:r", 1, 1_000, Level.LEAF), user=("d:r",))
    for number in range(100):
        line.enqueue(line.job(f"p|user:{number}"))
        assert len(line.step(1).granted) == 1
        line.wait(500)

    assert line.nodes()["p"] <= 10
