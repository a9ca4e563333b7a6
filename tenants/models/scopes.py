"""The nodes that limits and budgets attach to."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from rateguard.engine.scopes import GLOBAL, NodeKind, node_of
from tenants.models.configuration import ConfigurationModel
from tenants.models.tenant import MAX_WEIGHT, ApiKey, Tenant

EVERY = "*"
"""The name of the default: what every node of a kind has, unless it has its own."""


class ScopeKind(models.TextChoices):
    """The kinds of nodes that people configure, from the root down. A run carries its own limits."""

    GLOBAL = "global"
    TENANT = "tenant"
    TEAM = "team"
    ROLEGROUP = "rolegroup"
    ROLE = "role"
    USER = "user"
    KEY = "key"


_ROOTS = (ScopeKind.GLOBAL, ScopeKind.TENANT)


class Scope(ConfigurationModel):
    """A node that limits attach to. Only nodes with limits, budgets or a weight have a row.

    name: empty for the global node and a tenant's own; `*` for the default of every node of the kind in the tenant (of kind `tenant`
    and without a tenant: of every tenant); of a key its id. weight: a user's part of his tenant's share, against the other users.
    """

    kind = models.CharField(max_length=16, choices=ScopeKind)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="scopes")
    name = models.CharField(max_length=128, blank=True, default="")
    weight = models.PositiveSmallIntegerField(default=1)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(kind__in=ScopeKind.values),
                name="scope_kind",
                violation_error_message=f"a scope's kind is one of {', '.join(ScopeKind.values)}",
            ),
            models.CheckConstraint(
                condition=Q(kind=ScopeKind.GLOBAL, tenant__isnull=True)
                | Q(kind=ScopeKind.TENANT, name=EVERY, tenant__isnull=True)
                | (~Q(kind=ScopeKind.GLOBAL) & ~Q(kind=ScopeKind.TENANT, name=EVERY) & Q(tenant__isnull=False)),
                name="scope_global_has_no_tenant",
                violation_error_message="name the tenant; only the global scope and the default of all tenants (tenant:*) have none",
            ),
            models.CheckConstraint(
                condition=Q(kind=ScopeKind.GLOBAL, name="")
                | Q(kind=ScopeKind.TENANT, name__in=("", EVERY))
                | (~Q(kind__in=_ROOTS) & ~Q(name="")),
                name="scope_name_fits_kind",
                violation_error_message="the global scope and a tenant's own have no name; every other kind needs one, * for all of them",
            ),
            models.CheckConstraint(
                condition=Q(weight=1) | (Q(kind=ScopeKind.USER, weight__range=(1, MAX_WEIGHT)) & ~Q(name=EVERY)),
                name="scope_weight_is_a_users",
                violation_error_message=f"only a named user has a weight here, from 1 to {MAX_WEIGHT}; a tenant's own is in its row",
            ),
            models.UniqueConstraint(
                fields=["tenant", "kind", "name"], name="scope_once_a_tenant", violation_error_message="there is this scope already: use it"
            ),
            models.UniqueConstraint(
                fields=["kind"],
                condition=Q(tenant__isnull=True),
                name="scope_one_global",
                violation_error_message="there is this scope already: use it",
            ),
        )

    def __str__(self) -> str:
        return ":".join(part for part in (self.kind, str(self.tenant_id or ""), self.name) if part)

    @property
    def is_default(self) -> bool:
        """Whether it stands for every node of its kind."""
        return self.name == EVERY

    @property
    def node(self) -> str:
        """What paths call the node; of a default, the node that holds it."""
        if self.tenant_id is None:
            return GLOBAL
        if self.kind == ScopeKind.TENANT or self.is_default:
            return str(self.tenant_id)
        return node_of(str(self.tenant_id), NodeKind(self.kind), self.name)

    def clean(self) -> None:
        """A scope of a key is one of a key of the tenant."""
        if self.kind != ScopeKind.KEY or self.is_default:
            return
        if not (self.name.isdecimal() and ApiKey.objects.filter(pk=int(self.name), tenant=self.tenant_id).exists()):
            raise ValidationError({"name": "name a key by its id, one of this tenant's keys; or * for all of them"})
