"""Commands on one kind of configured row: list, show and delete are the same for all, create and change are each one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from django.core.management.base import CommandParser

from rateguard.management.finding import named
from rateguard.management.showing import columns, fields, listed
from rateguard.management.verbs import VerbCommand, actor
from tenants.changes.actor import Actor
from tenants.changes.rows import Kind
from tenants.models import Deployment, ModelRoute, ProviderAccount, Tenant

Row = TypeVar("Row", Tenant, Deployment, ProviderAccount, ModelRoute)


class RowsCommand(VerbCommand, Generic[Row]):
    """model, kind: what it is about. columns: what a list shows. nothing: what to do where there is none."""

    model: type[Row]
    kind: ClassVar[Kind]
    columns: tuple[str, ...]
    nothing: str

    def delete(self, actor: Actor, row: Row) -> None:
        """Delete a row. Raises InvalidRequest."""
        raise NotImplementedError

    def values(self, row: Row) -> dict[str, Any]:
        """The row as REST shows it, and what else a shell shows."""
        raise NotImplementedError

    def add_name(self, parser: CommandParser) -> None:
        """Which row."""
        parser.add_argument(self.kind.name, help="its name or number")

    def row(self, options: dict[str, Any]) -> Row:
        """The row that was named. Raises CommandError."""
        return named(self.model, options[self.kind.name])

    def tell(self, options: dict[str, Any], row: Row, words: str) -> None:
        """The row as it is now, or in words what was done."""
        row.refresh_from_db()
        self.show(options, self.values(row), words)

    # ---- what is the same for all

    def add_list(self, parser: CommandParser) -> None:
        """Nothing more."""

    def do_list(self, options: dict[str, Any]) -> None:
        """All of them."""
        rows = [self.values(row) for row in self.model.objects.order_by("name")]
        self.show(options, listed(rows), columns(rows, ("id", *self.columns), self.nothing))

    add_show: Callable[[Any, CommandParser], None] = add_name

    def do_show(self, options: dict[str, Any]) -> None:
        """One of them, every field."""
        values = self.values(self.row(options))
        self.show(options, values, fields(values))

    add_delete: Callable[[Any, CommandParser], None] = add_name

    def do_delete(self, options: dict[str, Any]) -> None:
        """Delete it, and show what it was."""
        row = self.row(options)
        values = self.values(row)
        self.delete(actor(), row)
        self.show(options, {**values, "deleted": True}, f"deleted {self.kind.name} {row.name}")
