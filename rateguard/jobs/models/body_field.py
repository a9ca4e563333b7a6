"""A request or an answer as a column: sealed in the database where ENCRYPT_BODIES says so, plain in Python."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression

from rateguard.jobs.bodies import readable, seal


class BodyField(models.TextField):  # type: ignore[type-arg]  # of texts, and of None where a column may be null
    """Whatever goes through the ORM is sealed and opened here; statements of SQL call `seal` and `opened` themselves.

    A value whose key is gone is what the database holds of it: who needs the text calls `opened`, which raises. It cannot be filtered by.
    """

    def from_db_value(self, value: str | None, _expression: Expression, _connection: BaseDatabaseWrapper) -> str | None:
        """What the database holds, opened."""
        return value and readable(value)

    def get_prep_value(self, value: Any) -> Any:
        """What the database is to hold."""
        prepared = super().get_prep_value(value)
        return seal(prepared) if isinstance(prepared, str) else prepared

    def value_to_string(self, obj: models.Model) -> str:
        """For `dumpdata`: as the database holds it."""
        return str(self.get_prep_value(self.value_from_object(obj)))

    def deconstruct(self) -> Any:
        """To migrations it is a text."""
        name, _, args, keywords = super().deconstruct()
        return name, "django.db.models.TextField", args, keywords
