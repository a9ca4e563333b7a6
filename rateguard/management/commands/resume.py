"""`manage.py resume`: lift a pause."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from rateguard.jobs.controls.pauses import resume
from rateguard.management.shell import ShellCommand, add_target, told_in_words, who


class Command(ShellCommand):
    """What waited goes on within a second. Resuming what is not paused changes nothing."""

    help = "Lift a pause of all work, a tenant, lane, model, deployment, account or run."

    def add_arguments(self, parser: CommandParser) -> None:
        """What."""
        super().add_arguments(parser)
        add_target(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Resume, and say whether it was paused."""
        kind, target = options["kind"], options["target"]
        with told_in_words():
            was_paused = resume(kind, target, who())
        name = "everything" if kind == "all" else f"{kind} {target}"
        values = {"target_kind": kind, "target": target, "was_paused": was_paused}
        self.show(options, values, f"resumed {name}" if was_paused else f"{name} was not paused")
