"""`manage.py rotate_secrets`: encrypt every stored secret and body with the first of RATEGUARD["ENCRYPTION_KEYS"]."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from rateguard.engine.errors import SecretUnreadable
from rateguard.jobs.upkeep.resealing import reseal
from tenants import secrets
from tenants.models import ProviderAccount


class Command(BaseCommand):
    """Put the new key first and keep the old one behind it, run this, then drop the old one. May run again at any time."""

    help = 'Encrypt every stored secret with the first of RATEGUARD["ENCRYPTION_KEYS"].'

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Rotate account by account, then body by body; name those that no key opens, and fail then."""
        unreadable = [name for name in ProviderAccount.objects.order_by("name").values_list("name", flat=True) if not self._rotate(name)]
        bodies = reseal()
        lost = [f"the credentials of {name}" for name in unreadable] + bodies.named
        if lost:
            more = f" and {left:,} more" if (left := bodies.unreadable - len(bodies.named)) else ""
            raise CommandError(
                f"no key opens {', '.join(lost)}{more}. Put back the key that encrypted them and run this again, or store them anew."
            )
        self.stdout.write(f"all secrets are encrypted with the first key, and {bodies.written:,} requests, answers and messages")

    @staticmethod
    @transaction.atomic
    def _rotate(name: str) -> bool:
        account = ProviderAccount.objects.select_for_update().get(name=name)
        try:
            account.credentials = secrets.Secret(stored=secrets.rotate(account.credentials.stored()))
        except SecretUnreadable:
            return False
        account.save(update_fields=["credentials"])
        return True
