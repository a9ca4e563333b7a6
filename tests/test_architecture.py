"""The shape of the project: who may import whom, how large a module may be, and what no committed file may hold."""

import ast
import functools
import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PACKAGES = [name for name in ("rateguard", "tenants", "dashboard") if (PROJECT / name).exists()]
MODULES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))

# Each row may import the rows above it and itself. What stands in one row may not import a neighbour unless ALSO says so.
ROWS = [
    ["rateguard.engine"],
    ["rateguard.conf", "rateguard.providers", "rateguard.telemetry", "rateguard.embedding", "rateguard.secret_files", "rateguard.signals"],
    ["rateguard.screening"],
    ["tenants"],
    ["rateguard.wiring"],
    ["rateguard.jobs"],
    ["rateguard.holding"],
    ["rateguard.calls"],
    [
        "rateguard.worker",
        "rateguard.python",
        "rateguard.api.layers",
        "rateguard.api",
        "rateguard.gateway",
        "rateguard.admin",
        "rateguard.admin_site",
        "rateguard.database_roles",
        "dashboard",
    ],
    ["rateguard.embedded", "rateguard.transport"],
    ["rateguard.demo", "rateguard.bench", "rateguard.proofs", "rateguard.torture", "rateguard.testing"],
    ["rateguard.doctor"],
    ["rateguard.up"],
    ["rateguard.management", "dashboard.management"],
]
ENGINE_ROWS = [
    ["money", "readings"],
    ["errors", "asked", "wildcards"],
    ["lanes", "scopes", "histogram", "keys", "encodings", "in_flight"],
    ["limits", "breaker", "routing", "tokens", "retry", "providers"],
    ["gate"],
]
# The rooms of rateguard.jobs, after the modules that lie in no room.
JOB_ROWS = [["line"], ["ends"], ["attempts"], ["controls"], ["insight"], ["intake"], ["steering"], ["batches"], ["upkeep"], ["books"]]
ALSO = {
    ("dashboard", "rateguard.api.layers"),  # a page that keeps itself new is an answer that waits
    ("rateguard.api", "rateguard.api.layers"),
    ("rateguard.api.layers", "rateguard.api"),
    ("dashboard.management", "rateguard.management"),  # a command is made of what all commands have in common
    ("line", "upkeep"),  # what the gate refuses is written by a function that uses the pump, which asks for it when it is made
    ("rateguard.providers", "rateguard.conf"),  # a project's own are a setting
    ("rateguard.telemetry", "rateguard.conf"),  # how much is logged is a setting
    ("rateguard.admin_site", "rateguard.admin"),  # who may enter is asked as the pages behind it ask
    ("rateguard.bench", "rateguard.demo"),  # a benchmark runs on the demo's tenants
    ("rateguard.torture", "rateguard.proofs"),  # a wrong clock is made in one place
    ("breaker", "limits"),  # a wait without an end is named once
    ("providers", "tokens"),  # an adapter counts what it sends
    ("providers", "retry"),  # error kinds are named once
    ("retry", "providers"),
}
# The project's entry points belong to no row: Django, Celery and uvicorn load them by name and they bring all rows together.
ENTRY_POINTS = {
    "settings",
    "urls",
    "asgi",
    "wsgi",
    "celery",
    "tasks",
    "apps",
    "checks",
    "middleware",
    "project",
    "project_urls",
    "hosting_pages",
    "hosting",
    "__main__",
}
LONGEST_MODULE = 400
SHAPELESS_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def dotted(path):
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_for_types_alone(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


@functools.cache
def imported_by(path, *, at_load_alone=False):
    """The dotted names that a module imports; inside functions too, unless only what happens at load is asked for."""
    found = set()
    pending = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its direction"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif at_load_alone and (is_for_types_alone(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            continue
        pending += ast.iter_child_nodes(node)
    return found


def place_in(rows, name):
    """The row and the entry of `rows` that a dotted name belongs to, the longest that fits; None for what no row names."""
    found = [(index, entry) for index, row in enumerate(rows) for entry in row if name == entry or name.startswith(f"{entry}.")]
    return max(found, key=lambda one: len(one[1]), default=None)


def against_the_direction(rows, importer, imported):
    source, target = place_in(rows, importer), place_in(rows, imported)
    if source is None or target is None or source[1] == target[1]:
        return False
    return target[0] >= source[0] and (source[1], target[1]) not in ALSO


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_one_way(path):
    name = dotted(path)
    wrong = {other for other in imported_by(path) if against_the_direction(ROWS, name, other)}
    inside = name.removeprefix("rateguard.engine.")
    if inside != name:
        names = {other.removeprefix("rateguard.engine.") for other in imported_by(path) if other.startswith("rateguard.engine.")}
        wrong |= {other for other in names if against_the_direction(ENGINE_ROWS, inside, other)}
    room = name.removeprefix("rateguard.jobs.")
    if room != name:
        names = {other.removeprefix("rateguard.jobs.") for other in imported_by(path) if other.startswith("rateguard.jobs.")}
        wrong |= {other for other in names if against_the_direction(JOB_ROWS, room, other)}
        wrong |= {other for other in names if place_in(JOB_ROWS, other) and not place_in(JOB_ROWS, room) and "." in other}
    assert not wrong, f"{name} may not import {', '.join(sorted(wrong))}"


def test_every_module_has_its_place():
    homeless = []
    for path in MODULES:
        name = dotted(path)
        parts = name.split(".")
        is_entry_point = parts[0] == "rateguard" and (len(parts) == 1 or parts[1] in ENTRY_POINTS)
        is_engine = name.startswith("rateguard.engine.")
        rows, inside = (ENGINE_ROWS, name.removeprefix("rateguard.engine.")) if is_engine else (ROWS, name)
        if not is_entry_point and place_in(rows, inside) is None:
            homeless.append(name)
    assert not homeless, "say in ROWS or ENGINE_ROWS where they stand"


@pytest.mark.parametrize("path", [path for path in MODULES if "engine" in path.parts], ids=dotted)
def test_the_engine_knows_neither_django_nor_celery(path):
    assert not {
        name for name in imported_by(path) if name.split(".")[0] in {"django", "rest_framework", "celery", "kombu", "environ", "tenants"}
    }


# What only our own project has; and who may know it: what starts that project's processes.
OUR_PROJECT = {"rateguard.settings", "rateguard.celery", "rateguard.asgi", "rateguard.project", "rateguard.project_urls"}
ITS_STARTERS = tuple(f"rateguard.{name}" for name in ("settings", "project", "demo", "up", "bench", "proofs", "torture"))


def importers_of(names, depth):
    """Who imports one of these: module → what. depth: parts of a name that tell."""
    found = {dotted(path): {name for name in imported_by(path) if ".".join(name.split(".")[:depth]) in names} for path in MODULES}
    return {name: imported for name, imported in found.items() if imported}


def test_the_apps_know_no_project_of_ours():
    assert not {name for name in importers_of(OUR_PROJECT, depth=2) if not name.startswith(ITS_STARTERS)}


def test_nothing_else_imports_the_dashboard():
    assert not {name for name in importers_of({"dashboard"}, depth=1) if not name.startswith("dashboard")}


def test_rateguard_imports_nothing_by_being_imported():
    eager = {name for name in imported_by(PROJECT / "rateguard" / "__init__.py", at_load_alone=True) if not name.startswith("__future__")}
    assert eager <= {"importlib", "typing.TYPE_CHECKING", "typing.Any"}


@pytest.mark.parametrize("path", [path for path in MODULES if "migrations" not in path.parts], ids=dotted)
def test_a_module_fits_in_one_reading(path):
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_modules_name_is_an_idea(path):
    assert not SHAPELESS_NAMES & set(dotted(path).split("."))


def committed_texts():
    """Every committed file that people read; locks, data and archives are not prose."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=False).stdout.decode().split("\0")
    kinds = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".lua", ".sql", ".html", ".cfg", ".pyi", ""}
    paths = [PROJECT / name for name in listed if name and Path(name).suffix in kinds]
    return [(path, path.read_text(errors="replace")) for path in paths if path.is_file() and path != Path(__file__)]


FOREIGN = {
    "the address of a package registry": re.compile(
        r"https?://[\w.-]*(?:pypi|pythonhosted|npmjs|registry)[\w.-]*|--(?:extra-)?index-url[ =]\S|--find-links[ =]\S"
    ),
    "a path of one machine": re.compile(r"(?<![\w./])/(?:work|root|home/\w+|Users/\w+|opt/(?:wheels|pypi))(?:/|\b)"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_no_committed_file_holds(what):
    found = [f"{path.relative_to(PROJECT)}: {match.group()}" for path, text in committed_texts() for match in FOREIGN[what].finditer(text)]
    assert not found
