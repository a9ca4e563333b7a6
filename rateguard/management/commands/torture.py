"""`manage.py torture`: faults of every kind against real processes, and whether everything that is promised is kept."""

import os
import sys

from django.core.management.base import BaseCommand

from rateguard.embedded.surroundings import PROJECT


class Command(BaseCommand):
    """Becomes the campaign's own process: it has settings, a database and servers of its own."""

    help = "Faults of every kind against real processes: is anything lost? --seed N, --jobs N, --faults N, --full, --broken NAME, --json."

    def run_from_argv(self, argv: list[str]) -> None:
        """Replace this process, so that Ctrl-C, the terminal and the exit code are the campaign's."""
        os.environ["PYTHONPATH"] = str(PROJECT)
        os.execv(sys.executable, [sys.executable, "-m", "rateguard.torture", *argv[2:]])  # noqa: S606 - our own interpreter
