#!/usr/bin/env python3
"""Two commands from nothing, `demo` and `test`: makes .venv beside itself with the locked packages, then is Django's manage.py."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent / "deploy"
VENV = DEPLOY.parent / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / ".unfinished"


def refuse_unfit_machine() -> None:
    """End with a plain sentence where the locked packages have no wheels."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python gets this far, and deserves a sentence instead of a traceback
        sys.exit("rateguard needs Python 3.11 or newer; this is Python {}.{}.".format(*sys.version_info))
    libc = platform.libc_ver()[0] if platform.system() == "Linux" else ""
    if (platform.system(), libc) not in {("Linux", "glibc"), ("Darwin", "")} or platform.machine() not in {"x86_64", "aarch64", "arm64"}:
        here = f"{platform.system()} {libc or 'without glibc'} {platform.machine()}"
        sys.exit(f"rateguard runs on Linux with glibc and on macOS, x86-64 or arm64; this is {here}.")


def pending_locks() -> dict[Path, str]:
    """The locks that .venv does not hold yet, each with the digest that its stamp will hold."""
    names = ["requirements.txt", "requirements-test.txt"] if sys.argv[1:2] in (["test"], ["bench"], ["torture"]) else ["requirements.txt"]
    digests = {DEPLOY / name: hashlib.sha256((DEPLOY / name).read_bytes()).hexdigest() for name in names}
    stamps = {lock: VENV / f".installed-{lock.stem}" for lock in digests}
    is_whole = PYTHON.exists()  # a dangling link when the Python that made it is gone
    return {k: digest for k, digest in digests.items() if not (is_whole and stamps[k].exists() and stamps[k].read_text() == digest)}


def make_venv() -> None:
    """Make .venv, anew where an install was cut off or its Python is gone; one made by hand is kept and filled."""
    import venv  # noqa: PLC0415 - only the first start needs it

    if UNFINISHED.exists() or (VENV.exists() and not PYTHON.exists()):
        VENV.rename(VENV.with_name(f".venv.{time.time_ns()}"))  # one step: a deletion cut off half-way would look like a whole .venv
    for discarded in VENV.parent.glob(".venv.[0-9]*"):
        shutil.rmtree(discarded)
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    if not PYTHON.exists():
        venv.create(VENV, symlinks=True)


def install(lock: Path) -> None:
    """Install a lock's wheels, each checked by its hash: with uv, or where that is absent or fails with the pip in deploy/."""
    wheels = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock)]
    pip = [
        str(PYTHON),
        str(next(DEPLOY.glob("pip-*.whl")) / "pip"),
        "install",
        "-qq",
        "--no-compile",
        "--no-input",
        "--disable-pip-version-check",
    ]
    uv = shutil.which("uv")
    if uv:
        if subprocess.run([uv, "pip", "install", "--quiet", "--python", str(PYTHON), *wheels], check=False).returncode == 0:
            return
        print("rateguard: uv could not (see above); trying pip ...", file=sys.stderr, flush=True)
    if subprocess.run([*pip, *wheels], check=False).returncode != 0:
        sys.exit("rateguard: the install did not finish; the reason stands above. The next start begins it again.")


def bootstrap() -> None:
    """Bring .venv to the locks' state under a file lock: of several first starts at once, one installs and the others wait."""
    import fcntl  # noqa: PLC0415 - absent on Windows, which has been refused by now

    with VENV.with_name(".venv.lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if pending_locks():
            started = time.monotonic()
            print("rateguard: installing the locked packages into .venv (once, about half a minute) ...", file=sys.stderr, flush=True)
            make_venv()
            for lock, digest in pending_locks().items():
                install(lock)
                (VENV / f".installed-{lock.stem}").write_text(digest)
            UNFINISHED.unlink()
            print(f"rateguard: installed in {time.monotonic() - started:.0f} s.", file=sys.stderr, flush=True)


ON_THEIR_OWN = {"up", "demo", "test", "bench", "prove", "torture", "simprovider"}
LEADS_ELSEWHERE = ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "SECRET_KEY", "RATEGUARD_ENV", "DJANGO_SETTINGS_MODULE")


def join_up() -> None:
    """Where `up` keeps its state, every other command works on that, unless the environment leads somewhere else."""
    file = Path(os.environ.get("RATEGUARD_STATE_DIR", ".rateguard")) / "environment"
    leads_by_file = any(f"{name}_FILE" in os.environ for name in LEADS_ELSEWHERE)
    if leads_by_file or set(sys.argv[1:2]) & ON_THEIR_OWN or not os.access(file, os.R_OK):
        return
    values = dict(pair.split("=", 1) for pair in shlex.split(file.read_text(encoding="utf-8"), comments=True))
    if all(os.environ.get(name, values.get(name)) == values.get(name) for name in LEADS_ELSEWHERE):
        os.environ.update({name: text for name, text in values.items() if name not in os.environ})


def main() -> None:
    """Prepare .venv where needed, continue inside it, and hand over to Django."""
    refuse_unfit_machine()
    if os.environ.get("RATEGUARD_BOOTSTRAP") != "0":  # a container or a host project brings its own environment
        is_inside = Path(sys.prefix).resolve() == VENV.resolve()
        is_pending = bool(pending_locks())
        if is_pending:
            bootstrap()
        if is_pending or not is_inside:
            os.environ.pop("PYTHONHOME", None)
            os.execv(PYTHON, [str(PYTHON), __file__, *sys.argv[1:]])  # noqa: S606 - our own interpreter
    join_up()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rateguard.settings")
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - exists only inside

    from rateguard.engine.errors import ConfigurationError  # noqa: PLC0415 - as above

    try:
        execute_from_command_line(sys.argv)
    except ConfigurationError as error:
        sys.exit(str(error))  # it names the setting and the remedy


if __name__ == "__main__":
    main()
