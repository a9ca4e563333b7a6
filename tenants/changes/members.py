"""Members: the people who belong to a tenant."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from rateguard.engine.errors import InvalidRequest
from tenants.changes.actor import Actor
from tenants.changes.named import check_text
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.models import Member, MemberRole, Tenant

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

    A tenant's key adds new people and sends no address: nobody is made a member who has not been asked, nor a user with an address that
    others could sign in by. Raises InvalidRequest (`name_taken` for a member, and for a tenant's key a known user), NotAllowed.
    """
    actor.check_of(tenant.pk, KIND.name)
    owner = fresh(tenant, "tenant")
    check_text(username, "/username", MOST_NAME_CHARS)
    if email:
        actor.check_operator("addresses of people")
    users = get_user_model()
    found = users._default_manager.filter(**{users.USERNAME_FIELD: username}).first()  # noqa: SLF001 - Django's own name for it
    if found is not None and not actor.is_operator and not Member.objects.filter(tenant=owner, user=found).exists():
        raise InvalidRequest(
            "there is a user of this name already: whoever runs the service makes people members who are known",
            code="name_taken",
            pointer="/username",
        )
    return insert(actor, KIND, Member(tenant=owner, user=found or _made(username, email), role=role))


@in_one_transaction
def change_member(actor: Actor, member: Member, **fields: Any) -> Member:
    """Another role."""
    row = fresh(member, KIND.name)
    actor.check_of(row.tenant_id, KIND.name)
    return change(actor, KIND, row, fields)


@in_one_transaction
def remove_member(actor: Actor, member: Member) -> None:
    """A person belongs to the tenant no longer; the user stays."""
    row = fresh(member, KIND.name)
    actor.check_of(row.tenant_id, KIND.name)
    remove(actor, KIND, row)


def _made(username: str, email: str) -> User:
    """A new user. Raises InvalidRequest where the project's users need more than a name and an address."""
    users = get_user_model()
    user = users(**{users.USERNAME_FIELD: username})
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
