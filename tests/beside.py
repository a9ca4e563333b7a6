"""What runs beside a test, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connection


def in_thread(action: Callable[[], object]) -> threading.Thread:
    """Run it beside the test, with a connection of its own."""

    def run() -> None:
        try:
            action()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
