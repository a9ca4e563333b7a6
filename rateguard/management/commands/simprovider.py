"""`manage.py simprovider`: the simulated provider, for trying things out without a real account."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from rateguard.engine.providers.sim.__main__ import add_arguments
from rateguard.engine.providers.sim.server import serve


class Command(BaseCommand):
    """Runs until it is stopped; its first line tells its address and its control token."""

    help = "Run the simulated provider: every provider's wire format, real limits, its own bill."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """The same options as `python -m rateguard.engine.providers.sim`."""
        add_arguments(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        """Serve."""
        serve(options["host"], options["port"], stop_with_stdin=options["stop_with_stdin"], log=options["log"])
