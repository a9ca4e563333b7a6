"""Which tests are asked about a mutant, and in which order: those first that are quick and have killed before."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from pathlib import Path

from tests.mutation.drawing import files

CONTRACT = Path("tests/contract")
UNIT = Path("tests/unit")

ONLY_REDIS = {"wire.py", "redis.py", "library.py"}
SHARED_BY_BOTH = {"codec.py", "scopes.py", "limit.py", "rule.py", "holders.py", "lanes.py", "money.py", "retry.py", "histogram.py"}


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """A test as it ran on the sound engine. twin: the only one that it drives, or "". functions: of the engine's Python, those that ran."""

    name: str
    seconds: float
    twin: str
    functions: frozenset[str] = frozenset()

    def may_notice(self, path: str, function: str) -> bool:
        """Whether it runs this function ("": any part) of a file."""
        twin = twin_of(path)
        return not (twin and self.twin and self.twin != twin) and (not function or f"{path}:{function}" in self.functions)


def test_files(project: Path) -> list[str]:
    """The engine's suite: the contract, and the unit tests that are named after one of its files or folders and import it."""
    named = {name for path in files(project) for name in (path.stem, path.parent.name) if name}
    unit = {path for name in named for path in (project / UNIT).glob(f"test_{name}*.py")}
    ours = [path for path in sorted(unit) if "rateguard.engine" in path.read_text(encoding="utf-8")]
    return [str(CONTRACT), *(str(path.relative_to(project)) for path in ours)]


def twin_of(path: str) -> str:
    """The twin that a file belongs to; "" where both use it."""
    name = Path(path).name
    if name.endswith(".lua") or name in ONLY_REDIS:
        return "redis"
    return "" if name in SHARED_BY_BOTH else "memory"


class History:
    """Who has killed what: of the same file, and of any file of the same language."""

    def __init__(self) -> None:
        self._kills: collections.Counter[tuple[str, str]] = collections.Counter()

    def killed(self, path: str, test: str) -> None:
        """A test noticed a change of this file."""
        self._kills[path, test] += 1
        self._kills[Path(path).suffix, test] += 1

    def order(self, path: str, function: str, tests: Iterable[Measured]) -> list[Measured]:
        """The tests that run this function of a file, by kills a second."""
        fitting = [test for test in tests if test.may_notice(path, function)]
        return sorted(fitting, key=lambda test: (-self._worth(path, test), test.name))

    def _worth(self, path: str, test: Measured) -> float:
        file = Path(path)
        is_his_own = f"test_{file.stem}" in test.name or f"test_{file.parent.name}" in test.name
        kills = 4 * self._kills[path, test.name] + self._kills[file.suffix, test.name] + (1 if is_his_own else 0.1)
        return kills / (test.seconds + 0.02)


def split(ordered: list[Measured], most_s: float) -> tuple[list[Measured], list[Measured]]:
    """As many tests as ran in `most_s` on the sound engine, and those left over."""
    first, rest, spent = [], [], 0.0
    for test in ordered:
        fits = spent + test.seconds <= most_s
        spent += test.seconds if fits else 0
        (first if fits else rest).append(test)
    return first, rest
