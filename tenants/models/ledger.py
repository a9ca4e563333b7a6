"""The lines of money. They are written once and never changed; a mistake is put right by a further line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Never, TypeVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.errors import RateguardError
from rateguard.engine.money import format_usd
from tenants.models.tenant import Tenant

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


class LedgerUnchangeable(RateguardError):
    """Somebody tried to change or delete a ledger entry; write a correction instead."""

    code = "ledger_unchangeable"


def _refuse() -> Never:
    raise LedgerUnchangeable("a ledger entry is never changed or deleted: add an entry of kind `correction`")


class EntryKind(models.TextChoices):
    """Kinds of entries: exactly one `charge` an attempt; the others come beside it."""

    CHARGE = "charge"
    CORRECTION = "correction"
    CACHE_HIT = "cache_hit"
    CREDIT = "credit"


class LedgerQuerySet(models.QuerySet[Row_co]):
    """Reads and inserts; every other way to write raises LedgerUnchangeable."""

    def update(self, **_kwargs: Any) -> Never:
        """Refused."""
        _refuse()

    def bulk_update(self, objs: Iterable[Row_co], fields: Iterable[str], batch_size: int | None = None) -> Never:
        """Refused."""
        _refuse()

    def bulk_create(self, objs: Iterable[Row_co], *args: Any, **kwargs: Any) -> list[Row_co]:
        """Insert many; writing over those that are there is refused."""
        if kwargs.get("update_conflicts"):
            _refuse()
        return super().bulk_create(objs, *args, **kwargs)

    def delete(self) -> Never:
        """Refused."""
        _refuse()


class LedgerManager(models.Manager[Row_co]):
    """Hands out query sets that only read and insert."""

    def get_queryset(self) -> LedgerQuerySet[Row_co]:
        """All entries."""
        return LedgerQuerySet(self.model, using=self._db)


class LedgerEntry(models.Model):
    """One line of money: what an attempt cost, in nano-dollars and tokens; negative only where an entry takes back.

    reservation_id: the job's id, or the synchronous call's own; with `attempt` it names the attempt. job_id, api_key_id and run (the
    innermost one) are values: the ledger outlives what they name. cache_write_long_tokens, audio_input_tokens, audio_output_tokens: parts
    of other columns' tokens with prices of their own; reasoning_tokens are shown alone. tier: the one that was used, "" the standard one.
    terms: what else changed the price, words with blanks between. searches: calls of a hosted web search. is_estimated: counted by us,
    not by the provider. is_overrun: beyond the most that was reserved.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="ledger_entries")
    job_id = models.UUIDField(null=True, blank=True)
    reservation_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=EntryKind)
    nano_usd = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    is_estimated = models.BooleanField(default=False)
    is_overrun = models.BooleanField(default=False)
    model = models.CharField(max_length=128, blank=True, default="")
    deployment = models.CharField(max_length=64, blank=True, default="")
    api_key_id = models.BigIntegerField(null=True, blank=True)
    team = models.CharField(max_length=128, blank=True, default="")
    rolegroup = models.CharField(max_length=128, blank=True, default="", db_default="")
    role = models.CharField(max_length=128, blank=True, default="", db_default="")
    user = models.CharField(max_length=128, blank=True, default="")
    run = models.UUIDField(null=True, blank=True)
    cost_center = models.CharField(max_length=128, blank=True, default="")
    labels: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    cache_write_long_tokens = models.BigIntegerField(default=0, db_default=0)
    audio_input_tokens = models.BigIntegerField(default=0, db_default=0)
    audio_output_tokens = models.BigIntegerField(default=0, db_default=0)
    reasoning_tokens = models.BigIntegerField(default=0, db_default=0)
    tier = models.CharField(max_length=16, blank=True, default="", db_default="")
    terms = models.CharField(max_length=64, blank=True, default="", db_default="")
    searches = models.PositiveIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = LedgerManager()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=EntryKind.values), name="entry_kind"),
            models.UniqueConstraint(fields=["reservation_id", "attempt"], condition=Q(kind=EntryKind.CHARGE), name="entry_one_charge"),
            models.CheckConstraint(
                condition=~Q(kind=EntryKind.CHARGE)
                | Q(nano_usd__gte=0, input_tokens__gte=0, cached_tokens__gte=0, cache_write_tokens__gte=0, output_tokens__gte=0),
                name="entry_charge_not_negative",
            ),
        )
        indexes = (
            models.Index(fields=["tenant", "created_at"], name="entry_tenant_created"),
            models.Index(fields=["reservation_id", "attempt"], name="entry_reservation"),
            models.Index(fields=["run"], condition=Q(run__isnull=False), name="entry_run"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {format_usd(self.nano_usd)}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the entry. Raises LedgerUnchangeable for one that is stored already."""
        if not self._state.adding:
            _refuse()
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, using: str | None = None, keep_parents: Sequence[str] | bool = False) -> Never:
        """Refused."""
        _refuse()
