"""A tenant's page as its template shows it: tiles, charts, the table of the dearest parts, the addresses of other views."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from urllib.parse import urlencode

from dashboard.panels.charts import COLOURS, Chart, Series, labels, whens
from dashboard.queries.quotas import BudgetUse, Quotas
from dashboard.queries.spans import CHOICES, DEFAULT
from dashboard.queries.tenant import DIMENSIONS, TenantFigures
from tenants.usage.course import Part
from tenants.usage.question import Percentiles
from tenants.usage.tally import Tally, percentiles

FIRST = DIMENSIONS[0]
MOST_LINES = 5
"""Parts whose latency is drawn beside that of all."""
RANGES = {"12m": "any"}
"""What the search of jobs calls a span, where it calls it otherwise."""
OTHERS = {"user": "all others, and without a user"}
NAMELESS = {"team": "no team", "key": "without a key", "deployment": "no deployment"}


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A tab."""

    words: str
    address: str
    is_current: bool


@dataclasses.dataclass(frozen=True, slots=True)
class PartRow:
    """A line of the table. query: finds its jobs, "" where no search does. success and p95: None where they are not kept."""

    name: str
    query: str
    tally: Tally
    share: float | None
    success: float | None
    p95: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """Against the span before: `+12 %`; "" where there is nothing to compare with."""

    cost: str
    tokens: str
    jobs: str
    success: str
    latency: str


@dataclasses.dataclass(frozen=True, slots=True)
class TenantPanel:
    """The page."""

    figures: TenantFigures
    total: Tally
    latency: Percentiles
    wait: Percentiles
    changes: Changes
    spans: tuple[Link, ...]
    dimensions: tuple[Link, ...]
    cost: Chart
    times: Chart
    parts: tuple[PartRow, ...]
    budget: BudgetUse | None


def tenant_panel(name: str, figures: TenantFigures, quotas: Quotas, zone: str = "") -> TenantPanel:
    """What the template shows. name: the tenant's; zone: the one that was asked for in the address."""
    total, span, by = figures.total, figures.span.choice.name, figures.dimension
    spans = tuple(Link(choice.words, _address(choice.name, by, zone), choice.name == span) for choice in CHOICES.values())
    return TenantPanel(
        figures=figures,
        total=total,
        latency=percentiles(total.latency),
        wait=percentiles(total.wait),
        changes=_changes(total, figures.overall.before),
        spans=spans,
        dimensions=tuple(Link(f"by {one}", _address(span, one, zone), one == by) for one in DIMENSIONS),
        cost=_cost(figures),
        times=_times(figures),
        parts=tuple(_part_row(name, figures, part, tally, total) for part, tally in figures.parts.items()),
        budget=_tightest(quotas.budgets),
    )


def _address(span: str, by: str, zone: str) -> str:
    asked = {"span": span if span != DEFAULT else "", "by": by if by != FIRST else "", "zone": zone}
    return "?" + urlencode({name: value for name, value in asked.items() if value})


def _tightest(budgets: Sequence[BudgetUse]) -> BudgetUse | None:
    """The tenant's own budget of which most is used; the tenant's come first."""
    known = [one for one in budgets if one.share is not None and one.on in {"this tenant", "every tenant"}]
    return max(known, key=lambda one: one.share or 0.0, default=None)


# ---- compared with the span before


def _changes(now: Tally, before: Tally) -> Changes:
    if before.is_empty:
        return Changes("", "", "", "", "")
    p95, earlier = percentiles(now.latency).p95, percentiles(before.latency).p95
    points = None if now.success is None or before.success is None else (now.success - before.success) * 100
    return Changes(
        cost=change(now.nano_usd, before.nano_usd),
        tokens=change(now.tokens, before.tokens),
        jobs=change(now.jobs, before.jobs),
        success="" if points is None else _points(points),
        latency="" if p95 is None or earlier is None else change(p95, earlier),
    )


