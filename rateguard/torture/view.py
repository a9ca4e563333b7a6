"""What a person sees while a campaign runs: a calm frame on a terminal, a line for each fault elsewhere."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rateguard.torture.record import Fault
from rateguard.torture.site import PROCESSES, SERVERS

LINE_EVERY_S = 10.0
_BAR = 30
_ENDED = ("succeeded", "failed", "cancelled", "expired")


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """One moment. phase: what the campaign does now. at_s: since its first fault; span_s: when the last is to end.

    states: jobs by state, by the rows. up: which processes take work. planned: faults in all, the provider's too.
    """

    phase: str
    seed: int
    at_s: float
    span_s: float
    accepted: int
    refused: int
    unanswered: int
    states: Mapping[str, int]
    database_answers: bool
    up: Mapping[str, bool]
    faults: Sequence[Fault]
    began_at: float
    planned: int

    @property
    def ended(self) -> int:
        """Jobs that have ended."""
        return sum(self.states.get(state, 0) for state in _ENDED)

    def progress(self) -> str:
        """The jobs by their rows, in one line."""
        waiting = self.states.get("queued", 0) + self.states.get("scheduled", 0)
        when = "" if self.database_answers else " when the database last answered"
        return f"{self.ended:,} ended, {self.states.get('running', 0):,} running, {waiting:,} waiting{when}"

    def asked(self) -> str:
        """What callers were told, in one line."""
        return f"{self.accepted:,} accepted, {self.refused:,} refused, {self.unanswered:,} unanswered"


def render(scene: Scene, size: ConsoleDimensions) -> RenderableType:
    """The frame for a terminal of that size."""
    targets = _targets(scene)
    room = max(3, size.height - targets.row_count - 9)
    lines = [Text(scene.asked(), no_wrap=True), Text(scene.progress(), no_wrap=True)]
    return Group(_title(scene), Text(), *lines, Text(), targets, Text(), *_news(scene, room, size.width))


def _title(scene: Scene) -> Text:
    part = min(1.0, scene.at_s / scene.span_s) if scene.span_s else 1.0
    done = round(part * _BAR)
    text = Text(no_wrap=True)
    text.append(" rateguard torture ", "bold reverse")
    text.append(f"  {scene.phase}  ", "bold")
    text.append("━" * done, "cyan")
    text.append("╌" * (_BAR - done), "dim")
    text.append(f"  {len(scene.faults)} of {scene.planned} faults, seed {scene.seed}", "dim")
    return text


def _targets(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 3, 0, 0))
    under_way = {fault.target: fault for fault in scene.faults if fault.ended_at is None}
    for target in (*PROCESSES, *SERVERS):
        fault = under_way.get(target)
        if fault is not None:
            table.add_row(target, Text(_words(fault), "red"))
        elif scene.up.get(target, True):
            table.add_row(target, Text("works", "green"))
        else:
            table.add_row(target, Text("is starting", "yellow"))
    return table


def _news(scene: Scene, most: int, width: int) -> list[Text]:
    return [Text(_line(fault, scene.began_at)[:width], "dim", no_wrap=True) for fault in scene.faults[-most:]]


def _line(fault: Fault, began_at: float) -> str:
    """A fault in one line: when it began, whom it strikes, what it is, how long it lasted."""
    lasted = "" if fault.ended_at is None or fault.is_provider else f", {fault.ended_at - fault.began_at:.1f} s"
    detail = f" ({fault.detail})" if fault.detail else ""
    return f"{fault.began_at - began_at:6.1f} s  {fault.target}: {_words(fault)}{lasted}{detail}"


def _words(fault: Fault) -> str:
    return fault.kind.removeprefix("provider_").replace("_", " ")


class Display(Protocol):
    """Shows one scene after the other; a context manager that leaves the terminal as it was."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def show(self, scene: Scene) -> None:
        """Show this moment."""
        ...


class LiveDisplay:
    """The whole terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def show(self, scene: Scene) -> None:
        """Show this moment."""
        self._live.update(render(scene, self._console.size), refresh=True)


class PlainDisplay:
    """Each fault of ours once it has ended, and now and then how far the work is."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, float]] = set()
        self._next_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to put back."""

    def show(self, scene: Scene) -> None:
        """Say what is new."""
        for fault in scene.faults:
            name = (fault.kind, fault.target, fault.began_at)
            if fault.ended_at is not None and name not in self._told:
                self._told.add(name)
                print(_line(fault, scene.began_at), file=sys.stderr, flush=True)
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + LINE_EVERY_S
            print(f"{scene.at_s:6.1f} s  {scene.phase}: {scene.asked()}; {scene.progress()}", file=sys.stderr, flush=True)


def display_for(console: Console) -> Display:
    """A frame where there is a terminal that can draw one, else lines."""
    return LiveDisplay(console) if console.is_terminal and not console.is_dumb_terminal else PlainDisplay()
