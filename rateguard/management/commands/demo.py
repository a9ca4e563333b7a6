"""`manage.py demo`: the whole line live on this machine, from nothing, and nothing left behind."""

import os
import sys

from django.core.management.base import BaseCommand

from rateguard.embedded.surroundings import PROJECT


class Command(BaseCommand):
    """Becomes the demo's own process: it has settings, a database and servers of its own."""

    help = "Runs real requests of three tenants through real servers under a real limit, live; --exit, --jobs N, --json."

    def run_from_argv(self, argv: list[str]) -> None:
        """Replace this process, so that Ctrl-C, the terminal and the exit code are the demo's."""
        os.environ["PYTHONPATH"] = str(PROJECT)
        os.execv(sys.executable, [sys.executable, "-m", "rateguard.demo", *argv[2:]])  # noqa: S606 - our own interpreter
