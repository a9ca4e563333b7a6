"""The demo's own log lines go where the children's go: the terminal belongs to the view."""

from __future__ import annotations

import logging
from pathlib import Path

from rateguard.telemetry.logs import formatter


def into_a_file(folder: Path) -> None:
    """Write this process's log to `demo.log` in the folder, and nothing to the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / "demo.log")
    handler.setFormatter(formatter(is_terminal=False))
    logging.getLogger().handlers = [handler]
