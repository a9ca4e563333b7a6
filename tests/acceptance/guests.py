"""Host projects for tests: the wheel in an environment of its own, and projects that `django-admin startproject` makes there.

The environment holds the wheel, the locked packages and nothing else: a package that rateguard uses and does not name would be missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import uuid
import venv
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, distribution
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
FOR_THE_HOSTS_TESTS = ("pytest", "pytest-django", "pluggy", "iniconfig", "pygments")
"""What a host project has beside rateguard: docs/django.md runs its tests."""


def build_wheel(folder: Path) -> Path:
    """rateguard's wheel, built from the checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def locked_packages() -> dict[str, str]:
    """The version of each package in deploy/requirements.txt that this Python and machine need."""
    lines = re.findall(r"^[a-z0-9].*?(?= *\\?$)", (PROJECT / "deploy" / "requirements.txt").read_text(), re.MULTILINE)
    needed = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    return {one.name: str(one.specifier).removeprefix("==") for one in needed}


def packages_of_our_project() -> set[str]:
    """What our own project serves people with, and a host project need not have."""
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["server"]
    return {Requirement(one).name for one in wanted}


def make_environment(folder: Path, wheel: Path, without: Collection[str] = ()) -> Path:
    """An environment with the locked packages, taken over from this one, and the wheel, installed by pip. Gives its folder of programs."""
    venv.create(folder, symlinks=True)
    programs, packages = folder / "bin", next((folder / "lib").glob("python*")) / "site-packages"
    for name in {*locked_packages(), *FOR_THE_HOSTS_TESTS} - {*without}:
        _take_over(distribution(name), packages, programs)
    pip = str(next((PROJECT / "deploy").glob("pip-*.whl")) / "pip")
    install = [str(programs / "python"), pip, "install", "-qq", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True)
    return programs


def _take_over(package: Distribution, packages: Path, programs: Path) -> None:
    """Link a package's files, and write its programs anew: they name the Python that runs them."""
    for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
        link = packages / top
        if not link.exists():
            link.symlink_to(Path(str(package.locate_file(top))))
    for entry in package.entry_points.select(group="console_scripts"):
        _write_program(entry, programs)


def _write_program(entry: EntryPoint, programs: Path) -> None:
    program = programs / entry.name
    program.write_text(f"#!{programs / 'python'}\nimport sys\nfrom {entry.module} import {entry.attr}\nsys.exit({entry.attr}())\n")
    program.chmod(0o755)


def shell_of(programs: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of whoever works there: the checkout is not on the path, and no variable of the tests' own tells of it."""
    ours = {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "DATABASE_URL", "RATEGUARD_STATE_DIR", "RATEGUARD_BOOTSTRAP", "VIRTUAL_ENV"}
    kept = {name: value for name, value in environment.items() if name not in ours and not name.startswith(("PYTEST", "TESTS_"))}
    return {**kept, "PATH": f"{programs}{os.pathsep}{kept['PATH']}", "PYTHONUNBUFFERED": "1"}


def start_project(folder: Path, shell: Mapping[str, str], files: Mapping[str, str], settings: Iterable[str]) -> None:
    """A project named `shop`, as Django makes it, with files of its own and lines at the end of its settings."""
    folder.mkdir()
    subprocess.run(["django-admin", "startproject", "shop", "."], cwd=folder, env=dict(shell), check=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    with (folder / "shop" / "settings.py").open("a") as written:
        written.write("\n" + "\n".join(settings) + "\n")


@contextlib.contextmanager
def own_database(server: str) -> Iterator[str]:
    """A line of settings for a database of the project's own on this PostgreSQL server."""
    name = f"host_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        place = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        yield f"import environ\nDATABASES['default'] = environ.Env.db_url_config({place!r})"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run_script(folder: Path, shell: Mapping[str, str], script: str, **variables: str) -> str:
    """What a script in the project's shell prints; the test fails with what it says where it fails."""
    done = subprocess.run(
        ["python", "-c", f"import django\ndjango.setup()\n{textwrap.dedent(script)}"],
        cwd=folder,
        env={**shell, "DJANGO_SETTINGS_MODULE": "shop.settings", **variables},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()
