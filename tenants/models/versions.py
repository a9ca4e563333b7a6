"""Two numbers, one row each: the version of the configuration, and the epoch of the gate."""

from __future__ import annotations

import datetime as dt
from typing import Self

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

ONLY_ID = 1


class Number(models.Model):
    """One whole number in one row that only rises."""

    id = models.SmallIntegerField(primary_key=True, default=ONLY_ID)
    number = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.number)

    @classmethod
    def current(cls) -> int:
        """The number now; 0 where it was never raised."""
        return cls._rows().filter(id=ONLY_ID).values_list("number", flat=True).first() or 0

    @classmethod
    def current_and_time(cls) -> tuple[int, dt.datetime]:
        """The number and the database's time now, in one question."""
        found = cls._rows().filter(id=ONLY_ID).annotate(now=Now()).values_list("number", "now").first()
        return found or (0, timezone.now())

    @classmethod
    def increase(cls) -> int:
        """Raise the number by one and return it. Holds the row's lock to the end of the caller's transaction."""
        with transaction.atomic():
            if not cls._rows().filter(id=ONLY_ID).update(number=F("number") + 1):
                # An emptied database (a test's flush) lost the row of the migration. Two may race here: one inserts, both raise.
                cls._rows().bulk_create([cls(id=ONLY_ID)], ignore_conflicts=True)
                cls._rows().filter(id=ONLY_ID).update(number=F("number") + 1)
            return cls.current()

    @classmethod
    def _rows(cls) -> models.QuerySet[Self]:
        return cls._default_manager.all()


class ConfigVersion(Number):
    """Raised by every change of a configuration row, in its transaction."""

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=ONLY_ID), name="configversion_one_row"),)


class GateEpoch(Number):
    """Raised by whoever rebuilds the gate; a grant of an older epoch is worth nothing."""

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=ONLY_ID), name="gateepoch_one_row"),)
