"""Tests that measure against the clock run alone: while one does, no other worker of pytest-xdist runs a test.

Every test holds the lock `running` with others; one marked `alone` holds it for itself. All pass the lock `turn` first, so that who waits
to be alone is not passed by those who come later.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

FOLDER_VARIABLE = "TESTS_ALONE_FOLDER"
"""Set in environment.py, the same for all workers of a run."""


@contextlib.contextmanager
def in_turn(*, is_alone: bool) -> Iterator[None]:
    """Run with others, or alone. Blocks until that is possible."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    with (folder / "turn").open("a") as turn, (folder / "running").open("a") as running:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield
