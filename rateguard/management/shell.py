"""What the commands that look and switch have in common: targets, times, tables, and one JSON object instead of words."""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from django.utils.dateparse import parse_datetime

from rateguard.engine.errors import GateError, InvalidRequest
from tenants.models import PauseKind

_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,9})(s|m|min|h|d)")
_FIGURE = re.compile(r"-?\$?[\d,.]+|unlimited|–|")
_DJANGOS = ("--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color", "--skip-checks")
_NAMED = [kind.value for kind in PauseKind if kind != PauseKind.ALL]


class ShellCommand(BaseCommand):
    """A command with `--json`: one line for machines, nothing beside it."""

    suppressed_base_arguments = set(_DJANGOS)  # noqa: RUF012 - as Django has it; they work, the help is about the command's own

    def add_arguments(self, parser: CommandParser) -> None:
        """What all of them take."""
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of words")

    def show(self, options: dict[str, Any], values: object, words: str) -> None:
        """Print one or the other."""
        self.stdout.write(orjson.dumps(values).decode() if options["json"] else words)


def add_target(parser: CommandParser, *, is_optional: bool = False) -> None:
    """`all`, or a kind and a name."""
    parser.add_argument("kind", nargs="?" if is_optional else None, choices=PauseKind.values, help=f"all, or one of {', '.join(_NAMED)}")
    parser.add_argument("target", nargs="?", default="", help="its name; of a deployment or an account also its number; of a run its id")


@contextmanager
def told_in_words() -> Iterator[None]:
    """What is wrong with what was typed, with the gate or with the database, without a traceback."""
    try:
        yield
    except InvalidRequest as error:
        raise CommandError(str(error)) from None
    except GateError as error:
        raise CommandError(f"the gate does not answer, or is being rebuilt: try again in a moment ({error})") from None
    except (OperationalError, ProgrammingError) as error:
        told = (str(error).splitlines() or ["it does not answer"])[0]
        raise CommandError(f"the database cannot be used: {told}; see `manage.py doctor`") from None


def who() -> str:
    """Whoever types, for the record."""
    try:
        return f"shell {getpass.getuser()}"
    except (KeyError, OSError):
        return "shell"


def span(text: str) -> dt.timedelta:
    """`90s`, `10m`, `2h`, `1d`."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: write how long like 90s, 10m, 2h or 1d")
    return dt.timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])


def moment(text: str) -> dt.datetime:
    """A time with its zone."""
    try:
        time = parse_datetime(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r}: write a time with its zone, such as 2030-01-31T12:00:00Z")
    return time


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they must be; numbers to the right."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *texts]) for column in range(len(head))]
    is_number = [all(_FIGURE.fullmatch(line[column]) for line in texts) for column in range(len(head))]
    lines = []
    for line in [list(head), *texts]:
        cells = (text.rjust(width) if right else text.ljust(width) for text, width, right in zip(line, widths, is_number, strict=True))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _text(cell: object) -> str:
    if cell is None:
        return "–"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def shortly(wait_ms: int | None) -> str:
    """How long somebody waits: `now`, `in 1.2 s`, `in 5 min`, `not by itself`."""
    if wait_ms is None:
        return "not by itself"
    if wait_ms == 0:
        return "now"
    seconds = wait_ms / 1_000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"in {seconds / length:.0f} {unit}"
    return f"in {seconds:.1f} s"
