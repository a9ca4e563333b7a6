"""rateguard as a guest: the wheel in projects of other people, which follow docs/django.md to the letter."""

import contextlib
import os
import subprocess
import textwrap
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import rateguard
from rateguard.embedded.process import free_port
from tests.acceptance.guests import (
    PROJECT,
    build_wheel,
    locked_packages,
    make_environment,
    own_database,
    packages_of_our_project,
    run_script,
    shell_of,
    start_project,
)
from tests.acceptance.pages import Reader

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

PAGE = PROJECT / "docs" / "django.md"
TABLES = "## Tables, a tenant, a model"
SHIPPED = {"rateguard": "rateguard", "tenants": "tenants", "dashboard": "dashboard", "templates": "rateguard/templates"}
"""Where in the wheel the folders of the checkout lie."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(tmp_path_factory, wheel):
    """A host's: it has neither the theme of our admin nor our lock of passwords."""
    return make_environment(tmp_path_factory.mktemp("host") / "venv", wheel, without=packages_of_our_project())


# ---- the wheel


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_beside_them(wheel):
    listed = subprocess.run(["git", "ls-files", "-z", "--", *SHIPPED], cwd=PROJECT, capture_output=True, check=True).stdout.decode()
    tracked = [Path(name) for name in listed.split("\0") if name and (PROJECT / name).exists()]
    wanted = {str(Path(SHIPPED[path.parts[0]], *path.parts[1:])) for path in tracked}

    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert {"rateguard/py.typed", "rateguard/engine/gate/lua/admit.lua", "tenants/data/prices.json"} <= wanted
    assert not wanted - held
    assert {name.split("/")[0] for name in held} <= {"rateguard", "tenants", "dashboard"}


def test_the_wheel_names_the_packages_that_it_needs_and_the_lock_has_each(wheel):
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(opened.read(name).decode())
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]

    named = {str(Requirement(one)) for one in metadata.get_all("Requires-Dist")}
    extra = [f'{one}; extra == "{name}"' for name, ones in project["optional-dependencies"].items() for one in ones]
    assert named == {str(Requirement(one)) for one in (*project["dependencies"], *extra)}
    assert metadata["Version"] == rateguard.__version__
    locked = locked_packages()
    assert all(locked[one.name] in one.specifier for one in map(Requirement, named))


