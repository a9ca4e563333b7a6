"""How a run is shown: a live view on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from rateguard.demo.observe import Snapshot
from rateguard.demo.view import Frame, render
from rateguard.embedded.news import News

LINE_EVERY_S = 5.0


class Display(Protocol):
    """Shows one frame after the other; a context manager that leaves the terminal as it was."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def show(self, frame: Frame) -> None:
        """Show this moment."""
        ...


class LiveDisplay:
    """The whole terminal; the last frame stays above what is printed afterwards."""

    def __init__(self, console: Console, news: News) -> None:
        self._console = console
        self._news = news
        self._last: Frame | None = None
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()
        if self._last is not None:
            self._console.print(render(self._last, self._news, self._console.size, is_final=True))

    def show(self, frame: Frame) -> None:
        """Show this moment."""
        self._last = frame
        self._live.update(render(frame, self._news, self._console.size), refresh=True)


class PlainDisplay:
    """Lines: the progress every few seconds, and each event."""

    def __init__(self, news: News) -> None:
        self._news = news
        self._told = 0
        self._next_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to put back."""

    def show(self, frame: Frame) -> None:
        """Say what is new."""
        self._told, events = self._news.since(self._told)
        for event in events:
            print(f"{event.at_s:6.1f} s  {event.text}", flush=True)
        if time.monotonic() >= self._next_at or frame.snapshot.is_over:
            self._next_at = time.monotonic() + LINE_EVERY_S
            print(f"{frame.at_s:6.1f} s  {_progress(frame.snapshot)}", flush=True)


def _progress(snapshot: Snapshot) -> str:
    total = snapshot.total
    uses = "".join(f"; {use.name} {use.used / use.amount:.0%}" for use in snapshot.uses if not use.is_money)
    return f"{total.waiting} waiting, {total.running} running, {total.done} done{uses}"
