"""The docs tell the truth: every block runs, every link leads somewhere, every table says what the code says."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

import ast
import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys

import pytest
from django.db import connection

from rateguard import complete, conf
from rateguard.api import problems
from rateguard.api.reading import JOB_FIELDS
from rateguard.api.rendering import render_job
from rateguard.embedded.postgres import programs_folder
from rateguard.embedded.process import free_port
from rateguard.engine.errors import ErrorKind
from rateguard.engine.gate.contract import Refusal
from rateguard.engine.providers import features
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from rateguard.screening.contract import MiddlewareBroke, Refused
from tenants.access import POWERS, Power
from tenants.keys import issue_key
from tenants.models import Deployment, ModelRoute, Price, ProviderAccount, RouteTarget, Tenant
from tests.acceptance.pages import PROJECT, Reader, anchors_of, blocks_of, links_of, shell_environment, written_pages
from tests.following import follower  # noqa: F401
from tests.webprocess import start_web  # noqa: F401

PAGES = written_pages()
DOCS = PROJECT / "docs"
OPERATING = DOCS / "operating.md"
TENANTS = DOCS / "tenants.md"
LANGUAGES = {"sh", "python", "json", "text", "console", "shell"}
PAGES_ELSEWHERE = {"docs/django.md", "docs/cli.md", "docs/first-steps.md", "docs/backup.md", "docs/transport.md"}
"""Followed by host projects in which the wheel is installed (test_embedding.py), from an empty folder (test_up.py), and below; the last one
beside accounts of three dialects (test_transport_page.py)."""
PAGES_ON_THEIR_OWN = {"docs/operating.md", "docs/contributing.md", "docs/gate.md"}
"""Their blocks bring what they need; the others run on a line with a tenant, two models, a worker and a web process."""
MODELS = ("gpt-5.4-mini", "text-embedding-3-small")


def name_of(page):
    return str(page.relative_to(PROJECT))


def that_run(*, on_their_own):
    pages = [page for page in PAGES if any(block.runs for block in blocks_of(page)) and name_of(page) not in PAGES_ELSEWHERE]
    return [page for page in pages if (name_of(page) in PAGES_ON_THEIR_OWN) == on_their_own]


# ---- what runs


@pytest.fixture
def secrets(sim, monkeypatch):
    """An account at a provider, as the environment of whoever reads knows it."""
    found = {"OPENAI_API_KEY": "sk-a-readers-key", "OPENAI_BASE_URL": sim.base_url}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def reader(child_env, secrets, tmp_path, follower):
    """Who reads: in an empty folder from which manage.py can be called as in the project's."""
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "manage.py").symlink_to(PROJECT / "manage.py")
    made = Reader(folder, {**shell_environment(child_env, sys.executable), **secrets, "PORT": str(free_port())})
    yield made
    made.leave()


@pytest.fixture
def on_a_line(live, start_web, reader):
    """A reader whose line runs: tenant acme, its key, a worker, a web process."""
    live.worker("--without-gossip", "--without-mingle")
    _, secret = issue_key(live.line.acme, "docs")
    reader.environment |= {"RATEGUARD_URL": start_web().url, "RATEGUARD_KEY": secret}
    return reader


def add_models(account):
    """What tenants.md teaches to make, for the pages that use it."""
    for model in MODELS:
        deployment = Deployment.objects.create(account=account, name=model.replace(".", "-"), upstream_model=model)
        Price.objects.create(provider="sim", model=model, valid_from="2020-01-01T00:00Z", input_pico=750_000, output_pico=4_500_000)
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=model), deployment=deployment)


@pytest.mark.long
@pytest.mark.parametrize("page", that_run(on_their_own=False), ids=name_of)
def test_the_blocks_of_a_page_run_on_a_line(page, on_a_line, live):
    if page != TENANTS:
        add_models(live.line.account)
    on_a_line.follow(page)


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", that_run(on_their_own=True), ids=name_of)
def test_the_blocks_of_a_page_run_from_nothing(page, reader):
    reader.follow(page)


