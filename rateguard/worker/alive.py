"""A file whose age says whether a worker's event loop turns, for a supervisor that can ask nothing else of it; it needs no server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

logger = logging.getLogger(__name__)


class AliveFile:
    """Touched each `period_s` on the running loop, from `start` to `stop`; without a path nothing happens."""

    def __init__(self, path: str | None, period_s: float) -> None:
        self._path = Path(path) if path else None
        self._period_s = period_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on this loop."""
        if self._path is not None:
            self._task = asyncio.get_running_loop().create_task(self._touch(self._path))

    def stop(self) -> None:
        """The worker has left: the file goes."""
        if self._task is not None and self._path is not None:
            self._task.cancel()
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    async def _touch(self, path: Path) -> None:
        is_told = False
        while True:
            error = _touched(path)
            if error is not None and not is_told:
                logger.warning("ALIVE_FILE cannot be written: %s", error)
            is_told = error is not None
            await asyncio.sleep(self._period_s)


def _touched(path: Path) -> OSError | None:
    """Why it could not be; it lies in memory or on this machine's disk, so that the loop waits for nothing."""
    try:
        path.touch()
    except OSError as error:
        return error
    return None
