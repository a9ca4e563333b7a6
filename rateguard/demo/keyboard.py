"""Single keys from the terminal, without Enter; Ctrl-C stays what it is."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

_LOOK_S = 0.2


class Keyboard:
    """While entered, calls `actions[key]` in a thread for each key pressed; does nothing where stdin is no terminal."""

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        self._actions = actions
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-keyboard", daemon=True)
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if sys.stdin.isatty():
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSANOW)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leaving.set()
        if self._before is not None:
            self._thread.join()
            termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)

    def _run(self) -> None:
        descriptor = sys.stdin.fileno()
        while not self._leaving.is_set():
            if not select.select([descriptor], [], [], _LOOK_S)[0]:
                continue
            typed = os.read(descriptor, 1).decode(errors="replace").lower()
            if not typed:
                return
            if typed in self._actions:
                self._actions[typed]()
