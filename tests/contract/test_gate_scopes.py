"""A request charges every node of its path, all or none; defaults, overrides, and what nodes cost that nobody named."""

from __future__ import annotations

import pytest

from rateguard.engine.gate.contract import Refusal, Settlement
from rateguard.engine.limits.limit import Level
from tests.contract.gate_line import Line, budget, deployment, ended, ids, model, node, places, requests, tokens

NODES = ["team:ml", "rolegroup:staff", "role:dev", "user:alice", "run:outer", "run:inner", "key:9"]
PATH = "|".join(["p", *NODES])
LEVELS = {"global": Level.SHARED, "p": Level.TENANT, "a": Level.SHARED, "d": Level.SHARED}
EVERY = ["global", "p", *NODES, "a", "d"]


def open_all_nodes(line: Line, amounts: dict[str, int] | None = None) -> None:
    """One limit of 10 requests on each node of a request, or as `amounts` says."""
    amounts = amounts or {}
    records = [requests(f"l:{name}", amounts.get(name, 10), level=LEVELS.get(name, Level.LEAF)) for name in EVERY]
    below = [node(f"p|{part}", f"l:{part}") for part in NODES]
    line.open(*records, scopes=[node("", "l:global"), node("p", "l:p"), *below], models=[model("m", deployment("l:a", "l:d"))])


def test_a_request_charges_every_node_of_its_path_and_its_account_and_deployment(line):
    open_all_nodes(line)
    line.enqueue(*line.jobs(3, PATH))

    assert len(line.admit_all()) == 3
    assert line.uses(*(f"l:{name}" for name in EVERY)) == [3] * len(EVERY)


def test_a_request_charges_only_the_nodes_of_its_own_path(line):
    open_all_nodes(line)
    line.enqueue(line.job("p|user:alice"))
    line.step(1)

    charged = {name for name, used in zip(EVERY, line.uses(*(f"l:{name}" for name in EVERY)), strict=True) if used}

    assert charged == {"global", "p", "user:alice", "a", "d"}


@pytest.mark.parametrize("full", EVERY)
def test_one_full_node_is_enough_and_then_nothing_is_charged_anywhere(line, full):
    open_all_nodes(line, {full: 1})
    line.enqueue(*line.jobs(2, PATH))

    assert len(line.admit_all()) == 1
    assert line.uses(*(f"l:{name}" for name in EVERY)) == [1] * len(EVERY)


@pytest.mark.parametrize("small", EVERY)
def test_a_node_whose_limit_is_too_small_refuses_by_name_and_nothing_is_charged_anywhere(line, small):
    amounts = {name: 10 if name == small else 1_000 for name in EVERY}
    records = [tokens(f"l:{name}", amounts[name], level=LEVELS.get(name, Level.LEAF)) for name in EVERY]
    below = [node(f"p|{part}", f"l:{part}") for part in NODES]
    line.open(*records, scopes=[node("", "l:global"), node("p", "l:p"), *below], models=[model("m", deployment("l:a", "l:d"))])
    job = line.job(PATH, size=11)

    reply = line.step(1, enqueue=(job,))

    assert [(refused.job, refused.reason, refused.binding) for refused in reply.refused] == [(job.job, Refusal.EXCEEDS_LIMIT, f"l:{small}")]
    assert line.uses(*(f"l:{name}" for name in EVERY)) == [0] * len(EVERY)


def test_a_node_with_several_limits_charges_each_by_its_own_metric(line):
    line.open(
        requests("u:r", 9, level=Level.LEAF),
        tokens("u:t", 900, level=Level.LEAF),
        places("u:c", 9, Level.LEAF),
        budget("u:b", 900_000, Level.LEAF),
        scopes=[node("p"), node("p|user:alice", "u:r", "u:t", "u:c", "u:b")],
        models=[model("m", deployment(output_pico=1_000_000))],
    )
    line.enqueue(line.job("p|user:alice", size=31))
    line.step(1)

    assert line.uses("u:r", "u:t", "u:c", "u:b") == [1, 31, 1, 30_000]


