"""An index on a large table that is written all the time: made without holding up those who write. For migrations that are not atomic."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import AddIndex
from django.db.migrations.state import ProjectState
from django.db.models import Index, Model

POSTGRESQL = "postgresql"


class AddIndexBesideWriters(AddIndex):
    """On PostgreSQL `CREATE INDEX CONCURRENTLY IF NOT EXISTS`, on others a plain index; its reverse drops it in the same way.

    Again after an interruption it goes on where it was: an index that was left half made is dropped first, one that is there stays.
    """

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Make the index."""
        if schema_editor.connection.vendor != POSTGRESQL:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop_half_made(schema_editor, model, self.index)
            schema_editor.execute(_if_not_exists(self.index, model, schema_editor), params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Drop the index."""
        if schema_editor.connection.vendor != POSTGRESQL:
            super().database_backwards(app_label, schema_editor, from_state, to_state)
            return
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop(schema_editor, self.index)


def _if_not_exists(index: Index, model: type[Model], schema_editor: Any) -> Any:
    """The statement that Django would run, but for two words."""
    statement: Any = index.create_sql(model, schema_editor, concurrently=True)
    statement.template = statement.template.replace("CONCURRENTLY ", "CONCURRENTLY IF NOT EXISTS ", 1)
    return statement


def _drop_half_made(schema_editor: BaseDatabaseSchemaEditor, model: type[Model], index: Index) -> None:
    """What an interrupted CREATE INDEX CONCURRENTLY leaves behind serves no query and keeps its name."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND indrelid = to_regclass(%s) AND NOT indisvalid",
            [index.name, schema_editor.quote_name(model._meta.db_table)],
        )
        is_half_made = cursor.fetchone() is not None
    if is_half_made:
        _drop(schema_editor, index)


def _drop(schema_editor: BaseDatabaseSchemaEditor, index: Index) -> None:
    schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(index.name)}")
