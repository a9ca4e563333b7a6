"""`manage.py account`: credentials and a base URL at a provider."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from rateguard.api.manage.rendering import render_account
from rateguard.management.credentials import add_credentials, credentials_of
from rateguard.management.finding import named
from rateguard.management.provider_options import add_options
from rateguard.management.rows import RowsCommand
from rateguard.management.verbs import actor, given
from rateguard.providers import names
from tenants.changes.accounts import KIND, change_account, create_account, delete_account
from tenants.changes.actor import Actor
from tenants.changes.limits import text_of
from tenants.models import ProviderAccount, Tenant


class Command(RowsCommand[ProviderAccount]):
    """Credentials go in and never come out."""

    help = "List, show, create, change or delete provider accounts."
    model, kind = ProviderAccount, KIND
    columns = ("name", "provider", "base_url", "tenant", "deployments", "limits")
    nothing = "there are no accounts yet: manage.py account create --help"
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list all provider accounts",
        "show": "show an account",
        "create": "create an account",
        "change": "give an account other credentials, another name or place",
        "delete": "delete an account without deployments",
    }
    examples = """\
  manage.py account create main --provider openai --base-url https://api.openai.com/v1 --credentials-from OPENAI_API_KEY
  manage.py account create fast --provider groq --credentials-from GROQ_API_KEY       at the address of its preset
  manage.py limit set --account main "10000/min"
  manage.py deployment create mini --account main --upstream-model gpt-5.4-mini --model gpt-5.4-mini"""

    def values(self, row: ProviderAccount) -> dict[str, Any]:
        """What it serves, and what the provider allows it."""
        return {
            **render_account(row),
            "deployments": list(row.deployments.order_by("name").values_list("name", flat=True)),
            "limits": [text_of(limit) for limit in row.limits.order_by("pk")],
        }

    def add_create(self, parser: CommandParser) -> None:
        """Where it is, and with what."""
        parser.add_argument("name", help="letters, digits, - and _")
        parser.add_argument("--provider", required=True, choices=names(), help="the dialect that it speaks")
        parser.add_argument("--base-url", default="", help="such as https://api.openai.com/v1; left out: where its preset says that it is")
        parser.add_argument("--no-default-limits", action="store_true", help="without the limits that its preset has")
        add_credentials(parser, is_required=True)
        parser.add_argument("--tenant", help="whose it is; of all tenants by default")
        add_options(parser)

    def do_create(self, options: dict[str, Any]) -> None:
        """Make one."""
        row = create_account(
            actor(),
            name=options["name"],
            provider=options["provider"],
            base_url=options["base_url"],
            credentials=credentials_of(options) or "",
            options=options["options"],
            tenant=named(Tenant, options["tenant"]) if options["tenant"] else None,
            limits=() if options["no_default_limits"] else None,
        )
        self.tell(options, row, f"created account {row.name}; a model there: manage.py deployment create NAME --account {row.name} …")

    def add_change(self, parser: CommandParser) -> None:
        """Which, and what."""
        self.add_name(parser)
        parser.add_argument("--name", help="another name")
        parser.add_argument("--provider", choices=names(), help="another dialect; takes its credentials with it")
        parser.add_argument("--base-url", help="another place; takes its credentials with it")
        add_credentials(parser, is_required=False)
        add_options(parser)

    def do_change(self, options: dict[str, Any]) -> None:
        """Change what was named."""
        options["credentials"] = credentials_of(options)
        row = change_account(actor(), self.row(options), **given(options, "name", "provider", "base_url", "credentials", "options"))
        self.tell(options, row, f"changed account {row.name}")

    def delete(self, actor: Actor, row: ProviderAccount) -> None:
        """Delete it."""
        delete_account(actor, row)
