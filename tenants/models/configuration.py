"""What configuration rows have in common: a change and its version commit together, whichever way the row was changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models, transaction
from django.dispatch import Signal

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)

configuration_written = Signal()
"""Sent inside the transaction by each change that Django itself sends no signal for. Arguments: sender (the model)."""


class ConfigurationQuerySet(models.QuerySet[Row_co]):
    """Bulk changes, which send no signal of their own, raise the version too."""

    def update(self, **kwargs: Any) -> int:
        """Change the rows and raise the version with them."""
        with transaction.atomic(using=self.db):
            changed = super().update(**kwargs)
            configuration_written.send(self.model)
        return changed

    def bulk_create(self, objs: Iterable[Row_co], *args: Any, **kwargs: Any) -> list[Row_co]:
        """Insert the rows and raise the version with them."""
        with transaction.atomic(using=self.db):
            created = super().bulk_create(objs, *args, **kwargs)
            configuration_written.send(self.model)
        return created


class ConfigurationManager(models.Manager[Row_co]):
    """Hands out query sets that raise the version."""

    def get_queryset(self) -> ConfigurationQuerySet[Row_co]:
        """All rows."""
        return ConfigurationQuerySet(self.model, using=self._db)


class ConfigurationModel(models.Model):
    """A row that the gate or the doors act on. Its changes raise `config_version` in the same transaction."""

    objects = ConfigurationManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row and raise the version in one transaction."""
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)
