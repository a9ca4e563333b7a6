"""Members: the people who belong to a tenant."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from rateguard.engine.errors import InvalidRequest, NotAllowed
from tenants.access import access_of
from tenants.changes import audit
from tenants.changes.actor import Actor
from tenants.changes.named import check_text
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.models import AuditAction, Member, MemberRole, Tenant

MOST_NAME_CHARS = 150

KIND = Kind(
    "member",
    shown=lambda row: {"username": row.user.get_username(), "role": str(row.role)},
    tenant_of=lambda row: row.tenant,
    fields=("role",),
    called={"user": "username"},
    label=lambda row: row.user.get_username(),
)


@in_one_transaction
def add_member(actor: Actor, tenant: Tenant, *, username: str, role: str = MemberRole.MEMBER, email: str = "") -> Member:
    """Make a person a member. Who is not known yet gets a user without a password: somebody must give them a way to sign in.

    A tenant's owners and keys add new people and send no address: nobody is made a member who has not been asked, nor a user with an
    address that others could sign in by. Raises InvalidRequest (`name_taken` for a member; but for operators for any known user),
    NotAllowed.
    """
    actor.check_of(tenant.pk, KIND.name)
    actor.check_members(role)
    owner = fresh(tenant, "tenant")
    check_text(username, "/username", MOST_NAME_CHARS)
    if email:
        actor.check_operator("addresses of people")
    found = person(username)
    if found is not None and not actor.is_operator and not Member.objects.filter(tenant=owner, user=found).exists():
        raise InvalidRequest(
            "there is a user of this name already: whoever runs the service makes people members who are known",
            code="name_taken",
            pointer="/username",
        )
    return insert(actor, KIND, Member(tenant=owner, user=found or _made(username, email), role=role))


@in_one_transaction
def change_member(actor: Actor, member: Member, **fields: Any) -> Member:
    """Another role. Raises NotAllowed as `remove_member`."""
    row = fresh(member, KIND.name)
    actor.check_of(row.tenant_id, KIND.name)
    actor.check_members(row.role, fields.get("role", row.role))
    if fields.get("role", row.role) != row.role:
        _keep_an_owner(actor, row)
    return change(actor, KIND, row, fields)


@in_one_transaction
def remove_member(actor: Actor, member: Member) -> None:
    """A person belongs to the tenant no longer; the user stays. Raises NotAllowed for the last owner, whom an operator alone removes."""
    row = fresh(member, KIND.name)
    actor.check_of(row.tenant_id, KIND.name)
    actor.check_members(row.role)
    _keep_an_owner(actor, row)
    remove(actor, KIND, row)


def make_operator(actor: Actor, username: str) -> User:
    """The operator of this name, made where there is none, without a password. Raises InvalidRequest: `name_taken` by who is none."""
    actor.check_operator("who operates it")
    check_text(username, "/username", MOST_NAME_CHARS)
    found = person(username)
    if found is None:
        with transaction.atomic():
            made = _made(username, "", is_operator=True)
            audit.note(actor, AuditAction.CREATED, "operator", (made.pk, username), tenant=None, after={"username": username})
        return made
    if not (found.is_active and access_of(found).is_operator):
        raise InvalidRequest(f"there is a person {username!r} already, who is no operator: choose another name", code="name_taken")
    return found


def person(username: str) -> User | None:
    """The user of a name, of whatever kind the project's users are."""
    users = get_user_model()
    return users._default_manager.filter(**{users.USERNAME_FIELD: username}).first()  # noqa: SLF001 - Django's own name for it


def _keep_an_owner(actor: Actor, row: Member) -> None:
    """A tenant's own people never leave it without an owner. Call it in the transaction that changes the row."""
    is_owner = row.role == MemberRole.OWNER
    if (
        is_owner
        and not actor.is_operator
        and not Member.objects.filter(tenant=row.tenant_id, role=MemberRole.OWNER).exclude(pk=row.pk).exists()
    ):
        raise NotAllowed(
            "this is the tenant's last owner: make somebody else an owner first, or ask whoever runs the service", code="forbidden"
        )


def _made(username: str, email: str, *, is_operator: bool = False) -> User:
    """A new user without a password. Raises InvalidRequest where the project's users need more than a name and an address."""
    users = get_user_model()
    user = users(**{users.USERNAME_FIELD: username}, **({"is_staff": True, "is_superuser": True} if is_operator else {}))
    if email:
        setattr(user, users.get_email_field_name(), email)
    user.set_unusable_password()
    try:
        user.clean_fields(exclude=["password"])
        with transaction.atomic():
            user.save()
    except ValidationError as error:
        fields = {users.USERNAME_FIELD: "/username", users.get_email_field_name(): "/email"}
        name, texts = next(iter(error.message_dict.items()))
        pointer = fields.get(name, "/username")
        said = " ".join(texts) if name in fields else f"users here need a {name}, too: make the user first"
        raise InvalidRequest(said, code="invalid_field", pointer=pointer) from None
    except IntegrityError:
        raise InvalidRequest(
            "users here need more than a name: make the user first, then the member", code="invalid_field", pointer="/username"
        ) from None
    return user
