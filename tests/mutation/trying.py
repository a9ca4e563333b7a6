"""Tries mutants, each in a copy of the project, and says which of them the suite kills."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.mutation import suite
from tests.mutation.drawing import ENGINE
from tests.mutation.mutant import Mutant
from tests.mutation.suite import Measured
from tests.mutation.worker import TOO_LONG

ARGUMENTS = [
    "-q",
    "-x",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "-p",
    "no:xdist",
    "-p",
    "no:cacheprovider",
    "-p",
    "tests.mutation.asking",
    "--hypothesis-seed=0",
]
ENDLESS = "the time limit"
WHOLE_SUITE_S, MOST_S = 1_200, 400


class SuiteNotGreen(Exception):
    """The suite fails on the sound engine: nothing can be said of mutants."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. killer: the first test that noticed; "" of a survivor. seconds: how long it took."""

    mutant: Mutant
    killer: str
    seconds: float

    @property
    def is_killed(self) -> bool:
        return bool(self.killer)


def copy_project(project: Path, to: Path) -> None:
    """All that git knows or would add; times stay, so that compiled bytecode is never mistaken."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=project, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (project / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, to / name)


class Copy:
    """A copy of the project with a worker in it; use it as a context."""

    def __init__(self, project: Path) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="mutation-"))
        self.tree = self.home / "tree"
        copy_project(project, self.tree)
        self.argv = [*ARGUMENTS, *suite.test_files(self.tree)]
        command = [sys.executable, "-m", "tests.mutation.worker"]
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))}
        self._worker = subprocess.Popen(command, cwd=self.tree, env=ours, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.kill()
        self._worker.communicate()
        shutil.rmtree(self.home, ignore_errors=True)

    def measure(self) -> list[Measured]:
        """Run the whole suite on the sound engine. Raises SuiteNotGreen."""
        code, seen, log = self._ask(None, WHOLE_SUITE_S, keeps_bytecode=True)
        if code != 0:
            raise SuiteNotGreen(f"{seen['failed'] or 'the suite'} fails without any mutant:\n{log[-3_000:]}")
        return [Measured(*row) for row in seen["tests"]]

    def try_one(self, mutant: Mutant, tests: list[Measured]) -> Verdict:
        """Break the copy, ask these tests in order, and make the copy whole again."""
        path = self.tree / ENGINE / mutant.path
        sound, times = path.read_text(encoding="utf-8"), path.stat()
        started = time.monotonic()
        path.write_text(mutant.applied(sound), encoding="utf-8")
        try:
            code, seen, _ = self._ask({test.name: test.seconds for test in tests}, MOST_S, keeps_bytecode=False)
        finally:
            path.write_text(sound, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        killer = "" if code == 0 else ENDLESS if code == TOO_LONG else seen["failed"] or "loading"
        return Verdict(mutant, killer, time.monotonic() - started)

    def _ask(self, order: dict[str, float] | None, limit_s: float, *, keeps_bytecode: bool) -> tuple[int, dict, str]:
        folder = Path(tempfile.mkdtemp(dir=self.home))
        plan, report = folder / "plan", folder / "report"
        plan.write_text(json.dumps({"order": order, "report": str(report)}))
        request = {"argv": self.argv, "plan": str(plan), "folder": str(folder), "limit_s": limit_s, "keeps_bytecode": keeps_bytecode}
        self._worker.stdin.write(json.dumps(request) + "\n")
        self._worker.stdin.flush()
        code = int(self._worker.stdout.readline())
        seen = json.loads(report.read_text()) if report.exists() else {"tests": [], "failed": ""}
        log = (folder / "log").read_text(errors="replace")
        shutil.rmtree(folder, ignore_errors=True)
        return code, seen, log