@pytest.mark.parametrize(
    "database", [pytest.param("sqlite", marks=pytest.mark.long), pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def test_what_was_backed_up_is_there_again(database, reader, secrets):
    if connection.vendor != database:
        pytest.skip(f"the database is {connection.vendor}")
    Tenant.objects.create(name="default")
    add_models(ProviderAccount.objects.create(name="sim", provider="sim", base_url=secrets["OPENAI_BASE_URL"], credentials="sk-sim"))
    complete.delay("Say hello", model=MODELS[0], tenant="default")
    where = reader.environment["DATABASE_URL"]
    reader.environment["PATH"] = os.pathsep.join([str(programs_folder()), reader.environment["PATH"]])
    reader.follow(DOCS / "backup.md")
    assert reader.environment["DATABASE_URL"] != where
    command = [sys.executable, "manage.py", "job", "list", "--json"]
    found = subprocess.run(command, cwd=reader.folder, env=reader.environment, capture_output=True, check=True)
    assert [job["status"] for job in json.loads(found.stdout)["data"]] == ["queued"]


# ---- what is compared


def test_the_two_commands_are_these():
    commands = [block.text.splitlines() for page in PAGES for block in blocks_of(page) if "commands" in block.words]
    assert commands
    assert [[line.split("#")[0].strip() for line in lines] for lines in commands] == [
        ["python3 manage.py demo", "python3 manage.py test"]
    ] * len(commands)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_fence_says_what_its_block_is(page):
    assert {block.language for block in blocks_of(page)} <= LANGUAGES
    for block in blocks_of(page):
        if block.language == "json":
            json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    astray = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            astray.append(link)
    assert not astray


def test_every_page_is_in_the_index():
    listed = {(DOCS / link).resolve() for link in links_of(DOCS / "index.md")}
    assert {page for page in DOCS.glob("*.md") if page.name != "index.md"} <= listed


def test_the_readme_fits_on_its_page():
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 150


def rows_below(page, heading):
    """The cells of the table below a heading, without its two head lines."""
    section = page.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def meanings_of(fields_of):
    """The texts below the fields of a dataclass, by name."""
    body = next(node for node in ast.parse(fields_of).body if isinstance(node, ast.ClassDef) and node.name == "Conf").body
    pairs = itertools.pairwise(body)
    return {field.target.id: ast.literal_eval(text.value) for field, text in pairs if isinstance(field, ast.AnnAssign)}


def parts_of(rule):
    """A breaker's rule as a setting says it."""
    return {name: getattr(rule, name) for name in conf.BREAKER_RANGES}


def test_the_table_of_settings_is_what_the_settings_are():
    meanings = meanings_of((PROJECT / "rateguard" / "conf.py").read_text())
    wanted = []
    for field in dataclasses.fields(conf.Conf):
        unit = getattr(field.metadata["rule"], "unit", "")
        written = json.dumps(field.default, default=parts_of).replace("null", "None").replace("false", "False")
        default = f"{field.default:,} {unit}" if unit and field.default is not None else f"`{written}`"
        wanted.append([f"`{field.name.upper()}`", default, meanings[field.name].replace("|", "\\|")])
    assert rows_below(OPERATING, "Settings") == wanted


def test_the_table_of_variables_names_all_that_are_read():
    read = re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", (PROJECT / "rateguard" / "settings.py").read_text())
    read += re.findall(r"environ\.get\(\"(RATEGUARD_[A-Z_]+)\"", (PROJECT / "manage.py").read_text())
    assert {name for row in rows_below(OPERATING, "Environment") for name in re.findall(r"`([A-Z_]+)`", row[0])} == set(read)


@pytest.mark.parametrize(("page", "heading"), [("dashboard.md", "Who sees what"), ("tenant-admins.md", "Who may do what")])
def test_the_tables_of_roles_say_what_each_may(page, heading):
    section = (DOCS / page).read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")][2:]
    wanted = [[role.value, *("yes" if power >= needed else "" for needed in Power)] for role, power in POWERS.items()]
    assert [row for row in told if row[0] != "operator"] == wanted


THEY_SAY_CODES = {"InvalidRequest", "NotAllowed", "LimitInTheWay", "fault", "_refuse", "Ended", "end"}


def codes_said_in(source):
    """The codes of refusals and of jobs' ends in a module."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and ast.unparse(node.func) in THEY_SAY_CODES):
        said = [keyword.value for keyword in call.keywords if keyword.arg in {"code", "error_code"}]
        said += call.args[2:] if ast.unparse(call.func) in {"_refuse", "fault"} else []
        texts = (node.value for value in said for node in ast.walk(value) if isinstance(node, ast.Constant))
        yield from (text for text in texts if isinstance(text, str))


def codes_in_the_code():
    """Every stable code that a caller may meet: refusals, statuses, ends of jobs."""
    folders = [PROJECT / "tenants", *(PROJECT / "rateguard" / name for name in ("api", "engine", "jobs", "transport"))]
    paths = [path for folder in folders for path in folder.rglob("*.py") if "sim" not in path.parts]  # it speaks OpenAI's codes
    said = {code for path in paths for code in codes_said_in(path.read_text())}
    statuses = {problems.Problem.of_status(status).code for status in problems._CODES}
    written = (Refusal.EXCEEDS_LIMIT, Refusal.BUDGET_EXHAUSTED, Refusal.TOO_MANY_NODES)  # the others are never written into a job
    refusals = {refusal.value for refusal in written}
    of_middleware = {Refused.code, MiddlewareBroke.code}
    said.add(features.UNSUPPORTED)
    return said | statuses | set(problems._STATUSES) | {kind.value for kind in ErrorKind} | refusals | of_middleware


def test_every_code_has_its_place_in_the_docs_and_no_other():
    headings = re.findall(r"^### `(\w+)`$", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == codes_in_the_code()


def test_the_job_that_is_shown_has_the_fields_of_a_job():
    job = Job(state=State.SUCCEEDED, lane=3, timeout_s=600, max_tries=5, submitted_at=None)
    shown = next(json.loads(block.text) for block in blocks_of(DOCS / "api.md") if block.language == "json")
    assert list(shown) == list(render_job(job))


def test_the_fields_of_job_are_all_explained():
    assert {field.strip("`") for row in rows_below(DOCS / "api.md", "The object `job`") for field in row[0].split(", ")} == set(JOB_FIELDS)
