"""One frame of the live view: a pure function of what was seen, for terminals from 80 × 24 on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rateguard.demo import observe
from rateguard.demo.observe import Snapshot, Use
from rateguard.embedded.news import KEPT, News
from rateguard.engine.money import NANO

TALL = 30
"""Rows from which each tenant shows its own lanes; below, tenants and lanes stand one after the other."""
WIDE = 100
"""Columns from which the budgets have bars."""
_BLOCKS = " ▏▎▍▌▋▊▉█"


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """What one frame shows. phase: what the demo does now. at_s: seconds since the start. weights: by tenant."""

    snapshot: Snapshot
    phase: str
    at_s: float
    weights: Mapping[str, int]


def render(frame: Frame, news: News, size: ConsoleDimensions, *, is_final: bool = False) -> RenderableType:
    """The frame for a terminal of that size. The final one has no keys and shows every event that is kept."""
    is_tall = size.height >= TALL
    jobs = _jobs_table(frame, is_tall=is_tall)
    uses = _uses(frame.snapshot, size)
    above: list[RenderableType] = [_title(frame), jobs, Text(), *uses, Text()]
    room = size.height - (jobs.row_count + 1) - len(uses) - 4
    below = _events(news, KEPT if is_final else room, size.width)
    return Group(*above, *below) if is_final else Group(*above, *below, *[Text()] * (room - len(below)), _keys())


def _title(frame: Frame) -> Text:
    total = frame.snapshot.total
    share = total.done / total.jobs if total.jobs else 0.0
    text = Text(no_wrap=True)
    text.append(" rateguard ", "bold reverse")
    text.append(f" {frame.phase}  ", "bold")
    text.append(bar(share, 20), "green")
    text.append(f" {total.done:,} of {total.jobs:,} jobs")
    if total.failed:
        text.append(f"   {total.failed:,} failed", "red")
    text.append(f"   {frame.at_s:.0f} s", "dim")
    return text


# ---- the jobs


_COLUMNS = (
    ("wait", 6),
    ("run", 4),
    ("done", 6),
    ("tokens", 10),
    ("cost", 8),
    ("call p50", 9),
    ("p95", 7),
    ("queue p50", 10),
    ("p95", 7),
)
"""Each with its width, so that nothing moves while numbers grow."""


def _jobs_table(frame: Frame, *, is_tall: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=0, header_style="dim")
    table.add_column("", min_width=12, no_wrap=True)
    for name, width in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    seen = frame.snapshot
    for tenant, group in seen.tenants.items():
        table.add_row(f"{tenant} ×{frame.weights.get(tenant, 1)}", *_cells(group), style="bold")
        if is_tall:
            for lane in seen.lanes:
                if (tenant, lane) in seen.cells:
                    table.add_row(f"  {lane.label}", *_cells(seen.cells[tenant, lane]))
    if not is_tall:
        for lane, group in seen.lanes.items():
            table.add_row(f"  {lane.label}", *_cells(group))
    table.add_row("all", *_cells(seen.total), style="bold cyan")
    return table


def _cells(group: observe.Group) -> tuple[str | Text, ...]:
    return (
        f"{group.waiting:,}",
        f"{group.running:,}",
        Text(f"{group.done:,}", "red" if group.failed else ""),
        f"{group.tokens:,}",
        f"${group.nano_usd / NANO:.3f}",
        *(_time(value) for value in (*group.latency_ms, *group.wait_ms)),
    )


def _time(value_ms: int | None) -> str:
    """Milliseconds in few characters.

    >>> _time(None), _time(950), _time(12_340)
    ('–', '0.95 s', '12.3 s')
    """
    if value_ms is None:
        return "–"
    return f"{value_ms / 1000:.2f} s" if value_ms < 10_000 else f"{value_ms / 1000:.1f} s"


# ---- the limits


def _uses(snapshot: Snapshot, size: ConsoleDimensions) -> list[RenderableType]:
    """A line for each limit, and one for all budgets."""
    if not snapshot.uses:
        return [Text("the gate has lost its data and is being rebuilt from the rows", "yellow")]
    limits = [use for use in snapshot.uses if not use.is_money]
    budgets = [use for use in snapshot.uses if use.is_money]
    width = max((len(use.name) for use in limits), default=0)
    return [*(_limit(use, width, max(10, min(40, size.width - width - 30))) for use in limits), _budgets(budgets, size.width)]


def _limit(use: Use, name_width: int, bar_width: int) -> Text:
    part = use.used / use.amount
    text = Text(f"{use.name:<{name_width}} ", no_wrap=True)
    text.append(bar(part, bar_width), "yellow" if part > 0.9 else "green")
    text.append(f"{part:5.0%}")
    text.append(f"  {use.used:,} of {use.amount:,}", "dim")
    return text


def _budgets(budgets: Sequence[Use], width: int) -> Text:
    text = Text("budgets", no_wrap=True)
    for use in budgets:
        text.append(f"   {use.name} ")
        if width >= WIDE:
            text.append(bar(use.used / use.amount if use.amount else 0.0, 6) + " ", "green")
        text.append(f"${use.used / NANO:.2f} of ${use.amount / NANO:g}", "dim")
    return text


def bar(part: float, width: int) -> str:
    """A bar of that many characters, in eighths.

    >>> bar(0.5, 4), bar(2.0, 2), bar(0.0, 2)
    ('██  ', '██', '  ')
    """
    eighths = round(max(0.0, min(1.0, part)) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_BLOCKS[rest] if rest else "")).ljust(width)


# ---- below


def _events(news: News, most: int, width: int) -> list[RenderableType]:
    lines = (f"{event.at_s:6.1f} s  {event.text}" for event in news.latest(most))
    return [Text(line[:width], "dim", no_wrap=True) for line in lines]


def _keys() -> Text:
    text = Text(no_wrap=True)
    for key, what in (("k", "kill -9 the worker"), ("f", "FLUSHALL: empty Redis"), ("Ctrl-C", "end")):
        text.append(f" {key} ", "reverse")
        text.append(f" {what}   ")
    return text
