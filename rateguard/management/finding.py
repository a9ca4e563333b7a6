"""Rows by the names that people type, else by their numbers; what is not there is told with what is."""

from __future__ import annotations

from typing import TypeVar

from django.core.management.base import CommandError
from django.db.models import QuerySet

from rateguard.jobs.controls.targets import as_pk, find_named
from tenants.models import ApiKey, Budget, Deployment, Limit, ModelRoute, ProviderAccount, Tenant, WebhookEndpoint

Named = TypeVar("Named", Tenant, Deployment, ProviderAccount, ModelRoute)
Numbered = TypeVar("Numbered", Limit, Budget)

_MOST_TOLD = 10
_WORDS = {Tenant: "tenant", Deployment: "deployment", ProviderAccount: "account", ModelRoute: "model", Limit: "limit", Budget: "budget"}


def named(model: type[Named], text: str) -> Named:
    """The row of a name, else of a number. Raises CommandError, which says what there is."""
    row = find_named(model.objects.all(), text)
    if row is not None:
        return row
    names = list(model.objects.order_by("name").values_list("name", flat=True)[: _MOST_TOLD + 1])
    known = ", ".join(names[:_MOST_TOLD]) + (", …" if len(names) > _MOST_TOLD else "")
    raise CommandError(f"there is no {_WORDS[model]} {text!r}; " + (f"there are: {known}" if names else "there are none yet"))


def numbered(model: type[Numbered], text: str) -> Numbered:
    """The row of a number. Raises CommandError."""
    pk = as_pk(text)
    row = None if pk is None else model.objects.filter(pk=pk).first()
    if row is None:
        word = _WORDS[model]
        raise CommandError(f"there is no {word} {text!r}: name one by its id, as `manage.py {word} list` shows it")
    return row


def the_key(text: str, tenant: Tenant | None) -> ApiKey:
    """A key by its id, its prefix (the secret's first 12 characters) or its name. Raises CommandError where none or several fit."""
    keys: QuerySet[ApiKey] = ApiKey.objects.select_related("tenant")
    if tenant is not None:
        keys = keys.filter(tenant=tenant)
    if "\0" not in text:
        pk = as_pk(text)
        fits = ([*keys.filter(pk=pk)] if pk is not None else []) or [*keys.filter(prefix=text[:12])] or [*keys.filter(name=text)]
        in_force = [key for key in fits if key.revoked_at is None] or fits
        if len(in_force) == 1:
            return in_force[0]
        if in_force:
            raise CommandError(f"{len(in_force)} keys are called {text!r}: name one by its id ({', '.join(str(k.pk) for k in in_force)})")
    raise CommandError(f"there is no key {text!r}: name one by its id, its prefix or its name, as `manage.py apikey list` shows them")


def the_webhook(text: str, tenant: Tenant | None) -> WebhookEndpoint:
    """A webhook endpoint by its name or its number. Raises CommandError where none or several fit."""
    rows: QuerySet[WebhookEndpoint] = WebhookEndpoint.objects.select_related("tenant")
    if tenant is not None:
        rows = rows.filter(tenant=tenant)
    pk = as_pk(text)
    fits = [*rows.filter(pk=pk)] if pk is not None else [*rows.filter(name=text)] if "\0" not in text else []
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise CommandError(f"{len(fits)} webhooks are called {text!r}: say whose with --tenant NAME")
    raise CommandError(f"there is no webhook {text!r}: name one as `manage.py webhook list` shows it")