def _points(points: float) -> str:
    rounded = round(points, 1)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else '±'}{abs(rounded)} points"


def change(now: int, before: int) -> str:
    """`+12 %`, `−3 %`, `±0 %`, `×14`; "" where there was nothing before."""
    if before <= 0:
        return ""
    share = now / before - 1
    if share >= 9:
        return f"×{now / before:,.0f}"
    rounded = round(share * 100)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else '±'}{abs(rounded)} %"


# ---- charts


def part_name(figures: TenantFigures, part: Part) -> str:
    """A value of the dimension as people call it."""
    if part is None:
        return OTHERS.get(figures.dimension, "all others")
    if not part:
        return NAMELESS.get(figures.dimension, "none")
    if figures.dimension == "key":
        return figures.names.get(part, f"key {part}")
    return str(part).replace("=", ":", 1) if figures.dimension == "label" else str(part)


def _cost(figures: TenantFigures) -> Chart:
    """Stacked by the dearest parts. Labels overlap, so they are drawn without the rest; users' rest is what nobody is named for."""
    course, pieces = figures.split, range(len(figures.split.pieces))
    drawn = course.parts[: COLOURS - 1]
    series = [
        Series(part_name(figures, part), tuple(_money(course.cells.get((piece, part))) for piece in pieces), colour + 1)
        for colour, part in enumerate(drawn)
    ]
    if figures.dimension != "label":
        whole = [tally.nano_usd for tally in figures.overall.by_piece()]
        rest = tuple(value - sum(one.values[piece] or 0 for one in series) for piece, value in enumerate(whole))
        if any(rest):
            series.append(Series(OTHERS.get(figures.dimension, "all others"), rest, COLOURS))
    words = f"Cost by {figures.dimension}, {figures.span.choice.words}"
    return _chart(figures, tuple(series), words, is_money=True)


def _money(tally: Tally | None) -> int:
    return tally.nano_usd if tally else 0


def _times(figures: TenantFigures) -> Chart:
    """p50 and p95 of all, and p95 of the dearest parts where it is kept for them."""
    found = [percentiles(tally.latency) for tally in figures.overall.by_piece()]
    series = [
        Series("all, p95", tuple(one.p95 for one in found), 0),
        Series("all, p50 (dashed)", tuple(one.p50 for one in found), 0, is_dashed=True),
    ]
    if not figures.is_by_day and len(figures.split.parts) > 1:
        course = figures.split
        for colour, part in enumerate(course.parts[:MOST_LINES]):
            cells = (course.cells.get((piece, part), Tally()) for piece in range(len(course.pieces)))
            values = tuple(percentiles(cell.latency).p95 for cell in cells)
            series.append(Series(f"{part_name(figures, part)}, p95", values, colour + 1))
    return _chart(figures, tuple(series), f"Latency of answers, {figures.span.choice.words}", is_money=False)


def _chart(figures: TenantFigures, series: tuple[Series, ...], words: str, *, is_money: bool) -> Chart:
    per, pieces = figures.span.per, figures.overall.pieces
    summary = f"{words}, by {per.value} of {figures.span.zone.key}. The table below says the same."
    return Chart(labels(per, pieces), whens(per, pieces), series, is_money, is_money and figures.dimension != "label", summary)


# ---- the table


def _part_row(name: str, figures: TenantFigures, part: Part, tally: Tally, total: Tally) -> PartRow:
    text = part_name(figures, part)
    value = text if figures.dimension == "label" else part
    span = figures.span.choice.name
    query = urlencode({"tenant": name, figures.dimension: value, "range": RANGES.get(span, span)}) if part else ""
    return PartRow(
        name=text,
        query=query,
        tally=tally,
        share=tally.nano_usd / total.nano_usd if total.nano_usd > 0 else None,
        success=None if figures.is_by_day else tally.success,
        p95=percentiles(tally.latency).p95,
    )
