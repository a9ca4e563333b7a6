"""`manage.py up`: the whole line on this machine, for real work, with a state that lasts."""

from __future__ import annotations

import os
import sys

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rateguard.embedded.surroundings import PROJECT


class Command(BaseCommand):
    """Becomes a process of its own: it has settings, a database and servers of its own."""

    help = "Runs rateguard on this machine for real work: database, Valkey, web process, worker. Ctrl-C ends it, its state stays."

    def run_from_argv(self, argv: list[str]) -> None:
        """Replace this process, so that Ctrl-C, the terminal and the exit code are its own."""
        if settings.ROOT_URLCONF != "rateguard.project_urls":
            raise SystemExit(
                "`up` runs rateguard's own project. In a project of yours start its own processes: its web process, and "
                "`celery -A yourproject worker`; see docs/django.md"
            )
        os.environ["PYTHONPATH"] = str(PROJECT)
        os.execv(sys.executable, [sys.executable, "-m", "rateguard.up", *argv[2:]])  # noqa: S606 - our own interpreter

    def handle(self, *_args: object, **_options: object) -> None:
        """Only a shell starts it."""
        raise CommandError("start it from a shell: python3 manage.py up")
