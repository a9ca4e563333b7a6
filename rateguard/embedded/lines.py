"""What rich draws, as lines: with colours on a terminal, without them and without blanks at their ends elsewhere."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console, RenderableType

WIDTH = 100
"""Columns where there is no terminal."""


class Stream(Protocol):
    """Where the lines go."""

    def isatty(self) -> bool:
        """Whether that is a terminal."""
        ...


def in_lines(drawn: RenderableType, stream: Stream) -> str:
    """The lines, without a line break at the end."""
    is_terminal = stream.isatty()
    console = Console(highlight=False, width=None if is_terminal else WIDTH, force_terminal=is_terminal)
    with console.capture() as captured:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").splitlines())
