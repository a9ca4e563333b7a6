"""`manage.py test`: the whole suite on servers of its own, in parallel. Every argument goes to pytest; ours are in tests/conftest.py."""

import os
import sys
from pathlib import Path

from django.conf import settings
from django.core.management.commands.test import Command as DjangosOwn

PROJECT = Path(__file__).resolve().parents[3]


class Command(DjangosOwn):
    """Becomes pytest, so that its last line, its exit code and its answer to Ctrl-C are pytest's own.

    In a host project, and from the wheel, it is Django's.
    """

    help = "Runs the tests: quick ones by default; --long, --postgres, --require NAMES, and any argument of pytest's."

    def run_from_argv(self, argv: list[str]) -> None:
        """Replace this process by pytest in the project's folder; a worker a core, each stealing work when it has none."""
        if settings.ROOT_URLCONF != "rateguard.project_urls" or not (PROJECT / "tests").is_dir():  # the wheel has none
            super().run_from_argv(argv)
            return
        os.chdir(PROJECT)
        parallel = ["-n", str(max(2, os.cpu_count() or 2)), "--dist", "worksteal"]
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *parallel, *argv[2:]])  # noqa: S606 - our own interpreter
