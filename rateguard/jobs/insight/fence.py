"""A fence: rows are looked for among so many others and no more, however the database would rather go about it.

`among(rows, ground)` is `SELECT … FROM (ground) AS job WHERE …`, with the ground's order and bound inside. A database takes such a ground
in its own order, stops when enough is found, and never looks at a row beyond it. A plain `WHERE … LIMIT 50` has no such bound: where few
rows match, it walks over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.db.models.sql import Query
from django.db.models.sql.datastructures import BaseTable

Row = TypeVar("Row", bound=Model)


class _Ground(BaseTable):
    """What stands behind FROM in place of the table, under the table's own name."""

    def __init__(self, table_name: str, alias: str | None, query: Query) -> None:
        super().__init__(table_name, alias)
        self._query = query

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """The ground as a statement of its own."""
        sql, params = self._query.get_compiler(connection=connection).as_sql()
        return f"({sql}) {connection.ops.quote_name(self.table_alias)}", tuple(params)

    def relabeled_clone(self, change_map: Mapping[str | None, str]) -> _Ground:
        """The same under another name, where the query stands inside a larger one."""
        return _Ground(self.table_name, change_map.get(self.table_alias, self.table_alias), self._query)


def among(rows: QuerySet[Row], ground: QuerySet[Row]) -> QuerySet[Row]:
    """These rows, looked for among those of `ground` alone: sliced, of the same model, with every column that `rows` reads."""
    fenced = rows.all()
    alias = fenced.query.get_initial_alias()
    fenced.query.alias_map[alias] = _Ground(ground.model._meta.db_table, alias, ground.query)  # noqa: SLF001 - Django's public name for it
    return fenced
