"""Tries mutants, each in a copy of the project, and says which of them the suite kills."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.mutation import suite
from tests.mutation.asking import ANSWERS, CANNOT_SWAP, REQUEST, TOO_LONG, Request
from tests.mutation.drawing import ENGINE
from tests.mutation.mutant import Mutant
from tests.mutation.suite import Measured
from tests.mutation.swapping import function_around

ARGUMENTS = ["-q", "-x", "-s", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "tests.mutation.asking", "--hypothesis-seed=0"]
ENDLESS, LOADING, CRASH = "the time limit", "loading the suite", "a crash"
WHOLE_SUITE_S, MOST_S = 1_200, 400


class SuiteNotGreen(Exception):
    """The suite fails on the sound engine: nothing can be said of mutants."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. killer: the first test that noticed; "" of a survivor."""

    mutant: Mutant
    killer: str

    @property
    def is_killed(self) -> bool:
        return bool(self.killer)


def copy_project(project: Path, to: Path) -> None:
    """All that git knows or would add."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=project, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (project / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, to / name)


class Copy:
    """A copy of the project, and a process in it that has collected the suite; use it as a context."""

    def __init__(self, project: Path) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="mutation-"))
        self._tree = self._home / "tree"
        copy_project(project, self._tree)
        self._command = [sys.executable, "-m", "pytest", *ARGUMENTS, *suite.test_files(self._tree)]
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))}
        self._environment = {**ours, "TMPDIR": str(self._home), "PYTHONDONTWRITEBYTECODE": "1"}
        reading, writing = os.pipe()
        self._answers = os.fdopen(reading)
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._tree,
                env={**self._environment, ANSWERS: str(writing)},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
                start_new_session=True,
                text=True,
            )
        os.close(writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # its forks too; their servers end with them
        self._process.communicate()
        self._answers.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def measure(self, without: Sequence[str] = ()) -> list[Measured]:
        """Run the suite on the sound engine, without tests whose name holds one of these texts. Raises SuiteNotGreen."""
        code, seen, log = self._ask(None, WHOLE_SUITE_S, without=without)
        if code != 0:
            raise SuiteNotGreen(f"{seen['failed'] or 'the suite'} fails without any mutant:\n{log[-3_000:]}")
        return [Measured(name, seconds, twin, frozenset(functions)) for name, seconds, twin, functions in seen["tests"]]

    def function_of(self, mutant: Mutant) -> str:
        """The function of Python that holds a change; "" where none does."""
        if not mutant.path.endswith(".py"):
            return ""
        return function_around(mutant.path, (self._tree / ENGINE / mutant.path).read_text(encoding="utf-8"), mutant.start)

    def try_one(self, mutant: Mutant, tests: list[Measured]) -> Verdict:
        """Break the copy, ask these tests in order, and make the copy whole again."""
        path = self._tree / ENGINE / mutant.path
        sound = path.read_text(encoding="utf-8")
        order = {test.name: test.seconds for test in tests}
        function = self.function_of(mutant)
        path.write_text(mutant.applied(sound), encoding="utf-8")
        try:
            code, seen = self._run(path, function, order)
        finally:
            path.write_text(sound, encoding="utf-8")
        return Verdict(mutant, _killer(code, seen["failed"]))

    def _run(self, path: Path, function: str, order: dict[str, float]) -> tuple[int, dict]:
        """In a fork; where a change of Python is not inside one function, or cannot be put into it, in a process of its own."""
        if function or path.suffix == ".lua":
            code, seen, _ = self._ask(order, MOST_S, swap=(str(path), function) if function else None)
            if code != CANNOT_SWAP:
                return code, seen
        return self._start(order)

    def _ask(self, order: dict[str, float] | None, limit_s: float, **more: Any) -> tuple[int, dict, str]:
        request = Request(order, tempfile.mkdtemp(dir=self._home), limit_s, **more)
        self._process.stdin.write(json.dumps(dataclasses.asdict(request)) + "\n")
        self._process.stdin.flush()
        answer = self._answers.readline()
        if not answer:
            raise SuiteNotGreen(f"the suite was not collected:\n{(self._home / 'log').read_text(errors='replace')[-3_000:]}")
        return int(answer), *_seen(request)

    def _start(self, order: dict[str, float]) -> tuple[int, dict]:
        request = Request(order, tempfile.mkdtemp(dir=self._home), MOST_S)
        written = Path(request.folder) / "request"
        written.write_text(json.dumps(dataclasses.asdict(request)))
        with (Path(request.folder) / "log").open("wb") as log:
            environment = {**self._environment, REQUEST: str(written)}
            process = subprocess.Popen(
                self._command,
                cwd=self._tree,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                code = process.wait(MOST_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = TOO_LONG
        return code, _seen(request)[0]


def _killer(code: int, failed: str) -> str:
    """Who killed, by pytest's exit code: a test, loading (1, 2 or 4), no end, a crash (a signal). Its own trouble is no kill."""
    if code == 0 or failed:
        return failed
    return {TOO_LONG: ENDLESS, 1: LOADING, 2: LOADING, 4: LOADING}.get(code, CRASH if code < 0 else "")


def _seen(request: Request) -> tuple[dict, str]:
    """The report of a run and its log; its folder goes."""
    seen = json.loads(request.report.read_text()) if request.report.exists() else {"tests": [], "failed": ""}
    found = Path(request.folder) / "log"
    log = found.read_text(errors="replace") if found.exists() else ""
    shutil.rmtree(request.folder, ignore_errors=True)
    return seen, log
