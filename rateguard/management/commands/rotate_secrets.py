"""`manage.py rotate_secrets`: encrypt every stored secret and body with the first of RATEGUARD["ENCRYPTION_KEYS"]."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Model

from rateguard.engine.errors import SecretUnreadable
from rateguard.jobs.upkeep.resealing import reseal
from tenants import secrets
from tenants.models import ProviderAccount, WebhookEndpoint

SECRETS: tuple[tuple[type[Model], str, tuple[str, ...]], ...] = (
    (ProviderAccount, "the credentials of", ("credentials",)),
    (WebhookEndpoint, "the secret of the webhook", ("secret", "previous_secret")),
)
"""Each kind of row that holds secrets: what they are, and in which columns."""


class Command(BaseCommand):
    """Put the new key first and keep the old one behind it, run this, then drop the old one. May run again at any time."""

    help = 'Encrypt every stored secret with the first of RATEGUARD["ENCRYPTION_KEYS"].'

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Rotate row by row, then body by body; name those that no key opens, and fail then."""
        unreadable = [
            f"{what} {name}"
            for model, what, columns in SECRETS
            for pk, name in model._default_manager.order_by("name").values_list("pk", "name")  # noqa: SLF001 - Django's own name for it
            if not _rotate(model, pk, columns)
        ]
        bodies = reseal()
        if lost := unreadable + bodies.named:
            more = f" and {left:,} more" if (left := bodies.unreadable - len(bodies.named)) else ""
            raise CommandError(
                f"no key opens {', '.join(lost)}{more}. Put back the key that encrypted them and run this again, or store them anew."
            )
        self.stdout.write(f"all secrets are encrypted with the first key, and {bodies.written:,} requests, answers and messages")


@transaction.atomic
def _rotate(model: type[Model], pk: int, columns: tuple[str, ...]) -> bool:
    """Encrypt the secrets of one row anew. False: no key opens one of them."""
    row = model._default_manager.select_for_update().filter(pk=pk).first()  # noqa: SLF001 - as above
    if row is None:
        return True
    try:
        for column in columns:
            setattr(row, column, secrets.Secret(stored=secrets.rotate(getattr(row, column).stored())))
    except SecretUnreadable:
        return False
    row.save(update_fields=columns)
    return True
