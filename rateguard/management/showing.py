"""Rows for people: as columns, or a line a field. JSON has the shapes of REST."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rateguard.management.shell import table


def listed(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A list as the API has it."""
    return {"object": "list", "data": list(rows)}


def columns(rows: Sequence[dict[str, Any]], names: Sequence[str], nothing: str) -> str:
    """A table of these fields; `nothing` where there is no row."""
    if not rows:
        return nothing
    return table([name.replace("_", " ") for name in names], [[_cell(row[name]) for name in names] for row in rows])


def fields(row: dict[str, Any]) -> str:
    """One row, a line a field; what is empty is left out."""
    told = {name.replace("_", " "): _cell(value) for name, value in row.items() if name != "object" and value not in (None, "", [], {})}
    width = max(len(name) for name in told)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in told.items())


def _cell(value: Any) -> Any:
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(str(one) for one in value) or None
        case dict():
            return ", ".join(f"{name}={one}" for name, one in value.items()) or None
        case "":
            return None
        case _:
            return value