def test_what_a_request_gives_back_returns_to_every_node(line):
    open_all_nodes(line)
    line.enqueue(*line.jobs(2, PATH))
    kept, unused = line.admit_all()

    line.step(settle=(*ended([kept]), Settlement(unused.reservation, used=False)))

    assert line.uses(*(f"l:{name}" for name in EVERY)) == [1] * len(EVERY)


def test_the_global_limit_is_one_for_all_tenants_and_tenants_share_it(line):
    line.open(requests("g:r", 6), scopes=[node("", "g:r"), node("pa"), node("pb")])
    line.enqueue(*line.jobs(6, "pa"), *line.jobs(6, "pb"))

    granted = line.admit_all()

    assert len(granted) == 6
    assert line.used("g:r") == 6


def test_limits_of_names_what_a_path_is_bound_by_and_nothing_of_others(line):
    line.open(
        *(requests(name, 5, level=Level.LEAF) for name in ("g", "t", "team", "dflt", "own", "other")),
        requests("each", 5, level=Level.TENANT),
        scopes=[
            node("", "g", tenant=("each",)),
            node("p", "t", user=("dflt",)),
            node("p|team:ml", "team"),
            node("p|user:bob", "own", without=("dflt",)),
            node("p|user:carol", "other"),
        ],
    )

    assert line.gate.limits_of("p|team:ml|user:alice") == ("t", "each@tenant:p", "team", "dflt@user:alice", "g")
    assert line.gate.limits_of("p|user:bob") == ("t", "each@tenant:p", "own", "g")
    assert line.gate.limits_of("q|user:bob") is None
    assert line.gate.limits_of("p|run:7") is None


# ---- what must be known


@pytest.mark.parametrize(
    ("path", "missing"), [("q", "q"), ("q|user:a", "q"), ("p|run:1", "p|run:1"), ("p|user:a|run:7|run:8|key:1", "p|run:8")]
)
def test_an_unknown_tenant_or_run_is_refused_by_name(line, path, missing):
    line.open(scopes=[node("p"), node("p|run:7")])
    job = line.job(path)

    reply = line.step(1, enqueue=(job,))

    assert [(refused.job, refused.reason, refused.binding) for refused in reply.refused] == [(job.job, Refusal.NOT_CONFIGURED, missing)]


def test_teams_roles_users_and_keys_need_not_be_known(line):
    line.open()
    line.enqueue(line.job("p|team:x|rolegroup:y|role:z|user:u|key:1"))

    assert len(line.step(1).granted) == 1


@pytest.mark.parametrize("gone", ["p", "p|run:7"])
def test_a_tenant_or_run_that_is_forgotten_refuses_what_waits_in_it_by_name(line, gone):
    line.open(scopes=[node("p"), node("p|run:7"), node("q")])
    job, other = line.enqueue(line.job("p|run:7"), line.job("q"))

    line.configure(forget_scopes=(gone,))
    reply = line.step(10)

    assert [(refused.job, refused.binding) for refused in reply.refused] == [(job.job, gone)]
    assert ids(reply) == [other.job]
    assert line.gate.inspect(()).waiting == 0


def test_a_forgotten_run_refuses_also_what_was_parked_under_its_limit(line):
    line.open(places("r:c", 1, Level.LEAF), scopes=[node("p"), node("p|run:7", "r:c")])
    first, second = line.enqueue(*line.jobs(2, "p|run:7"))
    assert ids(line.step(9)) == [first.job]

    line.configure(forget_scopes=("p|run:7",), forget_limits=("r:c",))
    reply = line.step(9)

    assert [(refused.job, refused.binding) for refused in reply.refused] == [(second.job, "p|run:7")]


def test_what_runs_when_its_run_is_forgotten_still_settles_on_the_nodes_that_are_left(line):
    line.open(places("t:c", 5, Level.TENANT), places("r:c", 5, Level.LEAF), scopes=[node("p", "t:c"), node("p|run:7", "r:c")])
    line.enqueue(line.job("p|run:7"))
    granted = line.admit_all()

    line.configure(forget_scopes=("p|run:7",), forget_limits=("r:c",))
    line.step(settle=ended(granted))

    assert line.used("t:c") == 0
    assert line.gate.inspect(()).reservations == 0


