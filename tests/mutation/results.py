"""The list of what became of the mutants: RESULTS.md, with the reasons of SURVIVORS for those that nobody noticed."""

from __future__ import annotations

import collections
import dataclasses
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.mutation.mutant import Change, Mutant
from tests.mutation.trying import Verdict

HERE = Path(__file__).parent
RESULTS, DATA, SURVIVORS = HERE / "RESULTS.md", HERE / "results.json", HERE / "survivors.toml"
UNEXPLAINED = "not explained yet"

HEAD = """# Mutants of the engine

Each line of the lists is one small change to the engine, made alone. Killed: a test failed, or ran without end; it is named.
Made by `python -m tests.mutation`, and by `--survivors` as the suite grew; the data are `results.json`, the reasons `survivors.toml`.

Seed {seed}, {count} mutants: **{killed} killed, {share:.1f} %**.
"""


def reasons() -> dict[str, str]:
    """By a survivor's name, why no test can or need notice it."""
    return {entry["mutant"]: " ".join(entry["why"].split()) for entry in tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["survivor"]}


def write_results(verdicts: list[Verdict], seed: int) -> None:
    """Write the list anew, as data and to read."""
    store(verdicts, seed, DATA)
    RESULTS.write_text(rendered(verdicts, seed, reasons()), encoding="utf-8")


def store(verdicts: list[Verdict], seed: int, path: Path) -> None:
    """Write the list as data, a line for each mutant."""
    rows = [json.dumps({**dataclasses.asdict(verdict.mutant), "killer": verdict.killer}, ensure_ascii=False) for verdict in verdicts]
    path.write_text(f'{{"seed": {seed}, "mutants": [\n' + ",\n".join(rows) + "\n]}\n", encoding="utf-8")


def stored(path: Path = DATA) -> tuple[list[Verdict], int]:
    """The list and its seed, as they were stored."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [_verdict(**row) for row in found["mutants"]], found["seed"]


def _verdict(killer: str, change: str, **fields: Any) -> Verdict:
    return Verdict(Mutant(change=Change(change), **fields), killer)


def rendered(verdicts: list[Verdict], seed: int, why: dict[str, str]) -> str:
    """Counts by file and by kind, the survivors with their reasons, all others with the test that noticed first."""
    killed = sum(verdict.is_killed for verdict in verdicts)
    head = HEAD.format(seed=seed, count=len(verdicts), killed=killed, share=100 * killed / len(verdicts))
    survivors = [verdict.mutant.name for verdict in verdicts if not verdict.is_killed]
    parts = [
        head,
        _table("file", ((verdict.mutant.path, verdict) for verdict in verdicts)),
        _table("change", ((verdict.mutant.change, verdict) for verdict in verdicts)),
        "## Survivors\n",
        *(f"- `{_code(name)}`\n  {why.get(name, UNEXPLAINED)}" for name in survivors),
        "\n## Killed\n",
        *(f"- `{_code(verdict.mutant.name)}`\n  {_short(verdict.killer)}" for verdict in verdicts if verdict.is_killed),
    ]
    return "\n".join(parts) + "\n"


def _table(heading: str, rows: Iterable[tuple[str, Verdict]]) -> str:
    made: collections.Counter[str] = collections.Counter()
    killed: collections.Counter[str] = collections.Counter()
    for name, verdict in rows:
        made[name] += 1
        killed[name] += verdict.is_killed
    lines = [f"| {heading} | mutants | killed |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {made[name]} | {killed[name]} |" for name in sorted(made))]) + "\n"


def _code(text: str) -> str:
    return text.replace("`", "'")


def _short(test: str) -> str:
    return test.rpartition("/")[2]
