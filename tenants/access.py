"""What a person who is signed in may see and do: an operator everything, a member what the role in the tenant says.

| role | sees figures and jobs | reads requests and answers | cancels, retries | sets keys, limits, budgets | says who belongs to it |
|---|---|---|---|---|---|
| viewer | yes | | | | |
| member | yes | yes | yes | | |
| admin | yes | yes | yes | yes | |
| owner | yes | yes | yes | yes | yes |
| operator | of all tenants | yes | yes | yes, and what all tenants share | yes |
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from tenants.changes.actor import Actor
from tenants.models import Member, MemberRole, Tenant

OPERATE = "rateguard_tenants.operate"
"""Django's permission that makes a person an operator; a superuser has it."""

Row = TypeVar("Row", bound=Model)


class Power(enum.IntEnum):
    """What may be done for a tenant; who has one has those before it."""

    LOOK = 1
    READ = 2
    WORK = 3
    MANAGE = 4
    OWN = 5


POWERS: Mapping[str, Power] = {
    MemberRole.VIEWER: Power.LOOK,
    MemberRole.MEMBER: Power.WORK,
    MemberRole.ADMIN: Power.MANAGE,
    MemberRole.OWNER: Power.OWN,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """A person's reach. powers: the highest by tenant, for who is no operator. name: as the audit calls them."""

    name: str
    is_operator: bool
    powers: Mapping[int, Power]

    @property
    def is_nobody(self) -> bool:
        """Whether there is nothing that they may see."""
        return not self.is_operator and not self.powers

    def may(self, power: Power, tenant_id: int | None) -> bool:
        """Whether they may do this for a tenant. None: for what all tenants share, which is the operators'."""
        if self.is_operator:
            return True
        return tenant_id is not None and self.powers.get(tenant_id, 0) >= power

    def may_anywhere(self, power: Power) -> bool:
        """Whether there is a tenant for which they may do this."""
        return self.is_operator or any(found >= power for found in self.powers.values())

    def tenant_ids(self, power: Power = Power.LOOK) -> frozenset[int] | None:
        """The tenants for which they may do this; None: for all of them."""
        return None if self.is_operator else frozenset(pk for pk, found in self.powers.items() if found >= power)

    def within(self, rows: QuerySet[Row], field: str = "tenant", power: Power = Power.LOOK) -> QuerySet[Row]:
        """Of these rows, those within reach. field: the rows' way to the tenant; rows without one are the operators'."""
        ids = self.tenant_ids(power)
        return rows if ids is None else rows.filter(**{f"{field}__in": ids})

    def tenants(self, power: Power = Power.LOOK) -> QuerySet[Tenant]:
        """The tenants for which they may do this."""
        return self.within(Tenant.objects.all(), "pk", power)

    def actor(self, tenant: Tenant | None, request_id: str = "") -> Actor:
        """In whose name they change something of a tenant. An operator reaches everything, and needs none."""
        by = f"user {self.name}"
        if self.is_operator:
            return Actor(by=by, request_id=request_id)
        owned = _needed(tenant)
        return Actor(by=by, tenant=owned, request_id=request_id, is_owner=self.may(Power.OWN, owned.pk))


def _needed(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise AssertionError("only an operator changes what all tenants share: ask `may` first")
    return tenant


NOBODY = Access("", is_operator=False, powers={})


def access_of(user: Any) -> Access:
    """The reach of a user of the project; NOBODY's for who is not signed in or not active any more. One statement, two for a member."""
    if not user.is_authenticated or not user.is_active:
        return NOBODY
    has_perm = getattr(user, "has_perm", None)  # a project's own users may have no permissions
    if has_perm is not None and has_perm(OPERATE):
        return Access(user.get_username(), is_operator=True, powers={})
    roles = Member.objects.filter(user=user).values_list("tenant_id", "role")
    return Access(user.get_username(), is_operator=False, powers={tenant: POWERS[role] for tenant, role in roles})
