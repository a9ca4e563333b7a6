"""Requests and answers as columns: sealed in the database where ENCRYPT_BODIES says so, plain in Python."""

from __future__ import annotations

from typing import Any

import orjson
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression

from rateguard.jobs.bodies import is_sealed, readable, seal, seal_json


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


class SealedJsonField(models.JSONField):
    """JSON in which requests stand, such as those of a chain's next steps: sealed, it is one text.

    What is sealed with a key that is gone stays that text: whoever needs what is in it fails, and tries again.
    """

    def from_db_value(self, value: Any, expression: Expression, connection: BaseDatabaseWrapper) -> Any:
        """What the database holds, opened."""
        found = super().from_db_value(value, expression, connection)
        if not isinstance(found, str) or not is_sealed(found):
            return found
        text = readable(found)
        return found if is_sealed(text) else orjson.loads(text)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """What the database is to hold."""
        plain = value if value is None or hasattr(value, "as_sql") else seal_json(value)
        return super().get_db_prep_value(plain, connection, prepared)

    def deconstruct(self) -> Any:
        """To migrations it is JSON."""
        name, _, args, keywords = super().deconstruct()
        return name, "django.db.models.JSONField", args, keywords
