"""Configured rows as the shell shows them: one shape for JSON, columns for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models

from rateguard.api.rendering import time_text
from rateguard.engine.lanes import Lane
from rateguard.management.shell import table
from tenants.changes.rows import Kind

_LANES = {"default_lane", "highest_lane"}


def shown(kind: Kind, row: models.Model, **more: Any) -> dict[str, Any]:
    """A row by its fields, never a secret. Times are RFC 3339 in UTC, lanes have their names."""
    return {"id": row.pk, "object": kind.name, **{name: _plain(name, value) for name, value in kind.shown(row).items()}, **more}


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


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return time_text(value)
    return Lane(value).label if name in _LANES and value is not None else value


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
