"""`manage.py tenant`: who pays."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from rateguard.api.manage.rendering import render_tenant
from rateguard.management.rows import RowsCommand
from rateguard.management.verbs import actor, given
from tenants.changes.actor import Actor
from tenants.changes.tenants import FIELDS, KIND, change_tenant, create_tenant, delete_tenant
from tenants.models import Tenant, TenantStatus

_OPTIONS = ("weight", "status", "time_zone", "max_waiting", "keep_bodies_days")


class Command(RowsCommand[Tenant]):
    """The same changes as by REST and in the admin, in the same audit."""

    help = "List, show, create, change or delete tenants."
    model, kind = Tenant, KIND
    columns = FIELDS
    nothing = "there are no tenants yet: manage.py tenant create acme"
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list all tenants",
        "show": "show a tenant",
        "create": "create a tenant",
        "change": "change a tenant, or pause it: its keys are refused, what waits goes on",
        "delete": "delete a tenant that never worked, with its keys and limits",
    }
    examples = """\
  manage.py tenant create acme --weight 3 --time-zone Europe/Berlin
  manage.py apikey create ci --tenant acme            a key to come in with
  manage.py limit set --tenant acme "600/min"         a limit, if it needs one
  manage.py tenant change acme --status paused"""

    def values(self, row: Tenant) -> dict[str, Any]:
        """As REST has it."""
        return render_tenant(row)

    def add_create(self, parser: CommandParser) -> None:
        """What it is called, and its share."""
        parser.add_argument("name", help="letters, digits, - and _")
        _add_options(parser)

    def do_create(self, options: dict[str, Any]) -> None:
        """Make one."""
        told = {name: options[name] for name in _OPTIONS if options[name] is not None}
        row = create_tenant(actor(), name=options["name"], **told)
        self.tell(options, row, f"created tenant {row.name}; a key for it: manage.py apikey create NAME --tenant {row.name}")

    def add_change(self, parser: CommandParser) -> None:
        """Which, and what."""
        self.add_name(parser)
        parser.add_argument("--name", help="another name")
        _add_options(parser)

    def do_change(self, options: dict[str, Any]) -> None:
        """Change what was named."""
        row = change_tenant(actor(), self.row(options), **given(options, "name", *_OPTIONS))
        self.tell(options, row, f"changed tenant {row.name}")

    def delete(self, actor: Actor, row: Tenant) -> None:
        """Delete it."""
        delete_tenant(actor, row)


def _add_options(parser: CommandParser) -> None:
    parser.add_argument("--weight", type=int, help="its part of a contested lane, against the others'; 1 by default")
    parser.add_argument("--status", choices=TenantStatus.values, help="active by default")
    parser.add_argument("--time-zone", help="where the days of its budgets begin, such as Europe/Berlin; UTC by default")
    parser.add_argument("--max-waiting", type=int, help="jobs that may wait at once; the setting MAX_WAITING by default")
    kept = "days after which requests and answers of ended jobs are removed; the setting KEEP_BODIES_DAYS by default"
    parser.add_argument("--keep-bodies-days", type=int, help=kept)
