"""`manage.py member`: the people who belong to a tenant."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from rateguard.api.manage.rendering import render_member
from rateguard.management.finding import named
from rateguard.management.showing import columns, listed
from rateguard.management.verbs import VerbCommand, actor
from tenants.changes.members import add_member, change_member, remove_member
from tenants.models import Member, MemberRole, Tenant


class Command(VerbCommand):
    """The same changes as by REST and in the admin, in the same audit."""

    help = "List, add, change or remove the people who belong to a tenant."
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list the members of a tenant, or all",
        "add": "make a person a member; who is not known yet gets a user without a password",
        "set": "give a member another role",
        "remove": "a person belongs to the tenant no longer; the user stays",
    }
    examples = """\
  manage.py member add ada --tenant acme --role owner
  manage.py signin ada                                 a link for a first sign-in
  manage.py member set ada --tenant acme --role admin
  manage.py member list --tenant acme
  manage.py member remove ada --tenant acme"""

    def add_list(self, parser: CommandParser) -> None:
        """Whose."""
        parser.add_argument("--tenant", help="of one tenant")

    def do_list(self, options: dict[str, Any]) -> None:
        """All of them, or a tenant's."""
        members = _all().order_by("tenant__name", "pk")
        if options["tenant"]:
            members = members.filter(tenant=named(Tenant, options["tenant"]))
        rows = [render_member(member) for member in members]
        nothing = "no members here: manage.py member add NAME --tenant NAME"
        self.show(options, listed(rows), columns(rows, ("id", "tenant", "username", "role", "created_at"), nothing))

    def add_add(self, parser: CommandParser) -> None:
        """Whom, where, and as what."""
        _add_who(parser)
        _add_role(parser, default=MemberRole.MEMBER)
        parser.add_argument("--email", default="", help="of a person who is not known yet")

    def do_add(self, options: dict[str, Any]) -> None:
        """Make one."""
        tenant = named(Tenant, options["tenant"])
        row = add_member(actor(), tenant, username=options["name"], role=options["role"], email=options["email"])
        hint = "" if row.user.has_usable_password() else f"; a link to sign in: manage.py signin {options['name']}"
        self.show(options, render_member(row), f"{options['name']} is {_as(row)} of {tenant.name}{hint}")

    def add_set(self, parser: CommandParser) -> None:
        """Whom, and the new role."""
        _add_who(parser)
        _add_role(parser)

    def do_set(self, options: dict[str, Any]) -> None:
        """Another role; it acts on the next click."""
        row = change_member(actor(), _member(options), role=options["role"])
        self.show(options, render_member(row), f"{options['name']} is {_as(row)} of {row.tenant.name}")

    def add_remove(self, parser: CommandParser) -> None:
        """Whom."""
        _add_who(parser)

    def do_remove(self, options: dict[str, Any]) -> None:
        """Out of the tenant."""
        row = _member(options)
        values = render_member(row)
        remove_member(actor(), row)
        self.show(options, {**values, "deleted": True}, f"{options['name']} belongs to {row.tenant.name} no longer; the user stays")


def _add_who(parser: CommandParser) -> None:
    parser.add_argument("name", help="the user's name")
    parser.add_argument("--tenant", required=True, help="of which tenant")


def _add_role(parser: CommandParser, default: str | None = None) -> None:
    told = "viewer: looks; member: also reads answers, cancels, retries; admin: also sets keys, limits, budgets; owner: also members"
    parser.add_argument("--role", choices=MemberRole.values, default=default, required=default is None, help=told)


def _all() -> QuerySet[Member]:
    return Member.objects.select_related("tenant", "user")


def _member(options: dict[str, Any]) -> Member:
    """The member that was named. Raises CommandError, which says who there is."""
    tenant = named(Tenant, options["tenant"])
    members = _all().filter(tenant=tenant)
    found = members.filter(**{f"user__{get_user_model().USERNAME_FIELD}": options["name"]}).first()
    if found is None:
        names = [member.user.get_username() for member in members.order_by("pk")[:10]]
        there_are = f"members are: {', '.join(names)}" if names else "it has no members yet"
        raise CommandError(f"{options['name']!r} is no member of {tenant.name}; {there_are}")
    return found


def _as(row: Member) -> str:
    return f"{'an' if row.role[0] in 'ao' else 'a'} {row.role}"
