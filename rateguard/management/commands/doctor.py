"""`manage.py doctor`: one look at all that rateguard depends on, with the remedy of each finding."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from django.core.management.base import CommandParser
from rich.table import Table
from rich.text import Text

from rateguard.doctor.finding import Level
from rateguard.doctor.looking import Seen, look
from rateguard.embedded.lines import in_lines
from rateguard.management.shell import ShellCommand

_MARKS = {Level.OK: ("✔", "green"), Level.WARN: ("!", "bold yellow"), Level.FAIL: ("✘", "bold red")}
_WORDS = {Level.OK: "ok", Level.WARN: "to think about", Level.FAIL: "broken"}


class Command(ShellCommand):
    """Changes nothing and spends no token. Exit code 1: something is broken."""

    help = "Look at settings, database, Redis, broker, workers, clocks and providers; say what is wrong and what to do."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Whether to ask the providers."""
        super().add_arguments(parser)
        parser.add_argument("--offline", action="store_true", help="do not ask the providers")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look and tell."""
        seen = look(is_offline=options["offline"])
        if options["json"]:
            self.show(options, as_values(seen), "")
        else:
            self.stdout.write(in_lines(_page(seen), self.stdout))
        if any(one.is_broken for one in seen):
            sys.exit(1)


def as_values(seen: list[Seen]) -> dict[str, Any]:
    """All findings as JSON."""
    data = [
        {"subject": one.subject, "level": finding.level.value, "what": finding.what, "remedy": finding.remedy or None}
        for one in seen
        for finding in one.findings
    ]
    return {"object": "list", "ok": not any(one.is_broken for one in seen), "data": data}


def _page(seen: list[Seen]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for one in seen:
        for index, finding in enumerate(one.findings):
            mark, style = _MARKS[finding.level]
            text = Text(finding.what, "" if finding.level == Level.OK else style.removeprefix("bold "))
            if finding.remedy:
                text.append(f"\n→ {finding.remedy}", "default")
            table.add_row(Text(mark, style), one.subject if index == 0 else "", text)
    table.add_row()
    table.add_row("", "", _summary(seen))
    return table


def _summary(seen: list[Seen]) -> Text:
    counts = Counter(finding.level for one in seen for finding in one.findings)
    parts = [(f"{counts[level]} {_WORDS[level]}", _MARKS[level][1]) for level in Level if counts[level]]
    text = Text()
    for index, (part, style) in enumerate(parts):
        text.append(", " if index else "").append(part, style)
    return text
