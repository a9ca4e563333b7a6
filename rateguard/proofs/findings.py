"""What a proof found: lines, each with its aim, what was seen and whether that meets it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One figure. aim: in words, "" where it is only told."""

    what: str
    aim: str
    seen: str
    is_met: bool = True


def at_most(what: str, seen: float, most: float, unit: str = "", digits: int = 2) -> Line:
    """A figure that may not be above a bound.

    >>> at_most("worst window", 0.9987, 1.0)
    Line(what='worst window', aim='≤ 1.00', seen='1.00', is_met=True)
    """
    return Line(what, f"≤ {_number(most, digits)}{unit}", f"{_number(seen, digits)}{unit}", seen <= most)


def at_least(what: str, seen: float, least: float, unit: str = "", digits: int = 2) -> Line:
    """A figure that may not be below a bound."""
    return Line(what, f"≥ {_number(least, digits)}{unit}", f"{_number(seen, digits)}{unit}", seen >= least)


def exactly(what: str, seen: int, wanted: int) -> Line:
    """A count that must be this."""
    return Line(what, f"{wanted:,}", f"{seen:,}", seen == wanted)


def told(what: str, seen: str) -> Line:
    """A figure without an aim."""
    return Line(what, "", seen)


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One part of a proof: its name, what it does in a sentence, its lines, and how long it took."""

    name: str
    about: str
    lines: Sequence[Line]
    took_s: float

    @property
    def is_met(self) -> bool:
        """Whether there are lines, and all are met."""
        return bool(self.lines) and all(line.is_met for line in self.lines)


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """All parts that were run."""

    proof: str
    parts: Sequence[Part]

    @property
    def is_met(self) -> bool:
        """Whether something was run, and every line is met."""
        return bool(self.parts) and all(part.is_met for part in self.parts)

    def as_json(self) -> str:
        """The one line: {"prove", "is_met", "parts"}."""
        parts: list[dict[str, Any]] = [{**dataclasses.asdict(part), "is_met": part.is_met} for part in self.parts]
        return json.dumps({"prove": self.proof, "is_met": self.is_met, "parts": parts}, ensure_ascii=False)

    def show(self) -> None:
        """Print the table, and the verdict under it."""
        console = Console(width=max(120, Console().width))
        table = Table(title=f"prove {self.proof}", title_justify="left")
        for column in ("part", "what", "aim", "seen", ""):
            table.add_column(column, justify="right" if column in {"aim", "seen"} else "left")
        for part in self.parts:
            for number, line in enumerate(part.lines):
                verdict = "" if not line.aim else "met" if line.is_met else "NOT MET"
                table.add_row(
                    "" if number else part.name, line.what, line.aim, line.seen, verdict, end_section=number == len(part.lines) - 1
                )
        console.print(table)
        lines = [line for part in self.parts for line in part.lines if line.aim]
        console.print(f"{sum(line.is_met for line in lines)} of {len(lines)} lines met", highlight=False)
