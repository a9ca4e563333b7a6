"""The mutator of tests/mutation: what it changes, what it leaves alone, and that it sees a killed mutant as killed."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from rateguard.engine.gate.library import library
from tests.mutation import of_lua, of_python
from tests.mutation.drawing import ENGINE, draw, files, found_again, mutants_of, shares
from tests.mutation.loading import Loads
from tests.mutation.mutant import Change
from tests.mutation.results import RESULTS, reasons, rendered, store, stored
from tests.mutation.suite import History, Measured, split
from tests.mutation.trying import Copy, Verdict

PROJECT = Path(__file__).resolve().parents[2]
LUA, PYTHON = Path("some.lua"), Path("some.py")


def changed(path, text):
    """Each text that one change makes of this one."""
    return {mutant.applied(text) for mutant in mutants_of(path, text, random.Random(1))}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = a < b", "x = a <= b"),
        ("x = a is not None", "x = a is None"),
        ("x = (a) == (  # why\n    b)", "x = (a) != (  # why\n    b)"),
        ("x = a + b", "x = a - b"),
        ("x = a and b", "x = a or b"),
        ("x = not a", "x = a"),
        ("x = min(a, b)", "x = max(a, b)"),
        ("for a in b:\n    f(\n        a)", "for a in b:\n    pass"),
        ("a.b = c", "pass"),
        ("a += b", "pass"),
    ],
)
def test_a_change_of_python_is_one_operator_or_one_statement(before, after):
    assert after in changed(PYTHON, before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = a < b", "x = a <= b"),
        ("x = a ~= b", "x = a == b"),
        ("x = a[1] - b", "x = a[1] + b"),
        ("x = a and b", "x = a or b"),
        ("x = not a", "x = a"),
        ("x = math.min(a, b)", "x = math.max(a, b)"),
        ("f(a)\nx = 'f(a)'", "\nx = 'f(a)'"),
        ("x, y = a, {b = c}", ""),
    ],
)
def test_a_change_of_lua_is_one_operator_or_one_line(before, after):
    assert after in changed(LUA, before)


def test_a_whole_number_becomes_a_neighbour():
    assert changed(PYTHON, "x = a[1_000]") <= {"x = a[999]", "x = a[1001]"}
    assert changed(LUA, "local x = 7") <= {"local x = 6", "local x = 8"}


@pytest.mark.parametrize(
    "text", ['"""a < b"""', "x: Literal[1]", "x = 'a < b'", "x = f'{a < b}'", "assert a < b", "x = True", "x = a", "@f(1)\ndef x(): ..."]
)
def test_texts_annotations_and_decorators_of_python_are_left_alone(text):
    assert of_python.places_of(text) == []


@pytest.mark.parametrize(
    "text", ["-- a < 1", "--[[ a < 1\nb > 2 ]]", "local x = 'a < 1'", "local x = -a", "local x = {\n  f(a),\n  g(b)\n}", "return f(a)"]
)
def test_texts_comments_signs_and_parts_of_a_statement_of_lua_are_left_alone(text):
    assert of_lua.places_of(text) == []


def test_a_text_beyond_ascii_is_cut_where_it_should_be():
    assert changed(PYTHON, "x = 'ä × ö', a < b") == {"x = 'ä × ö', a <= b"}


def test_each_place_of_the_engine_gives_another_text():
    for path in files(PROJECT):
        text = (PROJECT / ENGINE / path).read_text(encoding="utf-8")
        mutants = mutants_of(path, text, random.Random(1))
        assert all(mutant.applied(text) != text for mutant in mutants)
        assert len({mutant.name for mutant in mutants}) == len(mutants)


def test_files_have_mutants_by_their_lines_and_each_at_least_one():
    given = shares({Path("a"): 600, Path("b"): 399, Path("c"): 1}, 10)

    assert given == {Path("a"): 6, Path("b"): 3, Path("c"): 1}


def test_a_seed_draws_the_same_mutants_again_and_another_seed_draws_others():
    first = [mutant.name for mutant in draw(PROJECT, 1, 100)]

    assert first == [mutant.name for mutant in draw(PROJECT, 1, 100)]
    assert first != [mutant.name for mutant in draw(PROJECT, 2, 100)]
    assert len(first) == 100


def test_a_change_that_no_longer_loads_is_not_drawn(redis_url):
    text = (PROJECT / ENGINE / "gate/lua/start.lua").read_text(encoding="utf-8")
    sound = next(mutant for mutant in mutants_of(Path("gate/lua/start.lua"), text, random.Random(1)) if mutant.change == Change.COMPARISON)
    with redis.Redis.from_url(redis_url) as client:
        loads, known = Loads(client), client.function_list()
        assert loads(sound, text)
        broken = text.replace(sound.before, "=<", 1)
        assert text in library().source
        assert client.function_list() == known  # nobody may call a mutant in place of the sound one
        assert not loads(type(sound)(sound.path, sound.change, 0, len(text), text, broken, 1, 0, ""), text)


def test_a_mutant_is_found_again_where_its_line_has_moved_and_not_where_it_is_gone():
    mutant = next(found for found in mutants_of(PYTHON, "x = a < b\n", random.Random(1)) if found.change == Change.COMPARISON)

    moved = found_again(mutant, "y = 1\nif y:\n    x = a < b\n")

    assert moved.applied("y = 1\nif y:\n    x = a < b\n") == "y = 1\nif y:\n    x = a <= b\n"
    assert moved.name == mutant.name
    assert found_again(mutant, "x = a < c\n") is None


def test_of_tests_those_go_first_that_are_quick_and_have_killed_before():
    quick, slow, killer = Measured("quick", 0.1, ""), Measured("slow", 5, ""), Measured("killer", 1, "")
    other_twin, history = Measured("of the other twin", 0.1, "memory"), History()
    history.killed("gate/lua/room.lua", "killer")

    ordered = history.order("gate/lua/room.lua", "", [slow, quick, other_twin, killer])

    assert ordered == [killer, quick, slow]
    assert split(ordered, 4) == ([killer, quick], [slow])


def test_of_a_function_only_those_tests_are_asked_that_run_it():
    does, does_not = Measured("does", 1, "", frozenset({"money.py:cost"})), Measured("does not", 0.1, "")

    assert History().order("money.py", "cost", [does, does_not]) == [does]
    assert History().order("money.py", "", [does, does_not]) == [does_not, does]


@pytest.fixture
def tiny_project(tmp_path):
    """A project with one line of engine and one test of it."""
    engine, unit = tmp_path / ENGINE, tmp_path / "tests" / "unit"
    engine.mkdir(parents=True)
    unit.mkdir(parents=True)
    (tmp_path / "tests" / "contract").mkdir()
    shutil.copytree(PROJECT / "tests" / "mutation", tmp_path / "tests" / "mutation", ignore=shutil.ignore_patterns("__pycache__"))
    (engine / "money.py").write_text("def is_less(a, b):\n    return a < b\n\n\ndef is_more(a, b):\n    return a > b\n")
    test = "from rateguard.engine.money import is_less\n\n\ndef test_less():\n    assert not is_less(1, 1)\n"
    (unit / "test_money.py").write_text(test)
    (tmp_path / "tests" / "contract" / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.long
def test_a_mutant_that_a_test_notices_is_killed_and_one_that_none_notices_survives(tiny_project):
    noticed, unnoticed = draw(tiny_project, 1, 2)

    with Copy(tiny_project) as copy:
        tests = copy.measure()
        assert [test.functions for test in tests if "less" in test.name] == [{"money.py:is_less"}]
        verdicts = [copy.try_one(mutant, tests) for mutant in (noticed, unnoticed)]

    assert [verdict.is_killed for verdict in verdicts] == [True, False]
    assert verdicts[0].killer == "tests/unit/test_money.py::test_less"


def test_the_list_gives_each_survivor_its_reason_and_is_read_again_as_it_was_written(tmp_path):
    mutant = mutants_of(PYTHON, "x = a < b", random.Random(1))[0]
    verdicts = [Verdict(mutant, ""), Verdict(mutant, "tests/unit/test_money.py::test_less")]

    text = rendered(verdicts, 1, {mutant.name: "because"})
    store(verdicts, 1, tmp_path / "list.json")

    assert "**1 killed, 50.0 %**" in text
    assert f"- `{mutant.name}`\n  because" in text
    assert f"- `{mutant.name}`\n  test_money.py::test_less" in text
    assert stored(tmp_path / "list.json") == (verdicts, 1)


def test_the_list_that_is_committed_is_made_of_the_data_and_explains_every_survivor():
    verdicts, seed = stored()
    why = reasons()

    assert RESULTS.read_text(encoding="utf-8") == rendered(verdicts, seed, why)
    assert {verdict.mutant.name for verdict in verdicts if not verdict.is_killed} == set(why)
    assert len(verdicts) >= 300
    assert sum(verdict.is_killed for verdict in verdicts) >= 0.85 * len(verdicts)