def test_a_forgotten_node_that_need_not_be_known_only_loses_its_limits(line):
    line.open(requests("u:r", 1, level=Level.LEAF), scopes=[node("p"), node("p|user:a", "u:r")])
    line.enqueue(*line.jobs(3, "p|user:a"))
    assert len(line.admit_all()) == 1

    line.configure(forget_scopes=("p|user:a",))

    assert len(line.admit_all()) == 2


# ---- defaults


@pytest.mark.parametrize("kind", ["team", "rolegroup", "role", "user", "run", "key"])
def test_a_default_gives_each_node_of_its_kind_a_limit_of_its_own(line, kind):
    line.open(requests("d:r", 2, level=Level.LEAF), scopes=[node("p", **{kind: ("d:r",)}), node(f"p|{kind}:a"), node(f"p|{kind}:b")])
    line.enqueue(*line.jobs(5, f"p|{kind}:a"), *line.jobs(5, f"p|{kind}:b"), *line.jobs(5, "p"))

    assert len(line.admit_all()) == 2 + 2 + 5
    assert line.uses(f"d:r@{kind}:a", f"d:r@{kind}:b") == [2, 2]


def test_a_global_default_gives_each_tenant_a_limit_of_its_own(line):
    line.open(
        requests("d:r", 2, level=Level.TENANT), scopes=[node("", tenant=("d:r",)), node("pa"), node("pb"), node("pc", without=("d:r",))]
    )
    line.enqueue(*line.jobs(5, "pa"), *line.jobs(5, "pb"), *line.jobs(5, "pc"))

    assert len(line.admit_all()) == 2 + 2 + 5
    assert line.uses("d:r@tenant:pa", "d:r@tenant:pb", "d:r@tenant:pc") == [2, 2, 0]


def test_a_default_of_one_tenant_says_nothing_of_anothers_users(line):
    line.open(requests("d:r", 1, level=Level.LEAF), scopes=[node("pa", user=("d:r",)), node("pb")])
    line.enqueue(*line.jobs(3, "pa|user:u"), *line.jobs(3, "pb|user:u"))

    assert len(line.admit_all()) == 1 + 3


def test_a_node_with_a_limit_of_its_own_is_without_the_default(line):
    scopes = [node("p", user=("d:r",)), node("p|user:vip", "own:r", without=("d:r",)), node("p|user:free", without=("d:r",))]
    line.open(requests("d:r", 1, level=Level.LEAF), requests("own:r", 4, level=Level.LEAF), scopes=scopes)
    line.enqueue(*line.jobs(6, "p|user:vip"), *line.jobs(6, "p|user:free"), *line.jobs(6, "p|user:other"))

    assert len(line.admit_all()) == 4 + 6 + 1


def test_a_default_budget_is_each_nodes_own(line):
    dear = [model("m", deployment(output_pico=1_000_000))]
    line.open(budget("d:b", 5_000, Level.LEAF), scopes=[node("p", user=("d:b",))], models=dear)
    line.enqueue(*line.jobs(3, "p|user:a", size=3), *line.jobs(3, "p|user:b", size=3))
    granted, reply = [], None
    for _ in range(3):
        reply = line.step(9, settle=ended(granted[-9:], cost=2_000))
        granted += reply.granted

    assert line.uses("d:b@user:a", "d:b@user:b") == [4_000, 4_000]


def test_the_tightest_limit_of_a_path_binds_whatever_its_level(line):
    records = [tokens("t:t", 500, level=Level.TENANT), tokens("team:t", 300, level=Level.LEAF), tokens("u:t", 20, level=Level.LEAF)]
    line.open(*records, scopes=[node("p", "t:t"), node("p|team:ml", "team:t"), node("p|user:a", "u:t")])
    line.enqueue(*line.jobs(10, "p|team:ml|user:a", size=10))

    assert len(line.admit_all()) == 2
    assert line.uses("t:t", "team:t", "u:t") == [20, 20, 20]
