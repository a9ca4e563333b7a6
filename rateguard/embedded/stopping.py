"""Ctrl-C and SIGTERM as something to wait for: the first asks for an orderly end, a second one for an immediate one."""

import os
import select
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """While entered, the first signal is noted and each later one calls `on_second`; afterwards the handlers are as before.

    Main thread only. `on_second` runs between two instructions of the main thread, so it must take no lock; for the same reason
    this is a pipe and not a threading.Event, whose own lock the interrupted code may hold.
    """

    def __init__(self, on_second: Callable[[], None] = lambda: None) -> None:
        self.on_second = on_second
        self.count = 0
        self._previous: dict[signal.Signals, object] = {}
        self._ear, self._mouth = -1, -1

    def __enter__(self) -> Self:
        self._ear, self._mouth = os.pipe()
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave us, it takes back
        os.close(self._ear)
        os.close(self._mouth)

    def is_set(self) -> bool:
        """Whether an end has been asked for."""
        return self.count > 0

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until an end is asked for, at most `timeout_s`; returns whether it has been."""
        if not self.is_set():
            select.select([self._ear], [], [], timeout_s)
        return self.is_set()

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            os.write(self._mouth, b"!")
        else:
            self.on_second()
