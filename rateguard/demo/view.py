"""One frame of the live view: a pure function of what was seen, for terminals from 80 × 24 on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rateguard.demo import observe
from rateguard.demo.news import News
from rateguard.demo.observe import Snapshot, Use
from rateguard.engine.lanes import Lane
from rateguard.engine.money import NANO

TALL = 30
"""Rows from which each tenant shows its lanes; below, tenants and lanes stand apart."""
_BLOCKS = " ▏▎▍▌▋▊▉█"


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """What one frame shows. phase: what the demo does now. at_s: seconds since the start. weights: by tenant."""

    snapshot: Snapshot
    phase: str
    at_s: float
    weights: Mapping[str, int]


def render(frame: Frame, news: News, size: ConsoleDimensions, *, is_final: bool = False) -> RenderableType:
    """The frame for a terminal of that size. The final one is without keys and fits below a prompt."""
    parts: list[RenderableType] = [
        _title(frame),
        _jobs_table(frame, is_tall=size.height >= TALL),
        Text(),
        _uses_table(frame.snapshot, size),
    ]
    taken = 1 + _table_rows(frame, is_tall=size.height >= TALL) + 1 + max(1, len(frame.snapshot.uses))
    room = size.height - taken - (0 if is_final else 2)
    parts += [Text(), *_events(news, max(1, room - 1), size.width)]
    if not is_final:
        parts.append(_keys())
    return Group(*parts)


def _title(frame: Frame) -> Text:
    total = frame.snapshot.total
    share = total.done / total.jobs if total.jobs else 0.0
    text = Text(no_wrap=True)
    text.append(" rateguard ", "bold reverse")
    text.append(f" {frame.phase}  ", "bold")
    text.append(bar(share, 20), "green")
    text.append(f" {total.done:,} of {total.jobs:,} jobs")
    text.append(f"   {frame.at_s:.0f} s", "dim")
    return text


# ---- the jobs


def _table_rows(frame: Frame, *, is_tall: bool) -> int:
    tenants, lanes = len(frame.snapshot.tenants), len(frame.snapshot.lanes)
    return 2 + (len(frame.snapshot.cells) + tenants if is_tall else tenants + lanes + 1)


def _jobs_table(frame: Frame, *, is_tall: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=False, header_style="dim")
    table.add_column("")
    for name in ("wait", "run", "done", "tokens", "cost", "call p50", "p95", "queue p50", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    seen = frame.snapshot
    for tenant, group in seen.tenants.items():
        table.add_row(f"{tenant} ×{frame.weights.get(tenant, 1)}", *_cells(group), style="bold")
        if is_tall:
            for lane in seen.lanes:
                if (tenant, lane) in seen.cells:
                    table.add_row(f"  {lane.label}", *_cells(seen.cells[tenant, lane]))
    if not is_tall:
        table.add_row()
        for lane, group in seen.lanes.items():
            table.add_row(_lane(lane), *_cells(group))
    table.add_row("all", *_cells(seen.total), style="bold cyan")
    return table


def _lane(lane: Lane) -> str:
    return lane.label


def _cells(group: observe.Group) -> tuple[str | Text, ...]:
    done = Text(f"{group.done:,}")
    if group.failed:
        done = Text(f"{group.done:,} ({group.failed} failed)", "red")
    return (
        f"{group.waiting:,}",
        f"{group.running:,}",
        done,
        f"{group.tokens:,}",
        f"${group.nano_usd / NANO:.4f}",
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


def _uses_table(snapshot: Snapshot, size: ConsoleDimensions) -> RenderableType:
    if not snapshot.uses:
        return Text("the gate has lost its data: it is being rebuilt from the rows", "yellow")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    width = max(10, min(40, size.width - 55))
    for use in snapshot.uses:
        part = use.used / use.amount if use.amount else 0.0
        color = "dim" if use.is_money else "yellow" if part > 0.9 else "green"
        table.add_row(use.name, Text(bar(part, width), color), f"{part:.0%}", Text(_amounts(use), "dim"))
    return table


def _amounts(use: Use) -> str:
    if use.is_money:
        return f"${use.used / NANO:.4f} of ${use.amount / NANO:.2f}"
    return f"{use.used:,} of {use.amount:,}"


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
    events = news.latest(min(most, 6))
    return [Text(f"{event.at_s:6.1f} s  {event.text}"[:width], "dim", no_wrap=True, overflow="ellipsis") for event in events]


def _keys() -> Text:
    text = Text(no_wrap=True)
    for key, what in (("k", "kill -9 the worker"), ("f", "FLUSHALL: empty Redis"), ("Ctrl-C", "end")):
        text.append(f" {key} ", "reverse")
        text.append(f" {what}   ")
    return text
