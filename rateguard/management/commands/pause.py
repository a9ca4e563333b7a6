"""`manage.py pause`: let nothing more of a target be granted; without a target, what is paused."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.api.pauses.views import render_pause
from rateguard.jobs.controls.pauses import pause, pauses_in_force
from rateguard.management.shell import ShellCommand, add_target, moment, span, table, told_in_words, who
from tenants.models import Pause


class Command(ShellCommand):
    """What was granted before still runs; what waits goes on waiting. Pausing again replaces the old pause."""

    help = "Pause all work, a tenant, lane, model, deployment, account or run; without a target, list the pauses."

    def add_arguments(self, parser: CommandParser) -> None:
        """What, until when, and why."""
        super().add_arguments(parser)
        add_target(parser, is_optional=True)
        when = parser.add_mutually_exclusive_group()
        when.add_argument("--until", type=moment, help="resume by itself at this time (2030-01-31T12:00:00Z)")
        when.add_argument("--for", dest="span", type=span, help="resume by itself after so long (90s, 10m, 2h, 1d)")
        parser.add_argument("--reason", default="", help="why; whoever looks is told")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Pause and say what still runs, or list."""
        if options["kind"] is None:
            if options["until"] or options["span"] or options["reason"]:
                raise CommandError("say what is to be paused: all, tenant acme, lane low, model …, deployment …, account …, run …")
            self._list(options)
            return
        with told_in_words():
            row = pause(options["kind"], options["target"], options["until"] or options["span"], options["reason"], who())
        shown = render_pause(row)
        self.show(options, shown, f"paused {_named(shown)} until {_until(row)}; {shown['running']} of it still run")

    def _list(self, options: dict[str, Any]) -> None:
        found = list(pauses_in_force())
        shown = [render_pause(row) for row in found]
        head = ("paused", "until", "still run", "by", "why")
        rows = [(_named(one), _until(row), one["running"], row.created_by, row.reason) for one, row in zip(shown, found, strict=True)]
        self.show(options, {"object": "list", "data": shown}, table(head, rows) if rows else "nothing is paused")


def _named(shown: dict[str, Any]) -> str:
    return "everything" if shown["target_kind"] == "all" else f"{shown['target_kind']} {shown['target']}"


def _until(row: Pause) -> str:
    return f"{row.until:%Y-%m-%d %H:%M:%S} UTC" if row.until else "it is resumed"
