"""`manage.py apikey`: the keys with which tenants come in."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from rateguard.api.manage.rendering import render_key
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.management.finding import named, the_key
from rateguard.management.shell import moment, span
from rateguard.management.showing import columns, listed
from rateguard.management.verbs import VerbCommand, actor, given, yes_or_no
from tenants.changes.keys import change_key, create_key, revoke, rotate
from tenants.models import ApiKey, Permission, Tenant

_FIELDS = ("permissions", "is_operator", "allowed_models", "default_lane", "highest_lane", "bound", "expires_at")


class Command(VerbCommand):
    """A secret is shown once, where it is made; nobody can read it again."""

    help = "List, create, change, rotate or revoke API keys."
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list the keys of a tenant, or all",
        "create": "create a key; its secret is shown this once",
        "change": "change what a key may do; it acts on its next request",
        "rotate": "give a key a new secret; the old one is good for a while",
        "revoke": "end a key now",
    }
    examples = """\
  manage.py apikey create ci --tenant acme
  manage.py apikey create reports --tenant acme --permission read --expires-in 90d
  manage.py apikey create ml --tenant acme --model gpt-5.4-mini --highest-lane normal --bind team=ml
  manage.py apikey create root --tenant acme --operator           sees and stops what is not its tenant's
  manage.py apikey rotate ci --overlap 24h
  manage.py apikey revoke rg_Rk3hX9aQ"""

    def add_list(self, parser: CommandParser) -> None:
        """Whose."""
        parser.add_argument("--tenant", help="of one tenant")

    def do_list(self, options: dict[str, Any]) -> None:
        """All of them, or a tenant's."""
        keys = ApiKey.objects.select_related("tenant").order_by("tenant__name", "pk")
        if options["tenant"]:
            keys = keys.filter(tenant=named(Tenant, options["tenant"]))
        rows = [render_key(key) for key in keys]
        names = ("id", "tenant", "name", "prefix", "permissions", "is_operator", "expires_at", "revoked_at")
        self.show(options, listed(rows), columns(rows, names, "no keys here: manage.py apikey create NAME --tenant NAME"))

    def add_create(self, parser: CommandParser) -> None:
        """Whose, and what it may do."""
        parser.add_argument("name", help="what people call it")
        parser.add_argument("--tenant", required=True, help="whose it is")
        parser.add_argument("--operator", dest="is_operator", action="store_true", default=None, help="may see and stop everything")
        _add_rights(parser)

    def do_create(self, options: dict[str, Any]) -> None:
        """Make one, and show its secret."""
        _read_expiry(options)
        told = {name: options[name] for name in _FIELDS if options[name] is not None}
        key, secret = create_key(actor(), named(Tenant, options["tenant"]), name=options["name"], **_read_bound(told))
        self._show_secret(options, key, secret, f"created key {key.name} of {key.tenant.name} (key {key.pk})")

    def add_change(self, parser: CommandParser) -> None:
        """Which, and what."""
        _add_key(parser)
        parser.add_argument("--name", help="another name")
        parser.add_argument("--is-operator", type=yes_or_no, metavar="YES|NO", help="whether it may see and stop everything")
        _add_rights(parser)

    def do_change(self, options: dict[str, Any]) -> None:
        """Change what was named."""
        _read_expiry(options)
        key = change_key(actor(), _key(options), **_read_bound(given(options, "name", *_FIELDS)))
        self.show(options, render_key(key), f"changed key {key.name} of {key.tenant.name}")

    def add_rotate(self, parser: CommandParser) -> None:
        """Which, and how long both are good."""
        _add_key(parser)
        parser.add_argument(
            "--overlap", type=span, default=span("24h"), help="how long the old secret is good: 0s, 90s, 24h, 7d; 24h by default"
        )

    def do_rotate(self, options: dict[str, Any]) -> None:
        """A new secret, shown once."""
        key = _key(options)
        secret = rotate(actor(), key, options["overlap"])
        key.refresh_from_db()
        until = f"; the old secret is good until {render_key(key)['old_secret_until']}" if options["overlap"] else ""
        self._show_secret(options, key, secret, f"rotated key {key.name} of {key.tenant.name}{until}")

    def add_revoke(self, parser: CommandParser) -> None:
        """Which."""
        _add_key(parser)

    def do_revoke(self, options: dict[str, Any]) -> None:
        """End it."""
        key = revoke(actor(), _key(options))
        self.show(options, render_key(key), f"revoked key {key.name} of {key.tenant.name}")

    def _show_secret(self, options: dict[str, Any], key: ApiKey, secret: str, words: str) -> None:
        self.show(options, {**render_key(key), "secret": secret}, f"{words}\n\n  {secret}\n\nkeep it: it is shown this once")


def _add_key(parser: CommandParser) -> None:
    parser.add_argument("key", help="its id, its prefix (rg_…) or its name")
    parser.add_argument("--tenant", help="whose it is, where two tenants have one of that name")


def _key(options: dict[str, Any]) -> ApiKey:
    return the_key(options["key"], named(Tenant, options["tenant"]) if options["tenant"] else None)


def _add_rights(parser: CommandParser) -> None:
    parser.add_argument(
        "--permission",
        dest="permissions",
        action="append",
        choices=Permission.values,
        help="may be repeated; read and submit by default",
    )
    parser.add_argument(
        "--model",
        dest="allowed_models",
        action="append",
        metavar="MODEL",
        help="a model that it may use, or a/* for all that begin so; may be repeated; all by default",
    )
    parser.add_argument("--default-lane", type=_lane, metavar="LANE", help="where a request names none; normal by default")
    parser.add_argument("--highest-lane", type=_lane, metavar="LANE", help="the most urgent that it may use")
    parser.add_argument(
        "--bind",
        dest="bound",
        action="append",
        type=_pair,
        metavar="KIND=NAME",
        help="team=ml: its requests are charged there; may be repeated",
    )
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--expires-at", type=moment, help="a time with its zone, such as 2030-01-31T12:00:00Z")
    until.add_argument("--expires-in", type=span, help="90s, 10m, 24h, 90d from now")


def _lane(text: str) -> Lane:
    try:
        return parse_lane(text)
    except InvalidRequest as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pair(text: str) -> tuple[str, str]:
    kind, equals, name = text.partition("=")
    if not (kind and equals and name):
        raise argparse.ArgumentTypeError("write it like team=ml")
    return kind, name


def _read_expiry(options: dict[str, Any]) -> None:
    if options["expires_in"] is not None:
        options["expires_at"] = timezone.now() + options["expires_in"]


def _read_bound(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "bound": dict(told["bound"])} if "bound" in told else told
