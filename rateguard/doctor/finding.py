"""What a look found: good, worth a thought, or broken; and what to do about it."""

from __future__ import annotations

import dataclasses
import enum


class Level(enum.StrEnum):
    """How bad it is. FAIL: work stands still, is lost or is unsafe."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One fact. remedy: what to do, "" where nothing is to be done."""

    level: Level
    what: str
    remedy: str = ""


def ok(what: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, what)


def warn(what: str, remedy: str) -> Finding:
    """It works, but somebody should think about it."""
    return Finding(Level.WARN, what, remedy)


def fail(what: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(Level.FAIL, what, remedy)
