"""`manage.py breaker`: look at the breakers of deployments, and switch them by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.api.limits.breakers import ACTIONS, render_breaker
from rateguard.jobs.controls.breakers import breakers
from rateguard.jobs.controls.targets import find_named
from rateguard.management.shell import ShellCommand, table, told_in_words, who
from tenants.models import Deployment

_DONE = {
    "open": "nothing goes to {name} until `breaker auto {name}`",
    "close": "work goes to {name} whatever happens, until `breaker auto {name}`",
    "auto": "the breaker of {name} follows its rule",
    "reset": "the breaker of {name} is closed and has forgotten what it counted",
}


class Command(ShellCommand):
    """open and close hold until `auto`; reset closes a breaker once, and it counts anew."""

    help = "List the breakers of deployments; force one open or closed; let it follow its rule again (auto); reset it."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do, and with which deployment."""
        super().add_arguments(parser)
        parser.add_argument("action", choices=("list", *ACTIONS))
        parser.add_argument("deployment", nargs="?", default="", help="its name or number")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it and say what holds now."""
        if options["action"] == "list":
            self._list(options)
            return
        row = find_named(Deployment.objects.all(), options["deployment"])
        if row is None:
            raise CommandError(f"there is no deployment {options['deployment']!r}: manage.py breaker list")
        with told_in_words():
            ACTIONS[options["action"]](row, who())
        values = {"deployment": row.name, "id": row.pk, "action": options["action"], "forced": row.breaker_forced}
        self.show(options, values, _DONE[options["action"]].format(name=row.name))

    def _list(self, options: dict[str, Any]) -> None:
        with told_in_words():
            shown = [render_breaker(one) for one in breakers()]
        head = ("deployment", "state", "forced", "calls", "failed", "slow", "next probe")
        rows = [
            (
                one["deployment"],
                one["state"] + (", probing" if one["probing"] else ""),
                "" if one["forced"] == "no" else one["forced"],
                one["calls"],
                one["failures"],
                one["slow"],
                one["probe_at"],
            )
            for one in shown
        ]
        self.show(options, {"object": "list", "data": shown}, table(head, rows) if rows else "there are no deployments")
