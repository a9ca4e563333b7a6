"""From nothing to Django: real installs of the project's own files in new folders, as a newcomer would."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent.parent
BASE_PYTHON = str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")
PIECES = ["manage.py", "pyproject.toml", "deploy", "rateguard", "tenants", "dashboard", "templates"]
REGISTRY = ("PIP_", "UV_INDEX", "UV_DEFAULT_INDEX", "SSL_CERT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def copy_project(folder):
    folder.mkdir(parents=True)
    for piece in PIECES:
        source = PROJECT / piece
        if source.is_dir():
            shutil.copytree(source, folder / piece, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / piece)
    return folder


def environment(folder, **more):
    """A shell with nothing but Python: no uv, an empty HOME, and no ensurepip, as on Debian without python3-venv."""
    home, absent = folder.parent / "home", folder.parent / "absent"
    home.mkdir(exist_ok=True)
    absent.mkdir(exist_ok=True)
    (absent / "ensurepip.py").write_text("raise ImportError('no ensurepip here')")
    registry = {name: value for name, value in os.environ.items() if name.startswith(REGISTRY)}
    return {**registry, "PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(absent), **more}


def begin(folder, *arguments, python=BASE_PYTHON, env=None, **more):
    command = [python, str(folder / "manage.py"), *arguments]
    return subprocess.Popen(
        command, env=env or environment(folder), cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def start(folder, *arguments, **more):
    """Run manage.py to its end from another working directory; (exit code, stdout, stderr)."""
    process = begin(folder, *arguments, **more)
    out, said = process.communicate(timeout=280)
    return process.returncode, out, said


def is_in_django(result):
    return result[0] == 0 and result[1].startswith("5.")  # Django's own version, and nothing else on stdout


def installed_size(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def first_start(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("first") / "a new folder, ünïcode")
    return folder, start(folder, "version")


def test_a_first_start_installs_says_so_once_and_is_in_django(first_start):
    _, result = first_start
    assert is_in_django(result), result
    assert [line.split(" ")[:2] for line in result[2].splitlines()] == [["rateguard:", "installing"], ["rateguard:", "installed"]]


def test_a_second_start_installs_nothing_and_is_in_django_within_three_seconds(first_start):
    folder, _ = first_start
    nowhere = environment(folder, PIP_INDEX_URL="http://127.0.0.1:9/", PIP_NO_INDEX="1", HTTPS_PROXY="http://127.0.0.1:9")
    began = time.monotonic()
    result = start(folder, "version", env=nowhere)
    assert time.monotonic() - began < 3
    assert is_in_django(result)
    assert result[2] == ""


def test_the_environment_and_the_project_stay_under_300_megabytes(first_start):
    folder, _ = first_start
    assert installed_size(folder) < 300e6


def test_the_environment_holds_no_test_dependency_before_it_is_asked_for(first_start):
    folder, _ = first_start
    assert not list(folder.glob(".venv/lib/*/site-packages/pytest"))


@pytest.mark.parametrize("cut_at", ["venv", "packages"])
def test_an_install_that_was_cut_off_is_repaired_by_the_next_start(tmp_path, cut_at):
    folder = copy_project(tmp_path / "project")
    process = begin(folder, "version", start_new_session=True)
    sign = {"venv": ".venv/.unfinished", "packages": ".venv/lib/*/site-packages/*/__init__.py"}[cut_at]
    while not list(folder.glob(sign)):
        assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(folder.glob(".venv/.installed-*"))

    result = start(folder, "version")

    assert is_in_django(result), result
    assert start(folder, "check")[0] == 0


def test_of_several_first_starts_at_once_one_installs_and_all_reach_django(tmp_path):
    folder = copy_project(tmp_path / "project")
    processes = [begin(folder, "version") for _ in range(3)]
    results = [(*reversed(process.communicate(timeout=280)), process.returncode) for process in processes]
    assert [code for _, _, code in results] == [0, 0, 0], results
    assert sum("installing" in said for said, _, _ in results) == 1


def test_a_uv_that_fails_is_replaced_by_the_pip_that_ships(tmp_path):
    folder = copy_project(tmp_path / "project")
    broken = tmp_path / "bin" / "uv"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no uv today >&2\nexit 2\n")
    broken.chmod(0o755)
    result = start(folder, "version", env=environment(folder, PATH=f"{broken.parent}:/usr/bin:/bin"))
    assert is_in_django(result), result
    assert "no uv today" in result[2]


@pytest.mark.skipif(not shutil.which("uv"), reason="no uv on this machine")
def test_a_uv_that_is_there_is_used(tmp_path):
    folder = copy_project(tmp_path / "project")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").symlink_to(shutil.which("uv"))
    result = start(folder, "version", env=environment(folder, PATH=f"{tmp_path}/bin:/usr/bin:/bin"))
    assert is_in_django(result), result
    assert {path.read_text().strip() for path in folder.glob(".venv/lib/*/site-packages/*.dist-info/INSTALLER")} == {"uv"}


def test_a_file_that_is_not_the_locked_one_is_refused(tmp_path):
    folder = copy_project(tmp_path / "project")
    lock = folder / "deploy" / "requirements.txt"
    head, _, tail = lock.read_text().partition("django==")
    entry, _, rest = tail.partition("\nd")
    lines = [
        line.rsplit(":", 1)[0] + ":" + "0" * 64 + (" \\" if line.endswith("\\") else "") if "--hash" in line else line
        for line in entry.split("\n")
    ]
    lock.write_text(head + "django==" + "\n".join(lines) + "\nd" + rest)
    code, _, said = start(folder, "version")
    assert code == 1
    assert "do not match the hashes" in said.lower() or "hash" in said.lower()
    assert said.splitlines()[-1].startswith("rateguard: the install did not finish")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_gets_the_same(tmp_path_factory):
    python = next((path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if _is_fit(path)), None)
    if python is None:
        pytest.skip("no system Python that another user can run")
    nobody = pwd.getpwnam("nobody")
    root = Path(f"/tmp/rateguard-nobody-{os.getpid()}")
    try:
        folder = copy_project(root / "project")
        env = environment(folder)
        subprocess.run(["chown", "-R", f"{nobody.pw_uid}:{nobody.pw_gid}", str(root)], check=True)
        result = start(folder, "version", python=python, env=env, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
        assert is_in_django(result), result
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _is_fit(python):
    question = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    return Path(python).exists() and subprocess.run(question, check=False).returncode == 0
