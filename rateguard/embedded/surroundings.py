"""What a process of ours finds in its environment: what a terminal needs, what its starter says, and nothing else of the caller's shell."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
"""The folder that holds our packages."""

_KEPT = {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES", "LANG"}


def surroundings(said: Mapping[str, str], *, also: Collection[str] = (), prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    """The environment of a child: no variable of the caller's shell may point it at a real server unless it is asked for.

    said: what the starter says, the last word. also, prefixes: further variables of the shell that pass, by name or beginning.
    """
    names = {*_KEPT, *also}
    kept = {name: value for name, value in os.environ.items() if name in names or name.startswith(("LC_", *prefixes))}
    return {**kept, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", **said}