def test_the_wheel_brings_our_own_project_as_a_command(wheel, tmp_path_factory, tmp_path):
    shell = shell_of(make_environment(tmp_path_factory.mktemp("ours") / "venv", wheel), os.environ)
    told = subprocess.run(["rateguard", "check"], cwd=tmp_path, env=shell, capture_output=True, text=True, check=True)
    assert "no issues" in told.stdout
    script = "from django.template.loader import get_template as get; print(get('rateguard/base.html').origin.name)"
    found = subprocess.run(["rateguard", "shell", "-v0", "-c", script], cwd=tmp_path, env=shell, capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("site-packages/rateguard/templates/rateguard/base.html")
    assert not list(tmp_path.iterdir())


# ---- host projects

PEOPLE = {
    "people/__init__.py": "",
    "people/migrations/__init__.py": "",
    "people/models.py": """
        from django.contrib.auth.models import AbstractUser
        from django.db import models


        class Person(AbstractUser):
            nickname = models.CharField(max_length=50, blank=True)


        class Order(models.Model):
            text = models.TextField()
            length = models.IntegerField(null=True)
        """,
    "people/tasks.py": """
        from celery import shared_task
        from multiprocessing import current_process
        from people.models import Order


        @shared_task
        def measure(order):
            length = len(Order.objects.get(pk=order).text)
            Order.objects.filter(pk=order).update(length=length)
            return [length, type(current_process()).__name__]
        """,
}
"""An app of the host's own: its users, a table, a task."""

HABITS = [
    'INSTALLED_APPS += ["people"]',
    'AUTH_USER_MODEL = "people.Person"',
    'DEFAULT_AUTO_FIELD = "django.db.models.AutoField"',
    'TIME_ZONE = "Asia/Kathmandu"',
    'DATABASES["default"]["ATOMIC_REQUESTS"] = True',
    'REST_FRAMEWORK = {"EXCEPTION_HANDLER": "no.such", "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"]}',
    'REST_FRAMEWORK |= {"DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning", "DEFAULT_VERSION": "7"}',
    'CELERY_TASK_DEFAULT_QUEUE = "shop"',
    'CELERY_TASK_ROUTES = {"*": {"queue": "shop", "routing_key": "shop"}}',
    "CELERY_TASK_TIME_LIMIT = 2",
    'CELERY_TASK_DEFAULT_RATE_LIMIT = "600/m"',
    "CELERY_TASK_ACKS_LATE = True",
    "CELERY_TASK_TRACK_STARTED = True",
]
"""Settings that a host may have for its own good, none of which is ours to change or to be hurt by."""


@pytest.fixture
def host(programs, sim, redis_url, tmp_path):
    """`host(files, settings)`: a reader in a fresh project of that kind, in whose shell the page can be followed."""
    account = {"OPENAI_API_KEY": "sk-a-hosts-key", "OPENAI_BASE_URL": sim.base_url, "REDIS_URL": redis_url}
    shell = {**shell_of(programs, os.environ), **account}
    readers = []

    def make(files, settings):
        start_project(tmp_path / "host", shell, files, settings)
        readers.append(Reader(tmp_path / "host", shell))
        return readers[-1]

    yield make
    for reader in readers:
        reader.leave()


def in_shell(reader, script):
    return run_script(reader.folder, reader.environment, script)


ASK_TWICE = """
    import json
    from django.db import transaction
    from django.contrib.auth import get_user_model
    from rateguard import complete
    from rateguard.jobs.models import Job

    User, before = get_user_model(), Job.objects.count()
    try:
        with transaction.atomic():
            User.objects.create(username="undone")
            complete.delay("undone", model="gpt-5.4-mini")
            raise InterruptedError
    except InterruptedError:
        pass
    with transaction.atomic():
        User.objects.create(username="done")
        asked = complete.delay("done", model="gpt-5.4-mini", user="ada")
    asked.get(timeout=60)
    job = Job.objects.get(pk=asked.id)
    users = sorted(User.objects.exclude(username="ada").values_list("username", flat=True))
    print(json.dumps([Job.objects.count() - before, job.state, job.user, users]))
    """


def test_a_project_with_its_own_users_tables_and_celery_follows_the_page(host, sim):
    reader = host(PEOPLE, HABITS)
    reader._run("python manage.py makemigrations people --verbosity 0", "the host's own tables")

    reader.follow(PAGE)

    assert str(PROJECT) not in in_shell(reader, "import sys, rateguard, tenants; print(sys.path, rateguard.__file__, tenants.__file__)")
    reader._run("python manage.py check --fail-level WARNING", "the check has nothing to say")
    assert in_shell(reader, HOLDERS) == "[5]"  # the host's own worker counts for no lane
    assert in_shell(reader, ASK_TWICE) == '[1, "succeeded", "ada", ["done"]]'
    sim.control.configure(latency={"base_ms": 3_000})  # longer than the host's time limit
    assert in_shell(reader, ASK_TWICE.replace("done", "slow")) == '[1, "succeeded", "ada", ["done", "slow"]]'
    assert "time limit" not in (reader.folder / ".served-0.log").read_text()
    sim.control.configure(latency={})
    assert in_shell(reader, MEASURE) == "[5, 'ForkProcess'] [5, 'ForkProcess'] 5 0"
    reader.environment["PORT"] = str(free_port())
    reader._serve('uvicorn shop.asgi:application --port "$PORT"', "the host's web process")
    assert in_shell(reader, OVER_HTTP) == "200 True succeeded Person"


HOLDERS = """
    from rateguard.wiring import gate
    print([len(holder.lanes) for holder in gate().inspect().holders if holder.slots])
    """

MEASURE = """
    from celery.result import AsyncResult
    from django_celery_results.models import TaskResult
    from people.models import Order
    from people.tasks import measure
    from rateguard.jobs.models import Job

    order, before = Order.objects.create(text="bread"), Job.objects.count()
    measured = measure.delay(order.pk)
    found = measured.get(timeout=30)
    assert TaskResult.objects.filter(task_id=measured.id).exists()
    order.refresh_from_db()
    print(found, AsyncResult(measured.id).result, order.length, Job.objects.count() - before)
    """

OVER_HTTP = """
    import json, os
    from urllib.error import HTTPError
    from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen
    from dashboard.links import make_link
    from django.contrib.auth import get_user_model
    from tenants.keys import issue_key
    from tenants.models import Member, Tenant

    shop = Tenant.objects.get(name="shop")
    _, secret = issue_key(shop, "http")
    member = Member.objects.create(tenant=shop, user=get_user_model().objects.get(username="done"))
    there, known = f"http://127.0.0.1:{os.environ['PORT']}", {"Authorization": f"Bearer {secret}"}

    body = json.dumps({"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    asking = {**known, "Content-Type": "application/json", "Prefer": "wait=20"}
    made = urlopen(Request(f"{there}/llm/api/v1/jobs", body, asking), timeout=30)
    place = made.headers["Location"]
    found = urlopen(Request(f"{there}{place}", headers=known), timeout=30)
    try:
        urlopen(Request(f"{there}/llm/api/v1/jobs/{shop.pk}", headers=known), timeout=30)
    except HTTPError as refused:
        assert json.load(refused)["type"] == "/llm/api/v1/errors#not_found"
    pages = build_opener(HTTPCookieProcessor()).open(f"{there}/llm/dashboard/signin/{make_link(member.user)}")
    assert pages.url == f"{there}/llm/dashboard/", pages.url
    assert "<h1>Now" in pages.read().decode()
    print(made.status, place.startswith("/llm/api/v1/jobs/"), json.load(found)["status"], type(member.user).__name__)
    """


SIGN_IN = """
    import io, json
    from django.contrib import admin
    from django.contrib.auth import get_user_model
    from django.contrib.staticfiles import finders
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse
    from tenants.models import Member, Tenant

    out = io.StringIO()
    call_command("signin", "root", "--create-operator", "--json", "--url", "http://127.0.0.1:1", stdout=out)
    root, ada, stranger = (Client(SERVER_NAME="127.0.0.1") for _ in range(3))
    by_link = root.get(json.loads(out.getvalue())["url"].removeprefix("http://127.0.0.1:1")).status_code

    user = get_user_model().objects.create_user("ada", password="a long enough password")
    Member.objects.create(tenant=Tenant.objects.get(name="shop"), user=user, role="owner")
    sent = {"username": "ada", "password": "a long enough password", "next": reverse("dashboard:jobs")}
    by_password = ada.post(reverse("dashboard:signin"), sent)

    pages = [reverse(f"dashboard:{name}") for name in ("now", "tenants", "jobs", "password")]
    ours = [model for model in admin.site._registry if model._meta.app_label.startswith("rateguard_")]
    lists = [reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in ours]
    print(by_link, by_password.status_code, by_password.headers["Location"])
    print({root.get(page).status_code for page in [*pages, *lists]}, {ada.get(page).status_code for page in pages}, len(lists) > 9)
    print({stranger.get(page).headers["Location"].partition("?")[0] for page in pages})
    print({bool(finders.find(f"rateguard/{name}")) for name in ("pages.css", "vendor/htmx-2.0.11.min.js")})
    """


@pytest.mark.parametrize(
    ("said", "asked_at"),
    [([], "/llm/pages/signin"), (['LOGIN_URL = "/accounts/login/"'], "/accounts/login/")],
    ids=["by our page", "by the host's"],
)
def test_a_project_with_djangos_own_admin_has_our_pages_and_its_people_sign_in(said, asked_at, host):
    reader = host({}, said)
    reader.follow(PAGE, before=TABLES)
    with (reader.folder / "shop" / "urls.py").open("a") as urls:
        urls.write('urlpatterns += [path("llm/pages/", include("dashboard.urls"))]\n')
    reader._run("python manage.py check --fail-level WARNING", "the check has nothing to say")
    reader._run("python manage.py migrate --verbosity 0", "the tables")
    reader._run("python manage.py tenant create shop", "a tenant")

    assert in_shell(reader, SIGN_IN).splitlines() == [
        "302 302 /llm/pages/jobs",
        "{200} {200} True",
        f"{{'{asked_at}'}}",
        "{True}",
    ]


@pytest.fixture
def database():
    """The host's settings of its database: with --postgres one on that server, else none, and the page's SQLite stays."""
    server = os.environ["DATABASE_URL"]
    with own_database(server) if server.startswith("postgres") else contextlib.nullcontext("") as line:
        yield line


def test_a_project_with_a_dashboard_of_its_own_keeps_it_and_all_else_works(database, host):
    reader = host(
        {
            "dashboard/__init__.py": "",
            "dashboard/models.py": "from django.db import models\n\n\nclass Panel(models.Model):\n    title = models.TextField()\n",
            "dashboard/migrations/__init__.py": "",
        },
        ['INSTALLED_APPS += ["dashboard"]'],
    )
    reader._run("python manage.py makemigrations dashboard --verbosity 0", "the host's own tables")

    reader.follow(PAGE, before=TABLES)
    with (reader.folder / "shop" / "settings.py").open("a") as settings:
        settings.write(database)
    reader.follow(PAGE, after=TABLES, before="## Call it")

    told = subprocess.run(
        ["python", "manage.py", "check"], cwd=reader.folder, env=reader.environment, capture_output=True, text=True, check=True
    )
    assert "rateguard.W004" in told.stderr
    assert str(reader.folder / "dashboard") in told.stderr
    assert "1 issue" in told.stderr
    assert in_shell(reader, ASK_TWICE) == '[1, "succeeded", "ada", ["done"]]'
    panels = "from dashboard.models import Panel; from django.apps import apps; Panel.objects.create(title='ours')"
    assert in_shell(
        reader, f"{panels}; print(Panel.objects.count(), [one.name for one in apps.get_app_configs() if 'dashb' in one.name])"
    ) == ("1 ['dashboard']")


def test_a_project_with_a_package_named_tenants_does_not_start_and_says_why(host):
    reader = host({"tenants/__init__.py": "", "tenants/models.py": ""}, ["import rateguard", "INSTALLED_APPS += rateguard.APPS"])
    told = subprocess.run(
        ["python", "manage.py", "check"], cwd=reader.folder, env=reader.environment, capture_output=True, text=True, check=False
    )
    assert told.returncode != 0
    assert f"`tenants` is shadowed by another one in {reader.folder / 'tenants'}" in textwrap.dedent(told.stderr)
