"""`manage.py budget`: what may be spent, in money or tokens."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.api.manage.rendering import render_budget
from rateguard.management.finding import numbered
from rateguard.management.nodes import add_node, node_of, nodes_given
from rateguard.management.showing import columns, listed
from rateguard.management.verbs import VerbCommand, actor
from tenants.changes.budgets import change_budget, create_budget, delete_budget
from tenants.changes.scopes import words_of
from tenants.models import Budget, Scope
from tenants.notation import parse_budget

_TEXT = 'as people type it: "$5/day", "$250 in total", "2M tokens/month hold", "$5/day downgrade to small-model"'


class Command(VerbCommand):
    """What is spent plus what is reserved never exceeds a budget."""

    help = "List, set, change or delete budgets. What is left of them: manage.py limits --tenant NAME."
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list budgets, all or those on one thing",
        "set": "set a budget; one of the same unit and period is replaced",
        "change": "write a budget anew; what is spent stays spent",
        "delete": "take a budget away; what it held goes on",
    }
    examples = """\
  manage.py budget set --tenant acme '$250/month'
  manage.py budget set --tenant acme --team ml '$5/day hold'       what does not fit waits for tomorrow
  manage.py budget set --tenant acme --user '*' '2M tokens/day'    each user of acme
  manage.py budget list --tenant acme
quote the dollar with ' so that the shell leaves it alone"""

    def add_list(self, parser: CommandParser) -> None:
        """On what."""
        add_node(parser, with_places=False)

    def do_list(self, options: dict[str, Any]) -> None:
        """All of them, or those on one node."""
        found = Budget.objects.filter(scope=_scope(options).pk) if nodes_given(options) else Budget.objects.all()
        rows = [_shown(row) for row in found.select_related("scope__tenant", "downgrade_to").order_by("pk")]
        self.show(options, listed(rows), columns(rows, ("id", "on", "budget"), "no budgets here: manage.py budget set --help"))

    def add_set(self, parser: CommandParser) -> None:
        """On what, and which."""
        parser.add_argument("text", metavar="BUDGET", help=_TEXT)
        add_node(parser, with_places=False)

    def do_set(self, options: dict[str, Any]) -> None:
        """Make it, or write over the one of its unit and period."""
        scope, value = _scope(options), parse_budget(options["text"])
        found = Budget.objects.filter(scope=scope.pk, unit=value.unit, period=value.period).first() if scope.pk else None
        row = change_budget(actor(), found, options["text"]) if found else create_budget(actor(), scope, options["text"])
        self._tell(options, row, "set")

    def add_change(self, parser: CommandParser) -> None:
        """Which, and to what."""
        parser.add_argument("budget", metavar="ID", help="its id, as `list` shows it")
        parser.add_argument("text", metavar="BUDGET", help=_TEXT)

    def do_change(self, options: dict[str, Any]) -> None:
        """Write it anew."""
        self._tell(options, change_budget(actor(), numbered(Budget, options["budget"]), options["text"]), "changed to")

    def add_delete(self, parser: CommandParser) -> None:
        """Which."""
        parser.add_argument("budget", metavar="ID", help="its id, as `list` shows it")

    def do_delete(self, options: dict[str, Any]) -> None:
        """Take it away."""
        row = numbered(Budget, options["budget"])
        values = _shown(row)
        delete_budget(actor(), row)
        self.show(options, {**values, "deleted": True}, f"deleted {values['budget']} on {values['on']}")

    def _tell(self, options: dict[str, Any], row: Budget, done: str) -> None:
        values = _shown(Budget.objects.get(pk=row.pk))
        self.show(options, values, f"{done} {values['budget']} on {values['on']} (budget {row.pk})")


def _shown(row: Budget) -> dict[str, Any]:
    """As REST has it, and in words what it is on."""
    return {**render_budget(row), "on": words_of(row.scope)}


def _scope(options: dict[str, Any]) -> Scope:
    node = node_of(options)
    if not isinstance(node, Scope):
        raise CommandError("a budget is on a tenant, or on what is inside one")
    return node
