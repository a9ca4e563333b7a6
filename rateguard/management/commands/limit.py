"""`manage.py limit`: limits on tenants and what is inside them, on provider accounts and on deployments."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from rateguard.api.manage.rendering import render_limit
from rateguard.management.finding import numbered
from rateguard.management.nodes import add_node, node_of, nodes_given
from rateguard.management.showing import columns, listed
from rateguard.management.verbs import VerbCommand, actor
from tenants.changes.limits import change_limit, create_limit, delete_limit, place_of
from tenants.models import Deployment, Limit, ProviderAccount, Scope
from tenants.notation import parse_limit

_TEXT = 'as people type it: "600/min", "280000 tokens/10s", "1M tokens/h burst 10%%", "50 concurrent"'


class Command(VerbCommand):
    """`limits` shows what is used and left of them, and which one is in the way; this one changes them."""

    help = "List, set, change or delete limits. What is used and left of them, and which is in the way: manage.py limits."
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list limits, all or those on one thing",
        "set": "set a limit; one that counts the same over the same time is replaced",
        "change": "write a limit anew",
        "delete": "take a limit away; what waited for it goes on",
    }
    examples = """\
  manage.py limit set --tenant acme "600/min"
  manage.py limit set --tenant acme --team ml "1M tokens/h burst 10%"
  manage.py limit set --tenant acme --user "*" "20/min"        each user of acme
  manage.py limit set --account openai "10000/min"
  manage.py limit set --deployment gpt-5-4-mini "5000/min"
  manage.py limit set --global "100 concurrent"
  manage.py limits --tenant acme                                what is left, and what is in the way"""

    def add_list(self, parser: CommandParser) -> None:
        """On what."""
        add_node(parser, with_places=True)

    def do_list(self, options: dict[str, Any]) -> None:
        """All of them, or those on one thing."""
        found = _limits_on(node_of(options)) if nodes_given(options) else Limit.objects.all()
        related = found.select_related("scope__tenant", "account", "deployment").order_by("pk")
        rows = [_shown(row) for row in related]
        self.show(options, listed(rows), columns(rows, ("id", "on", "limit"), "no limits here: manage.py limit set --help"))

    def add_set(self, parser: CommandParser) -> None:
        """On what, and which."""
        parser.add_argument("text", metavar="LIMIT", help=_TEXT)
        add_node(parser, with_places=True)

    def do_set(self, options: dict[str, Any]) -> None:
        """Make it, or write over the one of its metric, kind and window."""
        node, value = node_of(options), parse_limit(options["text"])
        found = _limits_on(node).filter(metric=value.metric, kind=value.kind, window_ms=value.window_ms).first()
        row = change_limit(actor(), found, options["text"]) if found else create_limit(actor(), node, options["text"])
        self._tell(options, row, "set")

    def add_change(self, parser: CommandParser) -> None:
        """Which, and to what."""
        parser.add_argument("limit", metavar="ID", help="its id, as `list` shows it")
        parser.add_argument("text", metavar="LIMIT", help=_TEXT)

    def do_change(self, options: dict[str, Any]) -> None:
        """Write it anew."""
        self._tell(options, change_limit(actor(), numbered(Limit, options["limit"]), options["text"]), "changed to")

    def add_delete(self, parser: CommandParser) -> None:
        """Which."""
        parser.add_argument("limit", metavar="ID", help="its id, as `list` shows it")

    def do_delete(self, options: dict[str, Any]) -> None:
        """Take it away."""
        row = numbered(Limit, options["limit"])
        values = _shown(row)
        delete_limit(actor(), row)
        self.show(options, {**values, "deleted": True}, f"deleted {values['limit']} on {values['on']}")

    def _tell(self, options: dict[str, Any], row: Limit, done: str) -> None:
        values = _shown(Limit.objects.get(pk=row.pk))
        self.show(options, values, f"{done} {values['limit']} on {values['on']} (limit {row.pk})")


def _shown(row: Limit) -> dict[str, Any]:
    """As REST has it, and in words what it is on."""
    return {**render_limit(row), "on": place_of(row)}


def _limits_on(node: Scope | ProviderAccount | Deployment) -> QuerySet[Limit]:
    if node.pk is None:
        return Limit.objects.none()
    match node:
        case Scope():
            return Limit.objects.filter(scope=node)
        case ProviderAccount():
            return Limit.objects.filter(account=node)
        case Deployment():
            return Limit.objects.filter(deployment=node)
