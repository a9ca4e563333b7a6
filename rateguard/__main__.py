"""`rateguard` and `python -m rateguard`: Django's commands of our own project, or of the one that DJANGO_SETTINGS_MODULE names."""

from __future__ import annotations

import os

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rateguard.settings")
    execute_from_command_line()


if __name__ == "__main__":
    main()
