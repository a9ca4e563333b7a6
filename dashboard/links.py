"""Links that sign somebody in, once: made by whoever has the shell, for a first start and a lost password."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any

from django.db.models.functions import Now

from dashboard.models import SignInLink
from tenants.keys import digest_of

GOOD_FOR = dt.timedelta(minutes=30)
LONGEST = dt.timedelta(days=7)


def make_link(user: Any, good_for: dt.timedelta = GOOD_FOR) -> str:
    """A new secret for the address `dashboard:signin-link`. Links that are over are forgotten here."""
    SignInLink.objects.filter(expires_at__lt=Now()).delete()
    secret = secrets.token_urlsafe(16)  # 128 bits: nobody guesses it, and a line of a terminal holds it
    SignInLink.objects.create(user=user, digest=digest_of(secret), expires_at=Now() + good_for)
    return secret


def use_link(secret: str) -> Any | None:
    """The user whose link this is, once; None for one that is used, over, unknown, or of a user who is not active any more."""
    open_links = SignInLink.objects.filter(digest=digest_of(secret), used_at__isnull=True, expires_at__gt=Now(), user__is_active=True)
    if open_links.update(used_at=Now()) != 1:
        return None
    return SignInLink.objects.select_related("user").get(digest=digest_of(secret)).user


def is_of(secret: str, user: Any) -> bool:
    """Whether this link, used or not, was made for this user."""
    return bool(user.is_authenticated) and SignInLink.objects.filter(digest=digest_of(secret), user=user.pk).exists()
