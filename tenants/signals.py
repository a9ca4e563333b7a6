"""A change of the configuration raises its version in the same transaction, and is told on commit.

    configuration_changed(sender, instance, version, pk, is_deleted)

sender: the model. instance: the row, or None where many changed at once: read them all. pk: of the row (`instance.pk` is gone
after a deletion). version: the number that this change raised `config_version` to. Connect to act on what is committed.
"""

from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal

from tenants.models import ConfigurationModel, ConfigVersion
from tenants.models.configuration import configuration_written

configuration_changed = Signal()


def _raise_version(sender: type[models.Model], instance: models.Model | None = None, *, is_deleted: bool = False) -> None:
    version = ConfigVersion.increase()
    pk = instance.pk if instance else None

    def tell() -> None:
        configuration_changed.send(sender, instance=instance, version=version, pk=pk, is_deleted=is_deleted)

    # The change is committed: a receiver that fails (the gate is away) is logged, and the caretaker repairs.
    transaction.on_commit(tell, robust=True)


def _on_save(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    _raise_version(sender, instance)


def _on_delete(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    _raise_version(sender, instance, is_deleted=True)


def _on_write(sender: type[models.Model], **_: Any) -> None:
    _raise_version(sender)


def connect() -> None:
    """Follow the configuration models; called once, when the app is ready."""
    for model in ConfigurationModel.__subclasses__():
        post_save.connect(_on_save, sender=model, dispatch_uid=f"{model.__name__}.saved")
        post_delete.connect(_on_delete, sender=model, dispatch_uid=f"{model.__name__}.deleted")
    configuration_written.connect(_on_write, dispatch_uid="configuration.written")
