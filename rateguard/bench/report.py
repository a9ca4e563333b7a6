"""What a benchmark found: tables for people, one JSON line for machines."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_PACKAGES = ("rateguard", "celery", "django", "kombu", "psycopg", "redis")


@dataclasses.dataclass(frozen=True)
class Figures:
    """One table: its title, its columns, a row a case."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclasses.dataclass(frozen=True)
class Report:
    """A benchmark's name, its figures with their units in their names, and the versions of what was measured."""

    bench: str
    metrics: dict[str, Any]
    versions: dict[str, str]
    tables: Sequence[Figures] = ()

    def as_json(self) -> str:
        """The one line: {"bench", "metrics", "versions"}."""
        return json.dumps({"bench": self.bench, "metrics": self.metrics, "versions": self.versions})

    def show(self) -> None:
        """Print the tables."""
        console = Console(width=max(120, Console().width))
        for figures in self.tables:
            table = Table(title=figures.title, title_justify="left")
            for column in figures.columns:
                table.add_column(column, justify="right")
            for row in figures.rows:
                table.add_row(*(_cell(value) for value in row))
            console.print(table)
        console.print("  ".join(f"{name} {version}" for name, version in self.versions.items()), style="dim", highlight=False)


def versions(**servers: str) -> dict[str, str]:
    """Python, the machine, our packages as installed, and the servers that the benchmark names."""
    return {"python": platform.python_version(), "machine": f"{platform.machine()}, {os.cpu_count()} cores", **_packages(), **servers}


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if isinstance(value, float) and value >= 10 else f"{value:,.1f}" if isinstance(value, float) else _plain(value)


def _plain(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
