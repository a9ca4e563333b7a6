"""A supervisor's own log lines go where its children's go: the terminal belongs to what people look at."""

from __future__ import annotations

import logging
from pathlib import Path

from rateguard.telemetry.logs import formatter


def into_a_file(path: Path) -> None:
    """Write this process's log to a file, whose folder is made where it is absent, and nothing to the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(formatter(is_terminal=False))
    logging.getLogger().handlers = [handler]
