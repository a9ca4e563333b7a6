"""What the pages keep of their own: links that sign somebody in, once."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class SignInLink(models.Model):
    """A link that signs a person in, once and not after `expires_at`. Only the SHA-256 of its secret is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(digest=""), name="link_has_digest"),)

    def __str__(self) -> str:
        return f"link of {self.user_id}, {'used' if self.used_at else 'open'}"
