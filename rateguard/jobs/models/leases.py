"""Who does a duty of which there is one."""

from __future__ import annotations

from django.db import models

CARETAKER = "caretaker"
"""The duty of keeping gate and rows the same; its lease's name."""


class Lease(models.Model):
    """Who does a duty of which there is one (`caretaker`), until when by the database's clock. swept_at: the last sweep of new rows.

    repaired: reservations that differed from their rows when the two were compared, since the first day; it stays 0 without faults.
    """

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=64)
    expires_at = models.DateTimeField()
    swept_at = models.DateTimeField(null=True)
    repaired = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
