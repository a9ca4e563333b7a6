"""A change of the configuration raises its version in the same transaction, and is told on commit.

    configuration_changed(sender, instance, version, pk, is_deleted)

sender: the model. instance: the row, or None where many changed at once: read them all. pk: of the row (`instance.pk` is gone
after a deletion). version: the number that this change raised `config_version` to. Connect to act on what is committed.

What the gate must forget is written down in that transaction too (`Forgotten`): a gate that was away at the commit hears of it later.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from django.db import models, transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import Signal

from rateguard.engine.wildcards import is_pattern
from tenants.models import (
    Budget,
    ConfigurationModel,
    ConfigVersion,
    Forgotten,
    ForgottenKind,
    Limit,
    ModelRoute,
    Pause,
    RouteTarget,
    Run,
    Scope,
    ScopeKind,
    Tenant,
)
from tenants.models.configuration import configuration_written
from tenants.records.runs import names_of

configuration_changed = Signal()


class _Gathered(threading.local):
    """version: of the last change inside `told_as_one`, 0 where there was none; None outside of it."""

    version: int | None = None


_gathered = _Gathered()


@contextlib.contextmanager
def told_as_one() -> Iterator[None]:
    """Changes of models, deployments and their limits inside are told once, as many changes of models: each telling writes all of them.

    In a transaction. What raises tells nothing.
    """
    if _gathered.version is not None:
        yield
        return
    _gathered.version = 0
    try:
        yield
        version = _gathered.version
    finally:
        _gathered.version = None
    if version:
        _tell_on_commit(RouteTarget, None, version, is_deleted=False)


def _raise_version(sender: type[models.Model], instance: models.Model | None = None, *, is_deleted: bool = False) -> None:
    version = ConfigVersion.increase()
    if _gathered.version is None:
        _tell_on_commit(sender, instance, version, is_deleted=is_deleted)
    else:
        _gathered.version = version


def _tell_on_commit(sender: type[models.Model], instance: models.Model | None, version: int, *, is_deleted: bool) -> None:
    pk = instance.pk if instance else None

    def tell() -> None:
        configuration_changed.send(sender, instance=instance, version=version, pk=pk, is_deleted=is_deleted)

    # The change is committed: a receiver that fails (the gate is away) is logged, and the caretaker repairs.
    transaction.on_commit(tell, robust=True)


def _on_save(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    known = _known_as(instance)
    if known and known[0] != ForgottenKind.LIMIT:
        Forgotten.objects.filter(kind=known[0], name=known[1]).delete()
    _raise_version(sender, instance)


def _on_delete(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    _forget(_known_as(instance))
    _raise_version(sender, instance, is_deleted=True)


def _before_save(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    """What is renamed is to the gate another one, and the old one gone."""
    old = sender._default_manager.filter(pk=instance.pk).first() if instance.pk else None  # noqa: SLF001 - Django's own name for it
    if old is not None and _known_as(old) != _known_as(instance):
        _forget(_known_as(old))


def _on_run_delete(instance: Run, **_: Any) -> None:
    if not instance.in_gate:
        return
    limits, node = names_of(instance)
    gone = [Forgotten(kind=ForgottenKind.LIMIT, name=limit) for limit in limits]
    Forgotten.objects.bulk_create([*gone, Forgotten(kind=ForgottenKind.SCOPE, name=node)])


_LETTERS: dict[type[models.Model], str] = {Limit: "l", Budget: "b", Pause: "p"}


def _known_as(row: models.Model) -> tuple[ForgottenKind, str] | None:
    """What the gate calls a row; None for what it does not know by a name."""
    if type(row) in _LETTERS:
        return ForgottenKind.LIMIT, f"{_LETTERS[type(row)]}{row.pk}"
    match row:
        case Tenant():
            return ForgottenKind.SCOPE, str(row.pk)
        case Scope() if row.kind not in {ScopeKind.GLOBAL, ScopeKind.TENANT} and not row.is_default:
            return ForgottenKind.SCOPE, row.node
        case ModelRoute() if not is_pattern(row.name):
            return ForgottenKind.MODEL, row.name
        case _:
            return None


def _forget(known: tuple[ForgottenKind, str] | None) -> None:
    if known:
        Forgotten.objects.create(kind=known[0], name=known[1])


def _on_write(sender: type[models.Model], **_: Any) -> None:
    _raise_version(sender)


def connect() -> None:
    """Follow the configuration models; called once, when the app is ready."""
    for model in ConfigurationModel.__subclasses__():
        post_save.connect(_on_save, sender=model, dispatch_uid=f"{model.__name__}.saved")
        post_delete.connect(_on_delete, sender=model, dispatch_uid=f"{model.__name__}.deleted")
    for model in (Scope, ModelRoute):
        pre_save.connect(_before_save, sender=model, dispatch_uid=f"{model.__name__}.renamed")
    post_delete.connect(_on_run_delete, sender=Run, dispatch_uid="Run.deleted")
    configuration_written.connect(_on_write, dispatch_uid="configuration.written")
