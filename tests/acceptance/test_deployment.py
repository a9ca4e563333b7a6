"""Compose file, image and units start the same, with settings that there are, with no secret in sight and nothing as root."""

import itertools
import re
import stat
import subprocess
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet

from rateguard.api.layers import departure
from rateguard.conf import Conf
from rateguard.embedded.valkey import valkey_argv
from rateguard.secret_files import SECRETS, SUFFIX
from rateguard.worker import runtime
from tests import composed, units
from tests.composed import OURS, PROJECT, service

SERVICES = sorted(composed.compose()["services"])
KINDS = sorted(units.NAMES)
ONE_SHOT = {"migrate"}
OF_PYTHON_AND_THE_IMAGE = {"PATH", "HOME", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "RATEGUARD_BOOTSTRAP"}


def known_variables():
    """Those that settings.py and conf.py read, and the files of secrets."""
    read = re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", (PROJECT / "rateguard" / "settings.py").read_text())
    return {*read, *(f"RATEGUARD_{name.upper()}" for name in Conf.__slots__), *(name + SUFFIX for name in SECRETS)}


def mounted_in(name):
    """The secrets whose files a service names."""
    said = [*composed.environment_of(name).values(), *service(name).get("command", []), *service(name)["healthcheck"].get("test", [])]
    return set(re.findall(r"/run/secrets/([\w.]+)", " ".join(said)))


# ---- the same everywhere


def test_the_image_the_compose_file_and_the_units_start_the_same():
    assert composed.image_command("CMD") == service("web")["command"]
    assert composed.image_command("HEALTHCHECK") == composed.health_of("web")
    for kind in KINDS:
        words = [word.removeprefix(units.VENV) for word in units.command_of(kind)]
        if kind == "worker":  # instances of one machine need names of their own
            assert words[-2:] == ["--hostname", "worker%i@%%h"]
            words = words[:-2]
        inside = ["127.0.0.1" if word == "0.0.0.0" else word for word in service(kind)["command"]]
        assert words == inside


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_gets_the_same_settings_in_a_container_and_from_a_unit_and_all_are_known(kind):
    ours, theirs = composed.environment_of(kind), units.variables_of(kind)
    assert {*ours, *theirs} <= known_variables() | OF_PYTHON_AND_THE_IMAGE
    assert theirs["RATEGUARD_ENV"] == ours["RATEGUARD_ENV"] == "production"
    assert theirs["RATEGUARD_BOOTSTRAP"] == ours["RATEGUARD_BOOTSTRAP"] == "0"
    assert {name for name in theirs if name.endswith(SUFFIX)} == {name for name in ours if name.endswith(SUFFIX)} - {"RATEGUARD_ALIVE_FILE"}
    assert urlsplit(theirs["DATABASE_URL"]).username == urlsplit(ours["DATABASE_URL"]).username == f"rateguard_{kind}"
    for name in ("DATABASE_WEB_ROLE", "DATABASE_WORKER_ROLE"):
        assert theirs.get(name) == ours.get(name)


def test_who_stops_has_the_time_that_it_needs():
    for kind, needed_s in (("web", departure.END_S), ("worker", runtime.LEAVE_S)):
        given_s = composed.seconds(service(kind)["stop_grace_period"])
        assert given_s >= needed_s + 10
        assert units.unit(kind)["TimeoutStopSec"] == [str(given_s)]
        assert units.unit(kind)["KillSignal"] == ["SIGTERM"]
    assert composed.last("STOPSIGNAL") == "SIGTERM"


