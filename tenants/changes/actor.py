"""Who changes something, and what is within reach: everything for an operator, for a tenant its own."""

from __future__ import annotations

import dataclasses

from rateguard.engine.errors import InvalidRequest, NotAllowed
from tenants.models import ApiKey, MemberRole, Scope, ScopeKind, Tenant


@dataclasses.dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something. by: as the audit names them (`key rg_…`, `shell ada`). tenant: None for an operator, who reaches everything.

    key: the key with which they came, if any: a tenant's key never makes or changes one that may do more than itself.
    is_owner: whether somebody of the tenant's says who belongs to it; a key with `manage` does, but for owners.
    """

    by: str
    tenant: Tenant | None = None
    request_id: str = ""
    key: ApiKey | None = None
    is_owner: bool = True

    @property
    def is_operator(self) -> bool:
        """Whether everything is within reach."""
        return self.tenant is None

    def check_operator(self, what: str) -> None:
        """Raise NotAllowed unless an operator asks. what: in the plural, such as tenants."""
        if not self.is_operator:
            raise NotAllowed(f"whoever runs the service sets {what}: this takes a key with the operator flag", code="forbidden")

    def check_of(self, tenant_id: int | None, kind: str) -> None:
        """Raise where something is out of reach: NotAllowed for what is of all tenants, `not_found` for another tenant's."""
        if self.tenant is None:
            return
        if tenant_id is None:
            self.check_operator("what all tenants share")
        if tenant_id != self.tenant.pk:
            raise gone(kind)
        self.check_unbound(f"a {kind}")

    def check_members(self, *roles: str) -> None:
        """Raise NotAllowed unless they say who belongs to the tenant. roles: that a member has or is to have; no key touches an owner's."""
        if self.is_operator:
            return
        if not self.is_owner:
            raise NotAllowed("owners of a tenant say who belongs to it: ask one of them, or whoever runs the service", code="forbidden")
        if self.key is not None and MemberRole.OWNER in roles:
            raise NotAllowed(
                "a person who is an owner makes owners and changes them, or whoever runs the service; a key does not", code="forbidden"
            )

    def check_scope(self, scope: Scope) -> None:
        """Raise where a limit or budget on this node is out of reach: a tenant sets those below itself."""
        if self.tenant is None:
            return
        if scope.tenant_id is None or scope.kind in {ScopeKind.GLOBAL, ScopeKind.TENANT}:
            raise NotAllowed(
                "whoever runs the service sets limits and budgets of a tenant and of all tenants: set them on a team, rolegroup, role, "
                "user or key of yours, or on * for all of a kind",
                code="forbidden",
                pointer="/scope_kind",
            )
        self.check_of(scope.tenant_id, scope.kind)

    def check_unbound(self, what: str) -> None:
        """Raise NotAllowed where the acting key is bound to a team or a user: it looks after keys of the same bound alone."""
        if self.key is not None and self.key.bound and not self.is_operator:
            raise NotAllowed(
                f"this key is bound to {bound_text(self.key.bound)}: changing {what} takes a key without a bound", code="forbidden"
            )


def gone(kind: str) -> InvalidRequest:
    """There is no such thing, or it is another tenant's."""
    return InvalidRequest(f"there is no such {kind} (any more)", code="not_found")


def bound_text(bound: dict[str, str]) -> str:
    """A bound in words: `team ml, user ann`."""
    return ", ".join(f"{kind} {name}" for kind, name in bound.items())
