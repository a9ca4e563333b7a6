"""How a path and its nodes are written and read."""

import pytest

from rateguard.engine import scopes
from rateguard.engine.scopes import NodeKind

IN_ORDER = [NodeKind.TEAM, NodeKind.ROLEGROUP, NodeKind.ROLE, NodeKind.USER, NodeKind.RUN, NodeKind.KEY]


def test_a_path_names_its_nodes_from_the_root_down_whatever_order_they_are_given_in():
    nodes = [(kind, kind.value[0]) for kind in reversed(IN_ORDER)]

    assert scopes.path_of("5", nodes) == "5|team:t|rolegroup:r|role:r|user:u|run:r|key:k"


def test_of_runs_the_outer_one_stays_first():
    assert scopes.path_of("5", [(NodeKind.RUN, "9"), (NodeKind.USER, "a"), (NodeKind.RUN, "1")]) == "5|user:a|run:9|run:1"


def test_a_node_without_a_name_is_no_part_of_a_path():
    assert scopes.path_of("5", [(NodeKind.TEAM, ""), (NodeKind.USER, "alice")]) == "5|user:alice"
    assert scopes.path_of("5") == "5"


@pytest.mark.parametrize("name", ["alice", "a|b", "a:b", "a@b", "100%", "%7C", "a\nb", "\x7f", "Ä b"])
def test_a_name_that_holds_a_separator_makes_no_other_node_and_is_read_as_it_was_given(name):
    node = scopes.node_of("5", NodeKind.USER, name)

    assert scopes.tenant_of(node) == "5"
    assert len(scopes.parts_of(node)) == 1
    assert not set("|@\n\x7f") & set(scopes.parts_of(node)[0])
    assert scopes.kind_of(scopes.parts_of(node)[0]) == "user"
    assert scopes.name_of(scopes.parts_of(node)[0]) == name


def test_a_path_is_taken_apart_into_its_tenant_its_parts_and_its_user():
    path = "5|team:ml|user:alice|run:7"

    assert scopes.tenant_of(path) == "5"
    assert scopes.parts_of(path) == ["team:ml", "user:alice", "run:7"]
    assert scopes.user_of(path) == "user:alice"
    assert scopes.user_of("5|team:ml") == ""
    assert scopes.instance_of("l17", "user:alice") == "l17@user:alice"


def test_a_run_may_lie_in_runs_four_deep():
    assert scopes.MOST_RUNS == 4  # as callers and errors are told
