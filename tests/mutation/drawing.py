"""Which files are broken, and which mutants of them are drawn by a seed."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.mutation import of_lua, of_python
from tests.mutation.asking import ENGINE
from tests.mutation.mutant import Mutant

PATTERNS = (
    "limits/*.py",
    "limits/*.lua",
    "breaker/*.py",
    "breaker/*.lua",
    "routing/*.py",
    "routing/*.lua",
    "gate/*.py",
    "gate/lua/*.lua",
    "scopes.py",
    "money.py",
    "retry.py",
    "lanes.py",
    "histogram.py",
)
DECIDES_NOTHING = {"__init__.py", "contract.py", "connection.py"}
"""Values alone; and how a server is found, which tests of outages hold with real servers."""

Fits = Callable[[Mutant, str], bool]


def files(project: Path) -> list[Path]:
    """The engine's sources, relative to ENGINE."""
    engine = project / ENGINE
    found = [path for pattern in PATTERNS for path in sorted(engine.glob(pattern))]
    return [path.relative_to(engine) for path in found if path.name not in DECIDES_NOTHING]


def mutants_of(path: Path, text: str, rnd: random.Random) -> list[Mutant]:
    """One mutant for each place of a file, in the order of the text; what a place becomes is drawn where there is a choice."""
    places = of_lua.places_of(text) if path.suffix == ".lua" else of_python.places_of(text)
    lines = text.splitlines(keepends=True)
    ends = list(itertools.accumulate(map(len, lines)))
    seen: collections.Counter[str] = collections.Counter()
    mutants = []
    for place in places:
        line = bisect.bisect_right(ends, place.start)
        before, after = text[place.start : place.end], rnd.choice(place.afters)
        column = place.start - ends[line] + len(lines[line].lstrip())
        mutant = Mutant(str(path), place.change, place.start, place.end, before, after, line + 1, column, lines[line].strip())
        mutants.append(dataclasses.replace(mutant, nth=seen[mutant.name]))
        seen[mutant.name] += 1
    return mutants


def found_again(mutant: Mutant, text: str) -> Mutant | None:
    """The same change in a later text of its file: there the same line is, among equal ones the same; None where the line is no more."""
    lines = text.splitlines(keepends=True)
    begins = [0, *itertools.accumulate(map(len, lines))]
    same = [number for number, line in enumerate(lines) if line.strip() == mutant.source]
    for number in sorted(same, key=lambda number: abs(number + 1 - mutant.line)):
        start = begins[number] + len(lines[number]) - len(lines[number].lstrip()) + mutant.column
        end = start + len(mutant.before)
        if text[start:end] == mutant.before:
            return dataclasses.replace(mutant, start=start, end=end, line=number + 1)
    return None


def shares(sizes: dict[Path, int], count: int) -> dict[Path, int]:
    """How many of `count` each file gets: by its lines, the largest rests first, at least one."""
    total = sum(sizes.values())
    exact = {path: count * size / total for path, size in sizes.items()}
    given = {path: max(1, int(share)) for path, share in exact.items()}
    for path in sorted(exact, key=lambda path: int(exact[path]) - exact[path]):
        if sum(given.values()) >= count:
            break
        given[path] += 1
    return given


def draw(project: Path, seed: int, count: int, fits: Fits = lambda _mutant, _text: True) -> list[Mutant]:
    """`count` mutants (fewer where the files hold fewer), spread over the files by their lines; those that do not fit are drawn again."""
    texts = {path: (project / ENGINE / path).read_text(encoding="utf-8") for path in files(project)}
    wanted = shares({path: len(text.splitlines()) for path, text in texts.items()}, count)
    return [mutant for path, text in texts.items() for mutant in _draw_some(path, text, seed, wanted[path], fits)]


def _draw_some(path: Path, text: str, seed: int, count: int, fits: Fits) -> Iterator[Mutant]:
    rnd = random.Random(f"{seed}:{path}")
    mutants = mutants_of(path, text, rnd)
    rnd.shuffle(mutants)
    drawn: list[Mutant] = []
    while mutants and len(drawn) < count:
        mutant = mutants.pop()
        if fits(mutant, text):
            drawn.append(mutant)
    yield from sorted(drawn, key=lambda mutant: mutant.start)
