"""manage.py before Django: whom it refuses, and how it knows what is installed."""

import ast
import importlib.util
import platform
import sys
from pathlib import Path

import pytest

MANAGE = Path(__file__).parent.parent.parent / "manage.py"
LOCKS = sorted((MANAGE.parent / "deploy").glob("requirements*.txt"))


@pytest.fixture
def manage(tmp_path, monkeypatch):
    """manage.py as a module, with its .venv in an empty folder."""
    spec = importlib.util.spec_from_file_location("manage_under_test", MANAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.VENV = tmp_path / ".venv"
    module.PYTHON = module.VENV / "bin" / "python"
    module.UNFINISHED = module.VENV / ".unfinished"
    return module


@pytest.fixture
def machine(monkeypatch):
    def pretend(system, libc, architecture, version=(3, 11)):
        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "libc_ver", lambda: (libc, "2.36" if libc else ""))
        monkeypatch.setattr(platform, "machine", lambda: architecture)
        monkeypatch.setattr(sys, "version_info", version)

    return pretend


@pytest.mark.parametrize(
    "place", [("Linux", "glibc", "x86_64"), ("Linux", "glibc", "aarch64"), ("Darwin", "", "arm64"), ("Darwin", "", "x86_64")]
)
def test_machines_with_wheels_are_let_in(manage, machine, place):
    machine(*place)
    manage.refuse_unfit_machine()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("Linux", "", "x86_64"), "this is Linux without glibc x86_64"),
        (("Windows", "", "AMD64"), "this is Windows without glibc AMD64"),
        (("Linux", "glibc", "riscv64"), "this is Linux glibc riscv64"),
        (("Linux", "glibc", "x86_64", (3, 10)), "needs Python 3.11 or newer; this is Python 3.10"),
    ],
)
def test_any_other_machine_is_told_what_is_needed(manage, machine, place, said):
    machine(*place)
    with pytest.raises(SystemExit, match=said):
        manage.refuse_unfit_machine()


def test_an_older_python_can_read_the_file_that_refuses_it():
    ast.parse(MANAGE.read_text(), feature_version=(3, 7))


def fill(manage, *stamps):
    manage.PYTHON.parent.mkdir(parents=True)
    manage.PYTHON.symlink_to(sys.executable)
    for lock, digest in stamps:
        (manage.VENV / f".installed-{lock.stem}").write_text(digest)


def test_only_test_bench_and_torture_ask_for_the_test_group(manage, monkeypatch):
    asked = {}
    for command in ("demo", "test", "bench", "torture", "check"):
        monkeypatch.setattr(sys, "argv", ["manage.py", command])
        asked[command] = [lock.stem for lock in manage.pending_locks()]
    both = ["requirements", "requirements-test"]
    assert asked == {"demo": ["requirements"], "check": ["requirements"], "test": both, "bench": both, "torture": both}


def test_a_stamp_with_the_locks_digest_means_installed(manage, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["manage.py", "demo"])
    fill(manage, *manage.pending_locks().items())
    assert manage.pending_locks() == {}


def test_a_stamp_of_another_lock_means_pending(manage, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["manage.py", "demo"])
    fill(manage, *((lock, "an older lock") for lock in manage.pending_locks()))
    assert len(manage.pending_locks()) == 1


def test_a_venv_whose_python_is_gone_means_pending_and_is_made_anew(manage, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["manage.py", "demo"])
    fill(manage, *manage.pending_locks().items())
    manage.PYTHON.unlink()
    manage.PYTHON.symlink_to("/nowhere/python3")
    assert len(manage.pending_locks()) == 1
    manage.make_venv()
    assert manage.PYTHON.exists()


def test_a_venv_made_by_hand_is_kept(manage):
    fill(manage)
    (manage.VENV / "mine").touch()
    manage.make_venv()
    assert (manage.VENV / "mine").exists()


def test_a_venv_whose_install_was_cut_off_is_made_anew(manage):
    fill(manage)
    (manage.VENV / "half a package").touch()
    manage.UNFINISHED.touch()
    manage.make_venv()
    assert not (manage.VENV / "half a package").exists()
    assert [path.name for path in manage.VENV.parent.iterdir()] == [".venv"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_locked_package_has_hashes_and_none_an_address(lock):
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    packages = [line for line in entries if line.strip() and not line.startswith("#")]
    assert len(packages) > 40
    assert not [line for line in packages if "--hash=sha256:" not in line]
    assert "://" not in lock.read_text()


def test_both_locks_agree_on_every_package_that_they_share():
    runtime, test = (
        {line.split("==")[0]: line for line in lock.read_text().splitlines() if "==" in line} for lock in sorted(LOCKS, key=len_of)
    )
    assert runtime.items() <= test.items()


def len_of(lock):
    return lock.stat().st_size
