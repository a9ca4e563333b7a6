"""`manage.py drain`: pause a target, then wait until nothing of it runs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.jobs.controls.pauses import drain, pause
from rateguard.jobs.controls.targets import find_target
from rateguard.management.shell import ShellCommand, add_target, span, told_in_words, who


class Command(ShellCommand):
    """Exit code 0: nothing of it runs. 1: something still did when the time was over. It stays paused in either case."""

    help = "Pause all work, a tenant, lane, model, deployment, account or run, and wait until nothing of it runs."

    def add_arguments(self, parser: CommandParser) -> None:
        """What, for how long at most, and why."""
        super().add_arguments(parser)
        add_target(parser)
        parser.add_argument("--timeout", type=span, default=span("10m"), help="wait so long at most (90s, 10m, 2h); 10m by default")
        parser.add_argument("--reason", default="drained", help="why; whoever looks is told")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Pause, wait, and fail if something is left."""
        kind, target = options["kind"], options["target"]
        name = "everything" if kind == "all" else f"{kind} {target}"
        with told_in_words():
            found = find_target(kind, target)
            pause(kind, target, None, options["reason"], who())
            left = drain(found, options["timeout"].total_seconds(), None if options["json"] else self._tell)
        remedy = f"it stays paused: manage.py resume {kind} {target}".rstrip()
        values = {"target_kind": kind, "target": target, "drained": left == 0, "running": left}
        if not left or options["json"]:
            self.show(options, values, f"{name} is drained; {remedy}")
        if left:
            raise CommandError(f"{left} of {name} still run after {options['timeout'].total_seconds():.0f} s; {remedy}")

    def _tell(self, left: int) -> None:
        if left:
            self.stdout.write(f"{left} still run")
            self.stdout.flush()