# ---- safe


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_as_nobody_special_with_a_root_that_it_cannot_write(name):
    user = composed.last("USER") if name in OURS else service(name)["user"]
    assert user.split(":")[0] not in {"root", "0"}
    assert service(name)["read_only"] is True
    assert "/tmp" in service(name)["tmpfs"]
    assert service(name)["cap_drop"] == ["ALL"]
    assert service(name)["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "container_name", "cap_add"} & set(service(name))


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_environment_and_each_is_mounted_where_it_is_read(name):
    variables = composed.environment_of(name)
    assert not {key for key in variables if key in SECRETS and key != "DATABASE_URL"}
    assert not [key for key in variables if "PASSWORD" in key and not key.endswith("_FILE")]
    assert not [key for key, value in variables.items() if "://" in value and urlsplit(value).password]
    given = set(service(name).get("secrets", []))
    if name == "db":  # the image's first start runs deploy/roles.sql, which reads those of the roles
        given -= {f"database_{kind}_password" for kind in KINDS}
    assert given == mounted_in(name)


def test_every_service_is_asked_whether_it_is_well_or_runs_once():
    for name in SERVICES:
        assert ("test" in service(name)["healthcheck"]) == (name not in ONE_SHOT)
    for name, other in itertools.product(("web", "worker"), ONE_SHOT):
        assert service(name)["depends_on"][other] == {"condition": "service_completed_successfully"}
        assert service(name)["depends_on"]["db"] == {"condition": "service_healthy"}


def test_the_web_process_alone_is_reached_and_from_this_machine_alone():
    assert {name: service(name)["ports"] for name in SERVICES if "ports" in service(name)} == {"web": ["127.0.0.1:8000:8000"]}
    assert composed.compose()["networks"]["inside"] == {"internal": True}
    assert {name for name in SERVICES if service(name)["networks"] == ["inside"]} == {"db", "valkey", "migrate"}


def test_valkey_keeps_what_it_is_told_and_evicts_nothing(tmp_path):
    words = service("valkey")["command"]
    embedded = valkey_argv(tmp_path, 6379)
    for name in ("--appendonly", "--appendfsync", "--save", "--maxmemory-policy"):
        assert words[words.index(name) + 1] == embedded[embedded.index(name) + 1]


# ---- secrets


def test_the_secrets_are_made_once_are_whole_and_lie_where_git_does_not_look(tmp_path):
    folder = tmp_path / "secrets"
    script = PROJECT / "deploy" / "make-secrets"

    def make(*arguments):
        subprocess.run([script, folder, *arguments], check=True, capture_output=True, timeout=30)
        return {path.name: path.read_text().strip() for path in folder.iterdir()}

    made = make()
    files = {one["file"].rpartition("/") for one in composed.compose()["secrets"].values()}
    assert {name for _, _, name in files} <= set(made)
    assert {place for place, _, _ in files} == {"deploy/secrets"}
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "deploy/secrets/secret_key"], cwd=PROJECT, check=False, timeout=30)
    assert ignored.returncode in {0, 128}  # 128: the checkout has no .git

    assert len(made["secret_key"]) >= 50
    assert Fernet(made["encryption_keys"])
    assert len(set(made.values())) == len(made)
    url = urlsplit(made["redis_url"])
    assert (url.hostname, url.port) == ("valkey", 6379)
    assert made["valkey.conf"] == f"requirepass {url.password}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}

    (folder / "redis_url").unlink()
    again = make("10.0.0.5:6380")
    assert again == {**made, "redis_url": f"redis://:{url.password}@10.0.0.5:6380/0"}


# ---- the image


def test_the_image_holds_what_runs_and_nothing_that_is_nobodys_business(tmp_path):
    composed.fill(tmp_path)
    held = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"manage.py", "rateguard/settings.py", "tenants/data/prices.json", "docs/errors.md"} <= held
    assert {path.split("/")[0] for path in held} == {"manage.py", "LICENSE", "docs", "rateguard", "tenants", "dashboard", "templates"}
    assert not [path for path in held if "__pycache__" in path]
    for path in (
        ".git/config",
        "deploy/secrets/secret_key",
        "deploy/local.env",
        "tests/conftest.py",
        ".venv/pyvenv.cfg",
        "rateguard.sqlite3",
    ):
        assert not composed.is_sent(PROJECT / path)


def test_the_image_installs_what_is_locked_checked_by_its_hashes():
    (packages, *_) = composed.stages()
    steps = " ".join(step.text for step in packages)
    for word in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert word in steps
    sources = [word for step in packages if step.word == "COPY" for word in step.text.split()[:-1]]
    assert all((PROJECT / source).exists() and composed.is_sent(PROJECT / source) for source in sources)


# ---- systemd


def test_a_command_gets_what_the_web_process_gets():
    script = (units.UNITS / "rateguard-manage").read_text()
    given = re.findall(r"LoadCredential=(\S+)", script.replace("$secrets", "/etc/rateguard/secrets"))
    assert given == units.unit("web")["LoadCredential"]
    files = dict(re.findall(r'export (\w+)="\$CREDENTIALS_DIRECTORY/(\w+)"', script))
    theirs = units.variables_of("web")
    assert {name: f"%d/{file}" for name, file in files.items()} == {name: text for name, text in theirs.items() if name.endswith(SUFFIX)}
    assert theirs["DATABASE_URL"] in script


@pytest.fixture
def here(tmp_path):
    """The units in a folder, with programs that are there: systemd looks for them."""
    for kind in KINDS:
        text = (units.UNITS / units.NAMES[kind]).read_text().replace(units.VENV, f"{tmp_path}/")
        (tmp_path / units.NAMES[kind]).write_text(text)
        program = tmp_path / units.command_of(kind)[0].removeprefix(units.VENV)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return tmp_path


def analyze(*words, cwd):
    done = subprocess.run(["systemd-analyze", *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_runs_as_a_user_without_rights_and_writes_nothing(kind):
    unit = units.unit(kind)
    assert unit["DynamicUser"] == unit["NoNewPrivileges"] == unit["PrivateTmp"] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["User"] == ["rateguard"]


@pytest.mark.needs("systemd")
def test_systemd_takes_the_units(here):
    names = [units.NAMES[kind].replace("@.", "@1.") for kind in KINDS]
    assert analyze("verify", *(f"./{name}" for name in names), cwd=here) == (0, "")


@pytest.mark.needs("systemd")
@pytest.mark.parametrize("kind", KINDS)
def test_systemd_finds_a_unit_well_closed(kind, here):
    code, said = analyze("security", "--offline=true", "--threshold=20", f"./{units.NAMES[kind]}", cwd=here)
    assert code == 0, said
