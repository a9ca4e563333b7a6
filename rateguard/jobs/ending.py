"""The last resort of a process that was asked to end and hangs: it is ended hard, before a supervisor does it.

Nothing is lost by it. Rows are the truth, and what the process held is found by the caretaker of another one.
"""

from __future__ import annotations

import logging
import os
import threading

logger = logging.getLogger(__name__)


def end_within(seconds: float) -> None:
    """End this process after so many seconds, unless it has ended by then."""
    timer = threading.Timer(seconds, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    logger.critical("the process was asked to end and does not; it is ended now")
    os._exit(1)
