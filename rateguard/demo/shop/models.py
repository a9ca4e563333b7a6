"""What the shop keeps."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Question(models.Model):
    """A customer's question, and the job that answers it."""

    customer = models.CharField(max_length=64)
    text = models.TextField()
    job_id = models.UUIDField(unique=True)
    asked_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.customer}: {self.text[:40]}"
