"""Runs: an expiring scope for one piece of work of an agent or a batch, with a budget, a cap of calls and a deadline of its own."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.dispatch import Signal

from rateguard.engine.scopes import MOST_RUNS
from tenants.models.budgets import MAX_BUDGET
from tenants.models.tenant import Tenant

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)

MAX_CALLS = 4_000_000_000
LONGEST_RUN = dt.timedelta(days=30)
"""A run without a deadline of its own is over after so long: nobody remembers to stop every one."""
MOST_OPEN_RUNS = 10_000
"""Open runs of a tenant at the same time: each of them is known to the gate."""

runs_changed = Signal()
"""Sent when changes of runs are committed. Arguments: sender (Run), pks (of those that may have changed)."""


class RunState(models.TextChoices):
    """Whether a run takes calls. A late one is still open: its deadline alone says that it is over."""

    OPEN = "open"
    STOPPED = "stopped"


def _tell(pks: Iterable[uuid.UUID]) -> None:
    told = tuple(pks)
    if told:
        transaction.on_commit(lambda: runs_changed.send(Run, pks=told), robust=True)


class RunQuerySet(models.QuerySet[Row_co]):
    """Changes of many runs are told as those of one are."""

    def update(self, **kwargs: Any) -> int:
        """Change the rows; on commit they are told."""
        with transaction.atomic(using=self.db):
            pks = list(self.values_list("pk", flat=True))
            changed = super().update(**kwargs)
            _tell(pks)
        return changed


class RunManager(models.Manager[Row_co]):
    """Hands out query sets that tell of changes."""

    def get_queryset(self) -> RunQuerySet[Row_co]:
        """All runs."""
        return RunQuerySet(self.model, using=self._db)


class Run(models.Model):
    """A run of a tenant, perhaps inside another. What it may use counts all runs inside it.

    depth: 1 for an outermost run; set from the parent. in_gate: whether the gate may still know it.
    Runs are frequent: a change raises no configuration version, it is told by `runs_changed` on commit.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="runs")
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="children")
    depth = models.PositiveSmallIntegerField(default=1, editable=False)
    name = models.CharField(max_length=128, blank=True, default="")
    budget_nano_usd = models.BigIntegerField(null=True, blank=True)
    max_calls = models.BigIntegerField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=8, choices=RunState, default=RunState.OPEN)
    in_gate = models.BooleanField(default=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    stopped_at = models.DateTimeField(null=True, blank=True)

    objects = RunManager()

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="run_state"),
            models.CheckConstraint(
                condition=Q(parent__isnull=True, depth=1) | Q(parent__isnull=False, depth__range=(2, MOST_RUNS)),
                name="run_depth",
                violation_error_message=f"a run lies in at most {MOST_RUNS - 1} others: start this one further out",
            ),
            models.CheckConstraint(
                condition=Q(budget_nano_usd__isnull=True) | Q(budget_nano_usd__range=(0, MAX_BUDGET)),
                name="run_budget",
                violation_error_message=f"a run's budget is from 0 to {MAX_BUDGET} nano-dollars",
            ),
            models.CheckConstraint(
                condition=Q(max_calls__isnull=True) | Q(max_calls__range=(0, MAX_CALLS)),
                name="run_max_calls",
                violation_error_message=f"a run makes 0 to {MAX_CALLS} calls",
            ),
            models.CheckConstraint(
                condition=Q(state=RunState.OPEN, stopped_at__isnull=True) | Q(state=RunState.STOPPED, stopped_at__isnull=False),
                name="run_stopped_has_time",
                violation_error_message="a stopped run says when it was stopped, an open one does not",
            ),
        )
        indexes = (
            models.Index(fields=["tenant", "-created_at"], name="run_tenant_created"),
            models.Index(fields=["-created_at", "-id"], name="run_newest"),
            models.Index(fields=["state", "stopped_at"], condition=Q(in_gate=True), name="run_in_gate"),
        )

    def __str__(self) -> str:
        return f"{self.name or self.id} ({self.state})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the run; on commit it is told."""
        self.depth = self.parent.depth + 1 if self.parent else 1
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)
            _tell([self.pk])

    def clean(self) -> None:
        """A run lies in an open run of the same tenant, and a tenant has so many open ones at most."""
        if self.parent is not None and (self.parent.tenant_id != self.tenant_id or self.parent.state != RunState.OPEN):
            raise ValidationError({"parent": "a run lies in an open run of the same tenant"})
        self.depth = self.parent.depth + 1 if self.parent else 1
        if self._state.adding and Run.objects.filter(tenant=self.tenant_id, state=RunState.OPEN).count() >= MOST_OPEN_RUNS:
            raise ValidationError(f"this tenant has {MOST_OPEN_RUNS} open runs: stop those that are over, or give them a deadline")

    def lineage(self) -> tuple[uuid.UUID, ...]:
        """The runs that it lies in and itself, the outermost first; at most MOST_RUNS."""
        run = Run.objects.select_related("parent__parent__parent").get(pk=self.pk)
        found = [run.pk]
        while run.parent is not None:
            run = run.parent
            found.append(run.pk)
        return tuple(reversed(found))
