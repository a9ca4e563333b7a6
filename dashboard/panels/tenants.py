"""The list of tenants as its template shows it: rows with percentiles, and the addresses of other orders and pages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import urlencode

from dashboard.queries.tenants import MOST_COUNTED, BudgetShare, Listing, TenantLine
from tenants.models import BudgetPeriod
from tenants.usage.question import Percentiles
from tenants.usage.tally import Tally, percentiles

ORDERS = {"name": "Name", "cost": "Cost today", "jobs": "Jobs today", "latency": "Latency, p95"}
COLUMNS = (
    ("Tenant", "name"),
    ("Cost today", "cost"),
    ("This month", ""),
    ("Jobs today", "jobs"),
    ("Tokens", ""),
    ("Success", ""),
    ("Latency", "latency"),
    ("Queue wait", ""),
    ("Share of tokens", ""),
    ("Now", ""),
)
"""The words above each column, and the order that it leads to."""
SHARE = "Share of tokens"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A tenant. waiting: a number, or `10,000+`."""

    line: TenantLine
    latency: Percentiles
    wait: Percentiles
    day_budget: BudgetShare | None
    month_budget: BudgetShare | None
    waiting: str


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column's head; address: the page in its order, "" where there is none."""

    words: str
    sort: str
    address: str
    is_current: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ListPanel:
    """The page. total: all tenants in the last 24 hours, for operators. previous, following: addresses, "" where there is none."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    orders: Mapping[str, str]
    total: Tally | None
    count: int
    number: int
    pages: int
    search: str
    sort: str
    previous: str
    following: str
    has_shares: bool


def list_panel(listing: Listing, search: str, sort: str) -> ListPanel:
    """What the template shows."""
    number, pages = listing.number, listing.pages
    return ListPanel(
        rows=tuple(map(_row, listing.lines)),
        columns=tuple(
            Column(words, name, _address(search, name, 1) if name else "", name == sort)
            for words, name in COLUMNS
            if listing.total is not None or words != SHARE
        ),
        orders=ORDERS,
        total=listing.total,
        count=listing.count,
        number=number,
        pages=pages,
        search=search,
        sort=sort,
        previous=_address(search, sort, number - 1) if number > 1 else "",
        following=_address(search, sort, number + 1) if number < pages else "",
        has_shares=listing.total is not None,
    )


def _row(line: TenantLine) -> Row:
    budgets = {budget.period: budget for budget in line.budgets}
    return Row(
        line=line,
        latency=percentiles(line.day.latency),
        wait=percentiles(line.day.wait),
        day_budget=budgets.get(BudgetPeriod.DAY),
        month_budget=budgets.get(BudgetPeriod.MONTH),
        waiting=f"{MOST_COUNTED:,}+" if line.waiting > MOST_COUNTED else f"{line.waiting:,}",
    )


def _address(search: str, sort: str, number: int) -> str:
    """What differs from the page as it is without anything."""
    asked = {"q": search, "sort": sort if sort != "name" else "", "page": str(number) if number > 1 else ""}
    return "?" + urlencode({name: value for name, value in asked.items() if value})
