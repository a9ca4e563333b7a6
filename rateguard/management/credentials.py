"""Secrets that are typed in: from a variable of the environment or from standard input, never as an argument, which everybody can read."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser


def add_credentials(parser: CommandParser, *, is_required: bool) -> None:
    """`--credentials-from NAME`, or `-`."""
    parser.add_argument(
        "--credentials-from",
        required=is_required,
        metavar="VARIABLE",
        help="the variable of the environment that holds the provider's key; - reads it from standard input",
    )


def _read() -> str:
    """One line, unseen where somebody types it; all of them where the first begins a JSON object, as a provider's file does."""
    if sys.stdin.isatty():
        return getpass.getpass("credentials: ")
    first = sys.stdin.readline()
    return first + sys.stdin.read() if first.lstrip().startswith("{") else first


def credentials_of(options: dict[str, Any]) -> str | None:
    """The secret, None where none was named. Raises CommandError for a variable that is not set, and for an empty one."""
    source = options["credentials_from"]
    if source is None:
        return None
    text = _read() if source == "-" else os.environ.get(source, "")
    if not text.strip():
        what = "standard input" if source == "-" else f"the variable {source}"
        raise CommandError(f"{what} holds no credentials: name a variable that does, or - for standard input")
    return text.strip()
