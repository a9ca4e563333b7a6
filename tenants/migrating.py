"""Changes of the large tables while everybody writes them. For migrations that are not atomic: one table is locked at a time, and shortly.

A migration that is one transaction holds every lock until its end, while Python works out the next step: a second and more on a busy
machine, in which nobody submits or claims. And if it locks two of these tables, it waits in a circle with claim or settle, which take
them in unlike orders. So each step here is a transaction of its own; it asks first whether it was done, so that a migration that was
interrupted goes on where it was. A foreign key is a step too: it locks the table that it leads to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor as Editor
from django.db.migrations.operations import AddConstraint, AddField, AddIndex, AlterField, CreateModel, RemoveConstraint
from django.db.migrations.state import ProjectState as State
from django.db.models import Index, Model

POSTGRESQL = "postgresql"


class AddIndexBesideWriters(AddIndex):
    """On PostgreSQL `CREATE INDEX CONCURRENTLY IF NOT EXISTS`, on others a plain index; its reverse drops it in the same way.

    An index that an interruption left half made is dropped first, one that is there stays.
    """

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Make the index."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if schema_editor.connection.vendor == POSTGRESQL:
            _drop_half_made(schema_editor, self.index)
            schema_editor.execute(_if_not_exists(self.index, model, schema_editor), params=None)
        elif not _has(schema_editor, model, self.index.name):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Drop the index."""
        model = from_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if schema_editor.connection.vendor == POSTGRESQL:
            _drop(schema_editor, self.index)
        elif _has(schema_editor, model, self.index.name):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class CreateModelOnce(CreateModel):
    """A new table, without foreign keys: each of those is an AddFieldOnce."""

    def database_forwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Make it where it is not there."""
        if not self._is_there(schema_editor, to_state.apps.get_model(app_label, self.name)):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Drop it where it is there."""
        if self._is_there(schema_editor, from_state.apps.get_model(app_label, self.name)):
            super().database_backwards(app_label, schema_editor, from_state, to_state)

    def _is_there(self, schema_editor: Editor, model: type[Model]) -> bool:
        return _asked(schema_editor, _TABLE, _table(model), "")


class AddFieldOnce(AddField):
    """A column with a default of the database, or none: PostgreSQL writes no row for it."""

    def database_forwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Add the column where it is not there."""
        if not self._is_there(schema_editor, to_state.apps.get_model(app_label, self.model_name)):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Drop the column where it is there."""
        if self._is_there(schema_editor, from_state.apps.get_model(app_label, self.model_name)):
            super().database_backwards(app_label, schema_editor, from_state, to_state)

    def _is_there(self, schema_editor: Editor, model: type[Model]) -> bool:
        field: Any = model._meta.get_field(self.name)  # noqa: SLF001 - as Django's own operations
        return _asked(schema_editor, _COLUMN, _table(model), field.column)


class WidenField(AlterField):
    """A text may be longer. It stays so on the way back: a longer column serves the older code, and a shorter one writes every row anew."""

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Nothing."""


class AddConstraintOnce(AddConstraint):
    """A constraint of a small table."""

    def database_forwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Add it where it is not there."""
        if not _has(schema_editor, to_state.apps.get_model(app_label, self.model_name), self.constraint.name):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Drop it where it is there."""
        if _has(schema_editor, from_state.apps.get_model(app_label, self.model_name), self.constraint.name):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class RemoveConstraintOnce(RemoveConstraint):
    """A constraint goes."""

    def database_forwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Drop it where it is there."""
        if _has(schema_editor, from_state.apps.get_model(app_label, self.model_name), self.name):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        """Add it where it is not there."""
        if not _has(schema_editor, to_state.apps.get_model(app_label, self.model_name), self.name):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


def _table(model: type[Model]) -> str:
    return model._meta.db_table  # noqa: SLF001 - as Django's own operations


def _has(schema_editor: Editor, model: type[Model], name: str) -> bool:
    """Whether the table has an index or a constraint of this name."""
    return _asked(schema_editor, _NAMED, _table(model), name)


def _asked(schema_editor: Editor, statement: Mapping[str, str], table: str, name: str) -> bool:
    """Django's own introspection of SQLite stumbles over our longer constraints."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(statement[schema_editor.connection.vendor], {"table": table, "name": name})
        return cursor.fetchone() is not None


_TABLE = {
    POSTGRESQL: "SELECT 1 WHERE to_regclass(%(table)s) IS NOT NULL",
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = %(table)s",
}
_COLUMN = {
    POSTGRESQL: "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(%(table)s) AND attname = %(name)s AND NOT attisdropped",
    "sqlite": "SELECT 1 FROM pragma_table_info(%(table)s) WHERE name = %(name)s",
}
_NAMED = {
    POSTGRESQL: """SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(%(table)s) AND conname = %(name)s
        UNION ALL SELECT 1 FROM pg_index WHERE indrelid = to_regclass(%(table)s) AND indexrelid = to_regclass(%(name)s)""",
    "sqlite": """SELECT 1 FROM sqlite_master WHERE tbl_name = %(table)s
        AND (name = %(name)s OR instr(sql, 'CONSTRAINT "' || %(name)s || '"') > 0)""",
}


def _if_not_exists(index: Index, model: type[Model], schema_editor: Any) -> Any:
    """The statement that Django would run, but for three words."""
    statement: Any = index.create_sql(model, schema_editor, concurrently=True)
    statement.template = statement.template.replace("CONCURRENTLY ", "CONCURRENTLY IF NOT EXISTS ", 1)
    return statement


def _drop_half_made(schema_editor: Editor, index: Index) -> None:
    """What an interrupted CREATE INDEX CONCURRENTLY leaves behind serves no query and keeps its name."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", [index.name])
        is_half_made = cursor.fetchone() is not None
    if is_half_made:
        _drop(schema_editor, index)


def _drop(schema_editor: Editor, index: Index) -> None:
    schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(index.name)}")
