"""One small change to a source file, as a value."""

from __future__ import annotations

import dataclasses
import enum


class Change(enum.StrEnum):
    """What was done to the source."""

    COMPARISON = "comparison"
    ARITHMETIC = "arithmetic"
    CONSTANT = "constant"
    STATEMENT = "dropped statement"
    BOOLEAN = "boolean"
    EXTREME = "min and max"


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    """The text from `start` to `end` (characters) of a file becomes `after`. line: from 1; source: that line without its
    blanks; column: of the change in `source`.

    nth: which of the alike changes of alike lines it is, so that a name holds when lines above it come and go.
    """

    path: str
    change: Change
    start: int
    end: int
    before: str
    after: str
    line: int
    column: int
    source: str
    nth: int = 0

    @property
    def name(self) -> str:
        """What it is known by in lists: `gate/room.py: if a < b:: < → <=`."""
        again = f" ({self.nth + 1})" if self.nth else ""
        what = "dropped" if self.change == Change.STATEMENT else f"{self.before.strip()} → {self.after or 'nothing'}"
        return f"{self.path}: {self.source}: {what}{again}"

    def applied(self, text: str) -> str:
        """The file's text with the change. Raises ValueError where the text is not the one it was made from."""
        if text[self.start : self.end] != self.before:
            raise ValueError(f"{self.path}:{self.line} has changed: make the mutants anew")
        return text[: self.start] + self.after + text[self.end :]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where something can be changed, and into what: one of `afters` is chosen."""

    change: Change
    start: int
    end: int
    afters: tuple[str, ...]


COMPARISONS = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "is": "is not",
    "is not": "is",
    "in": "not in",
    "not in": "in",
}
ARITHMETIC = {"+": "-", "-": "+", "*": "//", "//": "*", "/": "*", "%": "+", "**": "*", "<<": ">>", ">>": "<<"}
EXTREMES = {"min": "max", "max": "min"}
BOOLEANS = {"and": "or", "or": "and"}


def off_by_one(number: str) -> tuple[str, ...]:
    """A whole number and its neighbours; none for what is not whole."""
    digits = number.replace("_", "")
    return (str(int(digits) + 1), str(int(digits) - 1)) if digits.isdecimal() else ()
