"""What a limit or a budget is put on, as options: `--tenant acme --team ml`, `--account openai`, `--deployment mini`, `--global`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.management.finding import named, the_key
from tenants.changes.scopes import scope_for
from tenants.models import EVERY, Deployment, ProviderAccount, Scope, Tenant

_NAMED = ("team", "rolegroup", "role", "user")
_INSIDE = (*_NAMED, "key")


def add_node(parser: CommandParser, *, with_places: bool) -> None:
    """The options. with_places: accounts and deployments too, which have limits but no budgets."""
    group = parser.add_argument_group("on what", "a tenant's node, or the tenant itself; * for each one of a kind")
    group.add_argument("--global", dest="is_global", action="store_true", help="all tenants together")
    group.add_argument("--tenant", help="a tenant's name; * for each tenant")
    for name in _NAMED:
        group.add_argument(f"--{name}", metavar="NAME", help=f"a {name} of the tenant; * for each {name}")
    group.add_argument("--key", metavar="KEY", help="an API key of the tenant: its id, prefix or name; * for each key")
    if with_places:
        group.add_argument("--account", help="a provider account")
        group.add_argument("--deployment", help="a deployment")


def node_of(options: dict[str, Any]) -> Scope | ProviderAccount | Deployment:
    """What the options name. Raises CommandError where they name nothing or too much, InvalidRequest."""
    found = _node_or_none(options)
    if found is None:
        raise CommandError("say on what: --tenant acme, --tenant acme --team ml, --global …; see --help")
    return found


def nodes_given(options: dict[str, Any]) -> bool:
    """Whether the options name anything."""
    names = ("is_global", "tenant", *_INSIDE, "account", "deployment")
    return any(options.get(name) for name in names)


def _node_or_none(options: dict[str, Any]) -> Scope | ProviderAccount | Deployment | None:
    inside = [name for name in _INSIDE if options[name]]
    above = [name for name in ("is_global", "account", "deployment") if options.get(name)]
    if len(inside) > 1 or len(above) > 1 or (above and (inside or options["tenant"])):
        raise CommandError("name one thing: the tenant with at most one of team, rolegroup, role, user or key; or an account, or …")
    if options["is_global"]:
        return scope_for("global", None)
    if options.get("account"):
        return named(ProviderAccount, options["account"])
    if options.get("deployment"):
        return named(Deployment, options["deployment"])
    return _scope_or_none(options, inside[0] if inside else "")


def _scope_or_none(options: dict[str, Any], kind: str) -> Scope | None:
    """The tenant's own node, or the one of a kind inside it."""
    if options["tenant"] is None:
        if kind:
            raise CommandError(f"say whose {kind} it is: --tenant acme")
        return None
    if options["tenant"] == EVERY and not kind:
        return scope_for("tenant", None, EVERY)
    tenant = named(Tenant, options["tenant"])
    return scope_for(kind, tenant, _name_inside(options[kind], kind, tenant)) if kind else scope_for("tenant", tenant)


def _name_inside(text: str, kind: str, tenant: Tenant) -> str:
    return str(the_key(text, tenant).pk) if kind == "key" and text != EVERY else str(text)
